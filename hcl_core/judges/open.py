"""The judge of open questions: without accepted answers, all that can be said is whether an answer is an attempt."""

from collections.abc import Sequence

from hcl_core.judges.alias import text_of_its_own
from hcl_core.judges.names import NO_JUDGE
from hcl_core.judges.refusals import REFUSED, is_refusal
from hcl_core.ports import Judgement
from hcl_core.records import Question

NO_ACCEPTED = "no accepted answers"


class OpenJudge:
    """Empty answers and refusals are not attempted; all others are left unjudged."""

    name = NO_JUDGE
    stamp = "open 2"

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order; raises ``ValueError`` for a question with accepted answers."""
        if not question.is_open:
            raise ValueError(f"question {question.id!r} has accepted answers")
        return [_judge_one(text_of_its_own(answer)) for answer in answers]


def _judge_one(text: str) -> Judgement:
    if not text.strip():
        return Judgement("not_attempted", "empty")
    return Judgement("not_attempted", REFUSED) if is_refusal(text) else Judgement("unjudged", NO_ACCEPTED)
