"""A model that is on this machine and not loaded: what its files tell of runs that would fail."""

from collections.abc import Iterable
from functools import cached_property

from hcl_core.decode.engine import tokenize_checked
from hcl_core.decode.heads.head_files import check_exit_head_of
from hcl_core.decode.model import loading
from hcl_core.decode.model.checkpoints import Location, locate_here
from hcl_core.decode.model.gguf_conversion import convert_gguf
from hcl_core.decode.model.pretrained import read_longest_text, read_shape, read_tokenizer
from hcl_core.decode.model.prompt_tokens import PromptTokens
from hcl_core.decode.model.weight_files import weights_hash
from hcl_core.models.engines import FAST
from hcl_core.records import Question, StoredQuestion
from hcl_core.settings.prompts import PromptTemplate


class UnloadedModel:
    """A model's files.

    Args:
        location: Where they are.
    """

    def __init__(self, location: Location) -> None:
        self._location, self.name = location, location.model

    @cached_property
    def weights_hash(self) -> str:
        """See ``LanguageModel``; the weights are read once, a second for each GB."""
        return weights_hash(self._location.path)

    @cached_property
    def revision(self) -> str:
        """See ``LanguageModel``."""
        return self._location.identify().revision

    @cached_property
    def _tokens(self) -> PromptTokens:
        shape, _ = read_shape(self._location)
        return PromptTokens(read_tokenizer(self._location.path), shape.vocab_size, self.name)

    def check_format(self, dtype: str, device: str) -> None:
        """Raise ``SettingsError`` where the weights are stored in another format; both as for ``load_replicas``."""
        loading.format_of(self._location, dtype, loading.choose_devices(device)[0])

    def check_exit_head(self, name: str) -> None:
        """Raise the ``HclError`` of an exit head that is missing, damaged, or of other weights.

        Where heads were fitted for other weights of the model, only the loaded model tells whether one of them fits.
        """
        check_exit_head_of(name, self)

    def check_prompts(self, template: PromptTemplate, questions: Iterable[Question], max_new_tokens: int) -> None:
        """Raise the ``HclError`` of the first question that cannot be asked.

        The tokenizer has no chat template, or prompt and answer are longer than the model's window (told for the fast
        engine alone).
        """
        _, engine = read_shape(self._location)
        longest = read_longest_text(self._location.path) if engine == FAST else None
        for question in questions:
            stored = StoredQuestion(question, template.render(question.text, self._tokens.wrap_chat))
            if longest is not None:
                tokenize_checked(stored, max_new_tokens, self._tokens, template, longest)


def find_unloaded(name: str) -> UnloadedModel | None:
    """The files of the model called ``name``; ``None`` where they are not here. Uses no network.

    Raises:
        HclError: They are here, and no model can be read from them.
    """
    location = locate_here(name, convert_gguf)
    return None if location is None else UnloadedModel(location)
