"""Plain continuations of texts at an exit layer: no template, no question, and stop texts of the caller's choice."""

from collections.abc import Iterable

from hcl_core.answer_rules import until
from hcl_core.decode.engine import EngineParts, TrieDecoder
from hcl_core.decode.trie.prompt_cache import Prompt
from hcl_core.decode.trie.requests import Policy, Prefill
from hcl_core.errors import ContextTooLongError, SettingsError
from hcl_core.ports import DecodeRequest
from hcl_core.records import SamplingSettings, StoredQuestion


class TextDecoder(TrieDecoder):
    """Goes on with prompts as they are; a sample's ``answer`` is the continuation up to the first stop.

    Args:
        parts: Model, exit head and memory budget; the template is not used.
        stops: Texts that end a continuation.
        is_chat: Whether the prompts have their leading tokens already, as a chat template writes them.
        shorten: Whether a prompt that is too long loses its beginning; else it is an error.
    """

    def __init__(
        self, parts: EngineParts, stops: Iterable[str] = (), *, is_chat: bool = False, shorten: bool = False
    ) -> None:
        super().__init__(parts)
        self._rule, self._is_chat, self._shorten = until(stops), is_chat, shorten

    def tokenize_checked(self, stored: StoredQuestion, settings: SamplingSettings) -> list[int]:
        """Token ids of the prompt, without its beginning if need be.

        Raises:
            SettingsError: The prompt has no token.
            ContextTooLongError: Prompt and longest continuation exceed what the model can attend over.
        """
        lm = self.parts.lm
        token_ids = lm.tokenize(stored.prompt, is_chat=self._is_chat)
        room = lm.max_positions - settings.max_new_tokens
        if not token_ids:
            raise SettingsError("a text to go on with is needed; got an empty one")
        if len(token_ids) > room and not (self._shorten and room > 0):
            raise ContextTooLongError(
                f"a text of {len(token_ids)} tokens and {settings.max_new_tokens} more exceed this model's window of "
                f"{lm.max_positions}; shorten the text or lower the number of new tokens"
            )
        return token_ids[-room:]

    def policy(self, request: DecodeRequest) -> Policy:
        """How the request is answered; see ``EngineDecoder.policy``."""
        token_ids = self.tokenize_checked(request.stored, request.settings)
        return self._policy(request, Prefill(Prompt(token_ids, self._rule)))
