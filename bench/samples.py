"""Bytes that a run keeps for each of its samples: ``python -m bench.samples``, without a model, about a minute.

A decoder that makes answers up takes the model's part; allocations are traced from the start of the run to its end,
while its scorer is still held, as the page holds it.
"""

import tempfile
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hcl_core import pipeline
from hcl_core.answer_rules import FIRST_LINE
from hcl_core.ideas.accepted import AcceptedIdeas
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.scorer import Scorer
from hcl_core.ports import DecodeProgress
from hcl_core.records import Question, Sample, SampleKey, SamplingSettings, StoredQuestion
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import RunSettings
from hcl_core.settings.prompts import PromptTemplate

NUM_QUESTIONS, LAYERS, NUM_SAMPLES, NUM_TOKENS = 100, tuple(range(1, 11)), 200, 8
PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")


class InventingDecoder:
    """Answers with a planet, or with a number that is wrong; ``NUM_TOKENS`` tokens each."""

    num_hidden_layers = len(LAYERS)

    def token_text(self, token_id: int) -> str:
        """A text a token."""
        return f"<{token_id}>"

    def decode(
        self, stored: StoredQuestion, settings: SamplingSettings, waves: Iterable[Sequence[tuple[int, int]]]
    ) -> Iterator[DecodeProgress]:
        """All samples of a wave in one step."""
        for wave in waves:
            samples = tuple(self._sample(stored.question.id, *key) for key in wave)
            yield DecodeProgress(samples, 0, 1, wave_done=True)

    def _sample(self, question_id: str, exit_layer: int, sample_idx: int) -> Sample:
        answer = PLANETS[sample_idx % 8] if sample_idx % 2 else f"number {exit_layer} {sample_idx}"
        tokens = tuple(range(sample_idx, sample_idx + NUM_TOKENS))
        key = SampleKey(question_id, exit_layer, sample_idx)
        logprobs = [-0.125 * (1 + sample_idx % 7 + step) for step in range(NUM_TOKENS)]
        return Sample.of_completion(key, f" {answer}\n", tokens, logprobs, rule=FIRST_LINE, is_final=True)


def main() -> None:
    """Print the bytes a sample."""
    measure(1)  # imports what a run needs
    kept, peak = measure(NUM_QUESTIONS)
    num_samples = NUM_QUESTIONS * len(LAYERS) * NUM_SAMPLES
    print(
        f"{num_samples:,} samples: {kept / num_samples:,.0f} bytes a sample kept, "
        f"{peak / num_samples:,.0f} at the highest point"
    )


def measure(num_questions: int) -> tuple[int, int]:
    """Bytes that a run keeps at its end, and at its highest point."""
    questions = [Question(f"q{number}", f"Name planet {number}.", PLANETS) for number in range(num_questions)]
    stored = tuple(StoredQuestion(question, question.text) for question in questions)
    template = PromptTemplate("file", "{question}")
    settings = RunSettings(
        "fake", "1", "float32", "shared", "shared", template, LAYERS, NUM_SAMPLES, SamplingSettings(), "early_exit"
    )
    about: dict[str, Any] = {"num_hidden_layers": len(LAYERS), "question_set": "own", "device": "cpu"}
    manifest = pipeline.new_manifest(settings, stored, judge="alias", embedder="none", **about)
    decoder: Any = InventingDecoder()
    with tempfile.TemporaryDirectory() as folder:
        tracemalloc.start()
        scorer = Scorer(questions, LAYERS, NUM_SAMPLES, AliasJudge(), AcceptedIdeas(_no_embedder))
        for _ in pipeline.run(RunFolder(Path(folder) / "run"), pipeline.PreparedRun(manifest, stored, decoder, scorer)):
            pass
        measured = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return measured


def _no_embedder(texts: Sequence[str]) -> np.ndarray:
    raise AssertionError(f"every right answer is an accepted one; got {texts[:3]}")


if __name__ == "__main__":
    main()
