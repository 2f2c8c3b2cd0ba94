"""The published rule, for comparison only: an accepted answer stands somewhere in the answer, letter by letter.

Its faults are known, and kept: "US" is found in "Russia"; "not Paris" counts as Paris; "Beyonce" is not "Beyoncé",
nor "ten" "10". The published script also judges the header lines of its result files as answers; a run has none here.
"""

from collections.abc import Sequence

from hcl_core.ports import Judgement
from hcl_core.records import Question


class PaperJudge:
    """Substring of the lower-case answer, as the paper's code has it (arXiv 2503.02851)."""

    name = "paper"
    stamp = "paper 1"

    def judge(self, question: Question, answers: Sequence[str]) -> list[Judgement]:
        """One judgement an answer, in order; never ``"not_attempted"``, which the published rule does not know."""
        aliases = [(alias, alias.strip().lower()) for alias in question.accepted_answers]
        judgements = []
        for answer in answers:
            text = answer.lower()
            found = [alias for alias, lower in aliases if lower in text]
            if found:
                longest = max(found, key=len)
                judgements.append(Judgement("correct", f"has the letters of “{longest}”", longest))
            else:
                judgements.append(Judgement("incorrect", "no accepted answer in it"))
        return judgements
