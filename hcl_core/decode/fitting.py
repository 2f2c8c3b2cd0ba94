"""Fit a linear exit head: each layer's hidden state to the last one's, by ridge regression over a stream of text.

    texts -> hidden states -> Moments (normal equations, float64)  -> ridge maps -> [refined] -> 8 bits -> file
                           -> a bounded share of held-out positions -> strength, agreement, cross-entropy

Memory does not grow with the number of tokens. What was read is kept in the cache after each batch, so a
fit that was stopped goes on where it was.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hcl_core.atomic import atomic_file
from hcl_core.decode.exit_heads import ExitHead, LinearHead, QuantizedMaps, SharedHead, read_config, write_head
from hcl_core.decode.hidden_states import TextBatch, write_texts
from hcl_core.decode.model.causal_lm import CausalLM
from hcl_core.decode.model.memory import explain_out_of_memory
from hcl_core.errors import SettingsError
from hcl_core.folders import cache_folder
from hcl_core.models.head_records import Fidelity, FitProgress, FitSettings, HeadConfig
from hcl_core.records import SamplingSettings
from hcl_core.settings.prompts import PLACEHOLDER, load_template

# Raised when the same settings would read other text or fit other maps.
FIT_VERSION = 1
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
# Of ten texts, one is held out to choose the strength by and one to report on.
_FOLDS, _CHOOSING, _REPORTING = 10, 8, 9
_POSITIONS_KEPT = 1536  # of each kind of held-out text, at most
_POSITIONS_REFINED = 12_288  # of the fitted text, at most, for the gradient steps
_ROWS_PER_LOGITS = 256
_SECONDS_BETWEEN_SAVES = 20.0


class TextStates(NamedTuple):
    """Positions of a few texts of one length.

    Attributes:
        states: ``[num_hidden_layers, b, t, hidden_size]`` before the final norm.
        weights: ``[b, t]`` weight in the fit; 0 leaves a position out.
    """

    states: Tensor
    weights: Tensor


class TextSource(Protocol):
    """Text in batches, each the same whenever it is asked for.

    Attributes:
        name: For the head's config.
        texts_hash: Likewise.
        sizes: Texts of each batch.
        text_length: Positions of one text.
    """

    name: str
    texts_hash: str
    sizes: tuple[int, ...]
    text_length: int

    def batch(self, number: int) -> TextStates:
        """Batch ``number``, from 0."""
        ...


class SelfWritten:
    """The model goes on from the few-shot prompt: questions and answers of its own, and whatever follows them."""

    name, texts_hash = "self-generated", ""
    _TEXTS_AT_ONCE = 128

    def __init__(self, lm: CausalLM, settings: FitSettings) -> None:
        self._lm, self._settings = lm, settings
        header = load_template("few_shot").text.split(PLACEHOLDER)[0].rstrip(" ")
        self._prompt = lm.tokenize(header)
        self.text_length = min(48, lm.max_positions - len(self._prompt))
        if self.text_length < 8:
            raise SettingsError(f"{lm.name} attends over {lm.max_positions} tokens only: too few to write text")
        self.sizes = _batch_sizes(settings.num_tokens, self.text_length, self._TEXTS_AT_ONCE)

    def batch(self, number: int) -> TextStates:
        """One batch of ``TEXTS_AT_ONCE`` texts, its noise keyed by seed and number."""
        sampling = SamplingSettings(1.0, 0.95, seed=self._settings.seed * 1_000_003 + number)
        tokens, states = write_texts(self._lm, self._prompt, self.sizes[number], self.text_length, sampling)
        in_answer = torch.tensor([self._in_answer(text) for text in tokens.tolist()])
        return TextStates(states, torch.where(in_answer, self._settings.answer_weight, 1.0))

    def _in_answer(self, token_ids: list[int]) -> list[bool]:
        """For each token, whether it was drawn within a line that begins with ``Answer:``."""
        line, within = "", []
        for token_id in token_ids:
            within.append(line.lstrip().startswith("Answer:"))
            line = (line + self._lm.detokenize([token_id])).rpartition("\n")[2]
        return within


class TextFile:
    """A text file in windows of one length."""

    _TEXTS_AT_ONCE = 16

    def __init__(self, lm: CausalLM, settings: FitSettings) -> None:
        assert settings.texts is not None
        self._lm = lm
        try:
            content = settings.texts.read_bytes()
            text = content.decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read the text file {settings.texts}: {error}") from None
        self.name = settings.texts.name
        self.texts_hash = hashlib.blake2b(content, digest_size=8).hexdigest()
        self.text_length = min(256, lm.max_positions)
        # About six letters a token: what is far beyond the wanted tokens is not tokenised.
        token_ids = lm.tokenize(text[: 12 * settings.num_tokens])[: settings.num_tokens]
        self._windows = torch.tensor(token_ids[: len(token_ids) // self.text_length * self.text_length]).view(
            -1, self.text_length
        )
        if len(self._windows) < _FOLDS:
            raise SettingsError(
                f"{self.name} has {len(token_ids)} tokens; at least {_FOLDS * self.text_length} are needed, "
                "or use --self-generated"
            )
        self.sizes = _batch_sizes(self._windows.numel(), self.text_length, self._TEXTS_AT_ONCE)

    def batch(self, number: int) -> TextStates:
        """The next windows, each read on its own."""
        start = sum(self.sizes[:number])
        windows = self._windows[start : start + self.sizes[number]]
        states = TextBatch(self._lm, len(windows), self.text_length).read(windows).cpu()
        weights = torch.ones(windows.shape)
        weights[:, 0] = 0  # nothing stands before it: its states are far from all others
        return TextStates(states, weights)


class Moments:
    """Weighted sums from which the ridge map of every layer but the last follows: float64, streaming.

    Attributes:
        inputs: ``[L - 1, hidden_size + 1, hidden_size + 1]``: products of a layer's units and a constant 1.
        cross: ``[L - 1, hidden_size + 1, hidden_size]``: products of those and the last layer's units.

    Args:
        num_hidden_layers: ``L``.
        hidden_size: Units of a hidden state.
    """

    def __init__(self, num_hidden_layers: int, hidden_size: int, device: torch.device | str = "cpu") -> None:
        shape = (num_hidden_layers - 1, hidden_size + 1)
        self.inputs = torch.zeros(*shape, hidden_size + 1, dtype=torch.float64, device=device)
        self.cross = torch.zeros(*shape, hidden_size, dtype=torch.float64, device=device)

    def add(self, states: Tensor, weights: Tensor) -> None:
        """Add positions: ``states [L, n, hidden_size]``, ``weights [n]``."""
        device = self.inputs.device
        weights = weights.to(device, torch.float64)[:, None]
        target = states[-1].to(device, torch.float64)
        constant = torch.ones_like(weights)
        for place in range(len(self.inputs)):
            units = torch.cat((states[place].to(device, torch.float64), constant), dim=1)
            weighted = (units * weights).T
            self.inputs[place].addmm_(weighted, units)
            self.cross[place].addmm_(weighted, target)

    def solve(self, place: int, strengths: tuple[float, ...] = STRENGTHS) -> tuple[Tensor, Tensor, Tensor]:
        """Ridge maps of one layer, the constant left unpenalised.

        Args:
            place: Exit layer - 1.
            strengths: Times the mean variance of a unit.

        Returns:
            Maps ``[len(strengths), hidden_size, hidden_size]`` for row vectors, their biases
            ``[len(strengths), hidden_size]``, and the units' standard deviations ``[hidden_size]``.
        """
        inputs, cross = self.inputs[place], self.cross[place]
        total = inputs[-1, -1]
        mean, target_mean = inputs[-1, :-1] / total, cross[-1] / total
        covariance = inputs[:-1, :-1] / total - torch.outer(mean, mean)
        cross_covariance = cross[:-1] / total - torch.outer(mean, target_mean)
        variances = covariance.diagonal().clamp_min(0)
        penalties = torch.tensor(strengths, dtype=torch.float64, device=inputs.device) * variances.mean().clamp_min(
            1e-30
        )
        penalised = covariance + penalties[:, None, None] * torch.eye(
            len(mean), dtype=torch.float64, device=mean.device
        )
        maps = torch.linalg.solve(penalised, cross_covariance.expand(len(strengths), -1, -1))
        return maps, target_mean - mean @ maps, variances.sqrt()


@dataclass(slots=True)
class _Read:
    """What is kept of the text that was read: enough to finish the fit."""

    moments: Moments
    choosing: list[Tensor] = field(default_factory=list)  # [L, n, hidden_size] each
    reporting: list[Tensor] = field(default_factory=list)
    refining: list[Tensor] = field(default_factory=list)
    refining_weights: list[Tensor] = field(default_factory=list)
    num_batches: int = 0

    _LISTS = ("choosing", "reporting", "refining", "refining_weights")

    def save(self, file: Path) -> None:
        """Replace ``file`` in one step."""
        file.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"inputs": self.moments.inputs, "cross": self.moments.cross}
        tensors |= {
            name: torch.cat(getattr(self, name), dim=-1 if name == "refining_weights" else 1)
            for name in self._LISTS
            if getattr(self, name)
        }
        with atomic_file(file) as temporary:
            save_file(tensors, temporary, {"num_batches": str(self.num_batches)})

    def load(self, file: Path) -> None:
        """Go on from ``file`` if it can be read."""
        try:
            with safe_open(file, framework="pt") as opened:
                tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
                num_batches = int(opened.metadata()["num_batches"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return
        self.moments.inputs.copy_(tensors["inputs"])
        self.moments.cross.copy_(tensors["cross"])
        for name in self._LISTS:
            setattr(self, name, [tensors[name]] if name in tensors else [])
        self.num_batches = num_batches


@torch.no_grad()
def fit_head(
    lm: CausalLM, revision: str, settings: FitSettings, out: Path, clock: Callable[[], float] = time.monotonic
) -> Iterator[FitProgress | HeadConfig]:
    """Fit a head for ``lm`` and write it to ``out``; the last thing yielded is its config.

    Args:
        lm: The model.
        revision: Of the model, for the config.
        settings: What to read and how to fit.
        out: The head's file.
        clock: Seconds; decides how often the state is saved.

    Raises:
        SettingsError: The text is missing or too short, or the model has one layer only.
        ExitHeadError: ``out`` is there and is no exit head.
        NotEnoughMemoryError: The sums or states do not fit.
    """
    if out.exists():
        read_config(out)  # an older head may be replaced, nothing else
    if lm.num_hidden_layers < 2:
        raise SettingsError(f"{lm.name} has one layer: there is no earlier one to fit a head for")
    with explain_out_of_memory("fitting the exit head"):
        source: TextSource = TextFile(lm, settings) if settings.texts else SelfWritten(lm, settings)
        state_file = _state_file(lm, source, settings)
        read = _Read(Moments(lm.num_hidden_layers, lm.hidden_size, lm.readout_device))
        yield from _read_texts(lm, source, settings, read, state_file, clock)
        maps, biases, strengths = [], [], []
        scales = torch.empty(lm.num_hidden_layers - 1, lm.hidden_size)
        choosing = torch.cat(read.choosing, dim=1)
        for place in range(lm.num_hidden_layers - 1):
            candidates, candidate_biases, deviations = read.moments.solve(place)
            chosen = _best_strength(candidates, candidate_biases, choosing[place], choosing[-1])
            strengths.append(STRENGTHS[chosen])
            maps.append(candidates[chosen].float().cpu())
            biases.append(candidate_biases[chosen].float().cpu())
            scales[place] = deviations.clamp_min(1e-6 * float(deviations.max()) or 1.0)
            yield FitProgress("solving", place + 1, lm.num_hidden_layers - 1)
        if settings.refine_steps:
            refined = _Refined(lm, torch.cat(read.refining, 1), torch.cat(read.refining_weights), settings)
            for place in range(len(maps)):
                maps[place], biases[place] = refined.layer(place, maps[place], biases[place], scales[place])
                yield FitProgress("refining", place + 1, len(maps))
        quantized = QuantizedMaps.of(torch.stack(maps), torch.stack(biases), scales)
        reporting = torch.cat(read.reporting, dim=1)
        heads: tuple[ExitHead, ExitHead] = SharedHead(), LinearHead(quantized, "", lm)
        exit_layers = range(1, lm.num_hidden_layers + 1)
        num_seen = 0
        for fidelities in measure(lm, heads, reporting, exit_layers):  # noqa: B007  # the last is the whole
            num_seen = min(num_seen + _ROWS_PER_LOGITS, reporting.shape[1])
            yield FitProgress("measuring", num_seen, reporting.shape[1])
    before, after = (tuple(column) for column in fidelities)
    config = HeadConfig(
        model=lm.name,
        revision=revision,
        weights_hash=lm.weights_hash,
        texts=source.name,
        texts_hash=source.texts_hash,
        num_tokens=sum(source.sizes) * source.text_length,
        answer_weight=settings.answer_weight,
        refine_steps=settings.refine_steps,
        seed=settings.seed,
        dtype=lm.dtype_name,
        strengths=tuple(strengths),
        before=before,
        after=after,
    )
    write_head(out, quantized, config)
    state_file.unlink(missing_ok=True)
    yield config


class _Refined:
    """Gradient steps from the ridge maps towards the last layer's distribution (Tuned Lens, arXiv 2303.08112).

    The loss is the Kullback-Leibler divergence over the likeliest tokens, all of them, and a fresh random
    share of the others that stands for the rest: a sixth of the work of the whole vocabulary.

    Args:
        lm: The model.
        states: ``[num_hidden_layers, n, hidden_size]`` positions to learn from.
        weights: ``[n]`` how often each is drawn.
        settings: For the number of steps.
    """

    _POSITIONS_A_STEP = 512
    _LIKELIEST, _OTHERS = 4096, 4096
    _LEARNING_RATE = 0.01  # times the spread of the map's entries

    def __init__(self, lm: CausalLM, states: Tensor, weights: Tensor, settings: FitSettings) -> None:
        self._lm, self._states, self._steps = lm, states, settings.refine_steps
        self._weights = weights.double()
        mean_probabilities = torch.zeros(lm.vocab_size, device=lm.readout_device)
        for rows in states[-1].split(_ROWS_PER_LOGITS):
            mean_probabilities += _logits(lm, rows).softmax(-1).sum(0)
        order = mean_probabilities.argsort(descending=True).cpu()
        self._likeliest, self._others = order[: self._LIKELIEST], order[self._LIKELIEST :]

    def layer(self, place: int, weight: Tensor, bias: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Refine one layer's map ``[hidden_size, hidden_size]`` and bias; ``scales`` make its inputs alike."""
        device = self._lm.readout_device
        noise = torch.Generator().manual_seed(place)
        scaled = (weight * scales[:, None]).to(device).requires_grad_()
        bias = bias.to(device).requires_grad_()
        rates = [
            self._LEARNING_RATE * float(scaled.std()),
            0.1 * self._LEARNING_RATE * float(self._states[-1].float().std()),
        ]
        optimizer = torch.optim.Adam(
            [{"params": [scaled], "lr": rates[0]}, {"params": [bias], "lr": rates[1]}], betas=(0.9, 0.98)
        )
        for step in range(self._steps):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * (1 - step / self._steps)
            drawn = torch.multinomial(self._weights, self._POSITIONS_A_STEP, replacement=True, generator=noise)
            others = self._others[torch.randperm(len(self._others), generator=noise)[: self._OTHERS]]
            vocabulary = torch.cat((self._likeliest, others))
            # Each sampled token stands for as many as were left out.
            stands_for = torch.ones(len(vocabulary))
            stands_for[len(self._likeliest) :] = len(self._others) / max(1, len(others))
            early, last = (self._states[layer, drawn].to(device).float() for layer in (place, -1))
            own = self._log_probabilities(last, vocabulary, stands_for.to(device))
            with torch.enable_grad():
                translated = (early / scales.to(device)) @ scaled + bias
                read = self._log_probabilities(translated, vocabulary, stands_for.to(device))
                loss = (own.exp() * (own - read)).sum(-1).mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return (scaled.detach() / scales.to(device)[:, None]).cpu(), bias.detach().cpu()

    def _log_probabilities(self, hidden: Tensor, vocabulary: Tensor, stands_for: Tensor) -> Tensor:
        """``[n, len(vocabulary)]`` of groups of tokens: each one's own times how many it stands for."""
        return (self._lm.logits_of(hidden, vocabulary) + stands_for.log()).log_softmax(-1)


def measure(
    lm: CausalLM, heads: Sequence[ExitHead], states: Tensor, exit_layers: Sequence[int]
) -> Iterator[list[list[Fidelity]]]:
    """How well each of ``heads`` reads each exit layer, over ``states [num_hidden_layers, n, hidden_size]``.

    Yields:
        ``[len(heads)][len(exit_layers)]``, each time better known: once after every few hundred positions.
    """
    agreed = np.zeros((len(heads), len(exit_layers)))
    entropy = np.zeros_like(agreed)
    num_seen = 0
    for some in states.split(_ROWS_PER_LOGITS, dim=1):
        own = _logits(lm, some[-1]).log_softmax(-1)
        probabilities, choices = own.exp(), own.argmax(-1)
        num_seen += len(own)
        for column, exit_layer in enumerate(exit_layers):
            layers = np.full(len(own), exit_layer)
            for row, head in enumerate(heads):
                logits = _logits(lm, head.translate(some[exit_layer - 1].to(lm.readout_device), layers))
                agreed[row, column] += int((logits.argmax(-1) == choices).sum())
                # The distribution sums to 1, so the logits' own normaliser stands apart: no second table is needed.
                normaliser = logits.logsumexp(-1).sum(dtype=torch.float64)
                entropy[row, column] += float(normaliser - torch.einsum("nv,nv->", probabilities, logits))
        yield [
            [
                Fidelity(*each)
                for each in zip((agreed[row] / num_seen).tolist(), (entropy[row] / num_seen).tolist(), strict=True)
            ]
            for row in range(len(heads))
        ]


def _logits(lm: CausalLM, hidden: Tensor) -> Tensor:
    hidden = hidden.to(lm.readout_device)
    out = lm.logits_buffer(len(hidden))
    return lm.unembed(lm.final_norm(hidden), out=out)


def _read_texts(
    lm: CausalLM, source: TextSource, settings: FitSettings, read: _Read, state_file: Path, clock: Callable[[], float]
) -> Iterator[FitProgress]:
    """Fill ``read``, going on from ``state_file`` where there is one."""
    read.load(state_file)
    length, num_texts = source.text_length, sum(source.sizes)
    quota = -(-_POSITIONS_KEPT // max(1, num_texts // _FOLDS))  # positions kept of each held-out text
    refine_quota = -(-_POSITIONS_REFINED // num_texts) if settings.refine_steps else 0
    saved_at = clock()
    while True:
        num_read = sum(source.sizes[: read.num_batches])
        yield FitProgress("reading", num_read * length, num_texts * length)
        if read.num_batches == len(source.sizes):
            return
        states, weights = source.batch(read.num_batches)
        folds = torch.arange(num_read, num_read + states.shape[1]) % _FOLDS
        fitted = (folds != _CHOOSING) & (folds != _REPORTING)
        read.moments.add(states[:, fitted].flatten(1, 2), weights[fitted].flatten())
        for fold, kept in ((_CHOOSING, read.choosing), (_REPORTING, read.reporting)):
            kept.append(_spread(states[:, folds == fold], quota).flatten(1, 2))
        if refine_quota:
            read.refining.append(_spread(states[:, fitted], refine_quota).flatten(1, 2))
            read.refining_weights.append(_spread(weights[None, fitted], refine_quota).flatten())
        read.num_batches += 1
        if clock() - saved_at > _SECONDS_BETWEEN_SAVES:
            read.save(state_file)
            saved_at = clock()


def _best_strength(maps: Tensor, biases: Tensor, early: Tensor, last: Tensor) -> int:
    """Which of ``maps [s, hidden_size, hidden_size]`` comes nearest to ``last [n, hidden_size]`` from ``early``."""
    early, last = (states.to(maps.device, torch.float64) for states in (early, last))
    errors = (torch.matmul(early, maps) + biases[:, None] - last).square().mean(dim=(1, 2))
    return int(errors.argmin())


def _spread(states: Tensor, quota: int) -> Tensor:
    """At most ``quota`` positions of each text, evenly spread, the first position left out."""
    length = states.shape[2]
    return states[:, :, torch.linspace(1, length - 1, min(quota, length - 1)).long()]


def _batch_sizes(num_tokens: int, text_length: int, at_once: int) -> tuple[int, ...]:
    num_texts = max(_FOLDS, -(-num_tokens // text_length))
    return tuple(min(at_once, num_texts - start) for start in range(0, num_texts, at_once))


def _state_file(lm: CausalLM, source: TextSource, settings: FitSettings) -> Path:
    """Where what was read is kept until the fit is done."""
    decides = asdict(settings) | {"texts": source.texts_hash, "version": FIT_VERSION, "dtype": lm.dtype_name}
    canonical = json.dumps([lm.weights_hash, decides], sort_keys=True)
    name = hashlib.blake2b(canonical.encode(), digest_size=8).hexdigest()
    return cache_folder() / "fits" / f"{name}.safetensors"
