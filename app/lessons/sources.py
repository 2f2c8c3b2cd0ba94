"""What a step speaks of: a question of a stored run. Mistakes are sentences for whoever writes the lesson."""

from app import library
from app.question_view import QuestionView
from hcl_core.errors import HclError


def check_run(run_id: str) -> str | None:
    """What is wrong with the id of a run; ``None``: nothing."""
    try:
        library.find_run(run_id)
    except HclError:
        return "there is no such run in this program's runs or in HCL_RUNS"
    return None


def check_question(run_id: str, question_id: str) -> str | None:
    """What is wrong with a question of a run that exists; ``None``: nothing."""
    try:
        view = view_of(run_id, question_id)
    except (HclError, OSError, ValueError) as error:
        return f"question {question_id!r}: {error}"
    if view.is_open:
        return f"question {question_id!r} is open: no answer of it is right or wrong, so nothing can be predicted of it"
    return None


def view_of(run_id: str, question_id: str) -> QuestionView:
    """The question; raises ``HclError`` where there is none."""
    return QuestionView.load(library.find_run(run_id), question_id)
