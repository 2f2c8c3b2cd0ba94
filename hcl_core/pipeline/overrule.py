"""A person's verdicts laid over the judge's: verdicts, ideas and outcomes as they then are. Nothing is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hcl_core.errors import SettingsError
from hcl_core.ideas.names import make_idea_finder, num_accepted_ideas
from hcl_core.judges.person import PersonVerdict, PersonVerdicts, verdict_on, with_added_ideas
from hcl_core.ports import Embed, RightAnswer
from hcl_core.records import Outcome, Question, Sample, SampleKey, Verdict
from hcl_core.runs.answers import read_verdicts
from hcl_core.runs.folder import RunFolder
from hcl_core.runs.manifest import Manifest
from hcl_core.scores.metrics import INCORRECT, NOT_ATTEMPTED, OutcomeTable


@dataclass(frozen=True, slots=True)
class JudgedQuestion:
    """A question and what is said of each of its answers.

    Attributes:
        question: With the ideas that a person's right answers add.
        samples: Its answers.
        verdicts: By sample.
        ideas: Number of the idea of each correct sample.
    """

    question: Question
    samples: Sequence[Sample]
    verdicts: Mapping[SampleKey, Verdict]
    ideas: Mapping[SampleKey, int]

    def outcomes(self, manifest: Manifest) -> OutcomeTable:
        """The answers as the only row of a table.

        Args:
            manifest: Of the run.

        Raises:
            KeyError: A sample is of no layer of the run, or right and no idea.
            IndexError: A sample's index is not below the run's number of samples.
        """
        settings = manifest.settings
        columns = {layer: column for column, layer in enumerate(settings.exit_layers)}
        num_accepted = num_accepted_ideas(manifest.ideas, [self.question])
        is_greedy, is_open = settings.sampling.is_greedy, self.question.is_open
        table = OutcomeTable.empty(1, settings.exit_layers, settings.num_samples, num_accepted, is_greedy, is_open)
        for sample in self.samples:
            cell = (0, columns[sample.exit_layer], sample.sample_idx)
            outcome = self.verdicts[sample.key].outcome
            without_idea = NOT_ATTEMPTED if outcome == "not_attempted" else INCORRECT
            table.outcomes[cell] = self.ideas[sample.key] if outcome in ("correct", "unjudged") else without_idea
            table.confidences[cell] = sample.confidence
        return table


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far a person and the judge agree on one question, where the person looked.

    Attributes:
        num_samples: All answers.
        num_overruled: Those of the answers on which they disagree.
        num_texts_looked_at: Different answers that the person judged.
        num_texts_overruled: Those on which they disagree.
    """

    num_samples: int
    num_overruled: int
    num_texts_looked_at: int
    num_texts_overruled: int

    @classmethod
    def on(cls, judged: JudgedQuestion) -> "Agreement":
        """Counted over the answers to a question."""
        pairs = [(sample.answer, judged.verdicts[sample.key]) for sample in judged.samples]
        overruled = [answer for answer, verdict in pairs if verdict.is_overruled]
        looked_at = {answer for answer, verdict in pairs if verdict.judge_outcome is not None}
        return cls(len(pairs), len(overruled), len(looked_at), len(set(overruled)))


def overrule(judged: JudgedQuestion, given: Sequence[PersonVerdict], ideas: str, embed: Embed) -> JudgedQuestion:
    """``judged`` with a person's verdicts in the place of the judge's.

    An answer that the person calls right is the idea that the verdict names. The ideas of all right answers are found
    anew by the run's own way, as if the added ideas had been accepted from the start.

    Args:
        judged: As the judge said.
        given: The person's verdicts on the question.
        ideas: Name of the idea finder.
        embed: Unit vectors of texts; called only for right answers that match no name of an idea.

    Raises:
        SettingsError: The question is open.
        HclError: The embedder is needed and cannot be loaded.
    """
    by_target = {each.target: each for each in given if each.question_id == judged.question.id}
    if not by_target:
        return judged
    if judged.question.is_open:
        raise SettingsError("answers to an open question are neither right nor wrong")
    verdicts = dict(judged.verdicts)
    holding = []
    for sample in judged.samples:
        if (person := verdict_on(sample, by_target)) is not None:
            verdicts[sample.key] = _persons(verdicts[sample.key], person)
            holding.append(person)
    question = with_added_ideas(judged.question, holding)
    found = judged.ideas
    if _right(judged.samples, verdicts) != _right(judged.samples, judged.verdicts):
        found = _find_ideas(question, _right(judged.samples, verdicts), ideas, embed)
    return JudgedQuestion(question, judged.samples, verdicts, found)


def _persons(verdict: Verdict, person: PersonVerdict) -> Verdict:
    """The judge's verdict, overruled or confirmed."""
    if not person.is_right:
        wrong: Outcome = "not_attempted" if verdict.outcome == "not_attempted" else "incorrect"
        return replace(verdict, outcome=wrong, matched=None, judge_outcome=verdict.outcome)
    matched = verdict.matched if person.idea is None else person.idea
    return replace(verdict, outcome="correct", matched=matched, judge_outcome=verdict.outcome)


def _right(samples: Sequence[Sample], verdicts: Mapping[SampleKey, Verdict]) -> dict[SampleKey, RightAnswer]:
    """The right answers, those of a layer in the order of their indices."""
    ordered = sorted(samples, key=lambda sample: sample.sample_idx)
    right = [(sample, verdicts[sample.key]) for sample in ordered]
    return {
        sample.key: RightAnswer(sample.answer, verdict.matched)
        for sample, verdict in right
        if verdict.outcome == "correct"
    }


def _find_ideas(
    question: Question, right: Mapping[SampleKey, RightAnswer], ideas: str, embed: Embed
) -> dict[SampleKey, int]:
    by_layer: dict[int, dict[RightAnswer, int]] = {}
    for key, answer in right.items():
        by_layer.setdefault(key.exit_layer, {})[answer] = 0
    found = make_idea_finder(ideas, embed).find(question, [list(answers) for answers in by_layer.values()])
    for answers, numbers in zip(by_layer.values(), found, strict=True):
        answers.update(zip(answers, numbers, strict=True))
    return {key: by_layer[key.exit_layer][answer] for key, answer in right.items()}


def read_judged(folder: RunFolder, question: Question) -> JudgedQuestion:
    """A question of a stored run, as the judge said; raises ``RunFolderError`` where it has no verdicts."""
    samples = folder.samples(question.id)
    return JudgedQuestion(question, samples, *read_verdicts(folder, question.id, samples))


def overruled_questions(folder: RunFolder, given: PersonVerdicts, embed: Embed) -> dict[int, JudgedQuestion]:
    """Those of a stored run's questions that a person has judged answers to, by their places in the run.

    Raises:
        RunFolderError: The run has no verdicts.
    """
    manifest = folder.manifest()
    return {
        place: overrule(read_judged(folder, stored.question), on_question, manifest.ideas, embed)
        for place, stored in enumerate(folder.questions())
        if (on_question := given.on(stored.question.id))
    }


def overruled_outcomes(
    table: OutcomeTable, overruled: Mapping[int, JudgedQuestion], manifest: Manifest
) -> OutcomeTable:
    """``table``, of a whole run, with the rows of ``overruled`` in the place of the judge's."""
    table = table.snapshot()
    for place, judged in overruled.items():
        row = judged.outcomes(manifest)
        table.outcomes[place], table.num_accepted_ideas[place] = row.outcomes[0], row.num_accepted_ideas[0]
    return table
