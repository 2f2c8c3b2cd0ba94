"""A model of EleutherAI's lm-evaluation-harness: ``--model hcl``, as ``python -m hcl_core lm-eval`` runs it.

The harness finds models by a registry that its own modules fill; importing this module adds one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from hcl_core.errors import SettingsError
from hcl_core.models.catalogue import DEFAULT_MODEL
from hcl_core.neighbours.layer_model import LayerModel, refuse_unknown
from hcl_core.ports import DecodeRequest
from hcl_core.records import Question, SamplingSettings, StoredQuestion

if TYPE_CHECKING:
    from hcl_core.decode.likelihood import Reading

ARGUMENTS = "model, exit_layer, exit_head, dtype, device, max_length, seed, batch_size"
_DEFAULT_MAX_NEW_TOKENS = 256  # as the harness's own models have it
TokenIds = tuple[int, ...]


@register_model("hcl")
class HclLM(TemplateLM):  # type: ignore[misc]
    """A model that stops after one of its layers.

    Args:
        model: A catalogue name, Hub id or local folder.
        exit_layer: From 1; ``None``: the last layer.
        exit_head: ``"auto"``, ``"shared"``, ``"linear"`` or a head's file.
        dtype: As ``registry.load_model`` takes it.
        device: Likewise; the harness's ``--device``.
        max_length: Longest window of tokens; ``None``: the model's.
        seed: Of the noise of continuations that are sampled.
        batch_size: Continuations written at once; ``"auto"``: as many as the engine takes. Readings are put together
            by their tokens.
        max_batch_size: Not used.
        unknown: Refused.

    Raises:
        SettingsError: An argument is unknown or wrong.
        HclError: The model cannot be loaded.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL.name,
        exit_layer: int | None = None,
        exit_head: str = "auto",
        dtype: str = "auto",
        device: str = "auto",
        max_length: int | None = None,
        seed: int = 0,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        refuse_unknown(unknown, ARGUMENTS)
        self.layer_model = LayerModel.load(model, exit_layer, exit_head, dtype, device)
        self._lm, self._reader = self.layer_model.parts.lm, self.layer_model.reader()
        self.tokenizer = self._lm.tokenizer
        self._seed, self._at_once = seed, _at_once(batch_size)
        window = self._lm.max_positions
        if max_length is not None and not (type(max_length) is int and 2 <= max_length <= window):
            raise SettingsError(f"max_length must be a whole number from 2 to {window}; got {str(max_length)[:40]!r}")
        self.max_length = max_length or window

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without a context."""
        begin = self.tokenizer.bos_token_id
        return self.eot_token_id if begin is None else int(begin)

    @property
    def tokenizer_name(self) -> str:
        """For the harness's cache of requests."""
        return f"{self._lm.name} {self._lm.revision}".replace("/", "__")

    def get_model_info(self) -> dict[str, Any]:
        """What the harness writes beside the results."""
        parts = self.layer_model.parts
        return {
            "model_dtype": self._lm.dtype_name,
            "model_revision": self._lm.revision,
            "exit_layer": self.layer_model.exit_layer,
            "num_hidden_layers": self._lm.num_hidden_layers,
            "exit_head": parts.exit_head.name,
            "exit_head_fingerprint": parts.exit_head.fingerprint,
        }

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Token ids of a text; the token for its beginning comes once, unless ``add_special_tokens`` is false."""
        if add_special_tokens is False:
            return list(self.tokenizer.encode(string, add_special_tokens=False))
        return self._lm.tokenize(string)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A conversation in the model's chat format."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], disable_tqdm: bool = False, **unused: Any
    ) -> list[tuple[float, bool]]:
        """Logarithm of the probability of each continuation after its context, and whether it is the greedy one."""
        pairs = [self._in_window(context, continuation) for _, context, continuation in requests]
        by_context: dict[TokenIds, dict[TokenIds, None]] = {}  # each continuation of a context once, in order
        for context, continuation in pairs:
            by_context.setdefault(context, {})[continuation] = None
        texts = [(context, list(continuations)) for context, continuations in by_context.items()]
        found: dict[tuple[TokenIds, TokenIds], Reading] = {}
        bar = tqdm(total=len(texts), desc="Reading", disable=disable_tqdm)
        for (context, continuations), readings in zip(texts, self._reader.read(texts), strict=True):
            found |= {(context, text): each for text, each in zip(continuations, readings, strict=True)}
            bar.update(1)
        bar.close()
        results = [(found[pair].total, found[pair].is_greedy) for pair in pairs]
        for (text, _, _), result in zip(requests, results, strict=True):
            if text is not None:
                self.cache_hook.add_partial("loglikelihood", text, result)
        return results

    def _in_window(self, context: list[int], continuation: list[int]) -> tuple[TokenIds, TokenIds]:
        """The last tokens of both that fit; the last one is read and not attended over."""
        if len(continuation) > self.max_length:
            raise SettingsError(f"a continuation has {len(continuation)} tokens, and the window {self.max_length}")
        room = self.max_length + 1 - len(continuation)
        return tuple(context[-room:]), tuple(continuation)

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """Logarithm of the probability of each whole text, in windows as the harness cuts them."""
        totals = []
        for (text,) in tqdm([request.args for request in requests], desc="Reading", disable=disable_tqdm):
            windows = map(
                make_disjoint_window,
                get_rolling_token_windows(self.tok_encode(text), self.prefix_token_id, self.max_length, 1),
            )
            asked = [(None, *window) for window in windows]
            totals.append(sum(total for total, _ in self._loglikelihood_tokens(asked, disable_tqdm=True)))
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), totals[-1])
        return totals

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """The continuation of each context, up to the first of its stop texts; a long context loses its beginning."""
        by_settings: dict[tuple[SamplingSettings, TokenIds | tuple[str, ...]], list[int]] = {}
        for index, request in enumerate(requests):
            by_settings.setdefault(self._settings(request.args[1]), []).append(index)
        texts: dict[int, str] = {}
        bar = tqdm(total=len(requests), desc="Writing", disable=disable_tqdm)
        for (settings, stops), indices in by_settings.items():
            contexts = [requests[index].args[0] for index in indices]
            for place, text in self._write(contexts, settings, [str(stop) for stop in stops]):
                texts[indices[place]] = text
                self.cache_hook.add_partial("generate_until", requests[indices[place]].args, text)
                bar.update(1)
        bar.close()
        return [texts[index] for index in range(len(requests))]

    def _write(self, contexts: list[str], settings: SamplingSettings, stops: list[str]) -> Iterable[tuple[int, str]]:
        """Continuations as they end: the number of the context, and the text."""
        decoder = self.layer_model.decoder(stops, shorten=True)
        # Noise belongs to the text and to how often it came before: so `repeats` are different draws.
        repeats: Counter[str] = Counter()
        waves = {}
        for place, context in enumerate(contexts):
            stored = StoredQuestion(Question(f"text {context}", context.strip() or "-", ()), context)
            wave = [(self.layer_model.exit_layer, repeats[context])]
            waves[DecodeRequest(stored, settings, [wave])] = place
            repeats[context] += 1
        for request, progress in decoder.decode_many(waves, self._at_once):
            for sample in progress.finished:
                yield waves[request], sample.answer

    def _settings(self, asked: dict[str, Any]) -> tuple[SamplingSettings, tuple[str, ...]]:
        """A request's settings and stop texts; raises ``SettingsError`` for others than these."""
        given = dict(normalize_gen_kwargs(asked, _DEFAULT_MAX_NEW_TOKENS))
        stops, max_new_tokens = given.pop("until"), given.pop("max_gen_toks")
        is_sampled, temperature = given.pop("do_sample"), given.pop("temperature", 0.0)
        top_p, top_k = given.pop("top_p", 1.0), given.pop("top_k", 0)
        refuse_unknown(given, "until, max_gen_toks, do_sample, temperature, top_p, top_k")
        if is_sampled and not temperature:
            temperature = 1.0
        return SamplingSettings(temperature, top_p, top_k, max_new_tokens, self._seed), tuple(stops)


def _at_once(batch_size: int | str | None) -> int | None:
    """The harness's ``--batch_size``; raises ``SettingsError`` if it is none."""
    if batch_size is None or str(batch_size).partition(":")[0] == "auto":
        return None
    if not (str(batch_size).isdecimal() and len(str(batch_size)) < 10 and int(batch_size) > 0):
        raise SettingsError(f"batch_size must be auto or a whole number from 1; got {str(batch_size)[:40]!r}")
    return int(batch_size)
