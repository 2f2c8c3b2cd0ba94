"""The judges' names, and the stamps of what they decide."""

import os
from collections.abc import Iterable

from hcl_core.errors import SettingsError
from hcl_core.records import Question, are_open

JUDGE_NAMES = ("alias", "semantic", "paper", "llm")
# Of open questions, which have no accepted answers; no one chooses it.
NO_JUDGE = "none"


def asked_judge(name: str) -> str:
    """How a request names the judge of a run: open questions have none, and may be asked for with any."""
    return JUDGE_NAMES[0] if name == NO_JUDGE else name


def full_judge_name(name: str) -> str:
    """``name`` as a run stores it: ``llm`` with its model, from ``HCL_JUDGE_MODEL`` where it is not said.

    Raises:
        SettingsError: There is no such judge.
    """
    kind, _, model = name.partition(":")
    if name == NO_JUDGE:
        return name
    if kind not in JUDGE_NAMES or (":" in name and not (kind == "llm" and model.strip())):
        raise SettingsError(f"judge must be one of {', '.join(JUDGE_NAMES)} or llm:MODEL; got {name!r}")
    if name != "llm":
        return name
    if not (model := os.environ.get("HCL_JUDGE_MODEL", "").strip()):
        raise SettingsError("the llm judge needs a model: llm:MODEL, or HCL_JUDGE_MODEL in the environment")
    return f"llm:{model}"


def check_judge(name: str) -> None:
    """Raise ``SettingsError`` unless there is a judge of that name and, for ``llm``, what it needs; loads nothing."""
    if full_judge_name(name).startswith("llm:"):
        from hcl_core.judges.llm import check_environment

        check_environment()


def judge_of(name: str, questions: Iterable[Question]) -> str:
    """The judge of a run of ``questions`` for which ``name`` was chosen: open questions have ``NO_JUDGE``.

    Raises:
        SettingsError: ``NO_JUDGE`` was chosen for questions with accepted answers, or only some questions are open.
    """
    if are_open(questions):
        return NO_JUDGE
    if name == NO_JUDGE:
        raise SettingsError(f"judge {NO_JUDGE} is for questions without accepted answers; these have some")
    return name


def judge_stamp(name: str) -> str | None:
    """What ``load_judge(name).stamp`` would be, ``None`` for a judge from elsewhere; needs neither model nor key."""
    from hcl_core.judges import alias, llm, paper, semantic
    from hcl_core.judges import open as open_judge

    kind, _, model = name.partition(":")
    if kind == "llm":
        return llm.stamp_of(model)
    judges = (alias.AliasJudge, open_judge.OpenJudge, paper.PaperJudge, semantic.SemanticJudge)
    known = {each.name: each.stamp for each in judges}
    return known.get(name)
