"""How well right answers are put into ideas: both idea finders against a reader, and the nearest idea by its cosine.

    python -m bench.ideas

``tests/data/idea_pairs.jsonl`` has pairs of right answers that one layer of a shipped run gave to one question. They
were drawn where the two finders disagree, or where the cosine of the pair is between 0.55 and 0.9; the developers read
each pair and say whether both are the same idea. Pairs that no reader could decide were left out.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hcl_core import registry
from hcl_core.folders import PROGRAM, precomputed_folder
from hcl_core.ideas.accepted import NEAREST_COSINE, AcceptedIdeas
from hcl_core.ideas.embedding import EmbeddingIdeas
from hcl_core.judges.alias import AliasJudge
from hcl_core.pipeline.scorer import Embeddings
from hcl_core.ports import IdeaFinder, RightAnswer
from hcl_core.records import Question
from hcl_core.runs.folder import RunFolder

PAIRS = PROGRAM / "tests" / "data" / "idea_pairs.jsonl"
COSINES = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two right answers to one question, and whether a reader says that they are one idea."""

    question: Question
    first: str
    second: str
    same: bool


def read_pairs(file: Path = PAIRS) -> list[Pair]:
    """The pairs that were read."""
    questions = {question.id: question for question in registry.load_questions("starter").load()}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Pair(questions[row["question_id"]], row["first"], row["second"], row["same"]) for row in rows]


def agreement(finder: IdeaFinder, pairs: list[Pair], matches: bool = True) -> float:
    """Share of pairs about which ``finder`` and the reader agree; without ``matches``, the judge names no answer."""
    judge, agreed = AliasJudge(), 0
    for pair in pairs:
        texts = (pair.first, pair.second)
        judged = judge.judge(pair.question, texts)
        answers = [
            RightAnswer(text, each.matched if matches else None) for text, each in zip(texts, judged, strict=True)
        ]
        first, second = finder.find(pair.question, [answers])[0]
        agreed += (first == second) == pair.same
    return agreed / len(pairs)


def nearest_ideas(embed: Callable[[list[str]], np.ndarray]) -> Iterator[tuple[float, bool]]:
    """Cosine of the nearest name for each right answer of the shipped runs, and whether it is the matched idea."""
    judge = AliasJudge()
    texts: dict[str, set[str]] = {}
    for path in sorted(precomputed_folder().iterdir()):
        if (path / "questions.jsonl").is_file():
            table = RunFolder(path).sample_table(["question_id", "answer"])
            for row in table.group_by(["question_id", "answer"]).aggregate([]).to_pylist():
                texts.setdefault(row["question_id"], set()).add(row["answer"])
    for question in registry.load_questions("starter").load():
        if len(question.ideas) < 2:
            continue
        asked = sorted(texts.get(question.id, ()))
        right = [(t, j.matched) for t, j in zip(asked, judge.judge(question, asked), strict=True) if j.matched]
        if not right:
            continue
        idea_of = {name: idea for idea, names in enumerate(question.ideas) for name in names}
        names = list(idea_of)
        cosines = embed([text for text, _ in right]) @ embed(names).T
        for (_, matched), row in zip(right, cosines, strict=True):
            nearest = int(row.argmax())
            yield float(row[nearest]), idea_of[names[nearest]] == idea_of[str(matched)]


def main() -> None:
    """Print both tables."""
    embeddings, pairs = Embeddings(registry.load_embedder), read_pairs()
    accepted, embedding = AcceptedIdeas(embeddings.of), EmbeddingIdeas(embeddings.of)
    print(f"{len(pairs)} pairs of right answers, {np.mean([pair.same for pair in pairs]):.2f} of them one idea")
    print(f"agreement of `accepted` with the reader: {agreement(accepted, pairs):.2f}")
    print(f"  where the judge names no accepted answer: {agreement(accepted, pairs, matches=False):.2f}")
    print(f"agreement of `embedding` with the reader: {agreement(embedding, pairs):.2f}")
    found = np.array(list(nearest_ideas(embeddings.of)))
    print(
        f"\n{len(found)} right answers of the shipped runs to questions with several ideas: the nearest idea is theirs"
    )
    for cosine in COSINES:
        chosen = found[found[:, 0] >= cosine]
        mark = "  <- NEAREST_COSINE" if cosine == NEAREST_COSINE else ""
        share, right = len(chosen) / len(found), chosen[:, 1].mean()
        print(f"  cosine {cosine:.1f} and more: {share:.2f} of them, right {right:.3f}{mark}")


if __name__ == "__main__":
    main()
