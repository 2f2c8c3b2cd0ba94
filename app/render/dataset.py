"""A whole question set on the tab Data set."""

from app.figures.curves import layer_curves
from app.handlers.dataset import SetResult, SetUpdate
from app.handlers.links import Link
from app.language import Translator
from app.messages import Message
from app.render import Parts
from app.render.tables import table
from app.run_names import name_of
from app.views import questions
from app.views.base import status_line
from app.views.headline import headline, run_note
from app.views.program_code import run_programs
from app.views.runs import link_box
from app.views.share import programs_box
from app.views.stale import stale_notes
from app.views.verdicts import own_elsewhere


def set_parts(result: SetResult, words: Translator) -> Parts:
    """Everything that is known of a set."""
    columns, rows = questions.columns_of(result.table), questions.question_rows(result.questions, result.table)
    return weighed_parts(result, words) | {"rows": table(columns, rows, words), "shown": result.shown}


def stored_parts(result: SetResult, words: Translator) -> Parts:
    """A stored run of a set, and that it is stored, or was stopped."""
    key = "stored_set" if result.manifest.finished_at else "run_unfinished"
    return set_parts(result, words) | {"status": status_line(Message(key), words)}


def weighed_parts(result: SetResult, words: Translator) -> Parts:
    """What depends on the balance alone: all but the rows of the questions."""
    about_run = run_note(result.manifest, result.num_bad_parts, words)
    note = words.sentences((own_elsewhere(result.num_own, words), about_run))
    query = Link("dataset", result.shown.run_id, balance=result.balance).query()
    asked = _asked(result, words)
    programs = programs_box(run_programs(result.shown.run_id), words)
    return {
        "headline": stale_notes([result.shown.run_id], asked, words)
        + headline(result.scored, result.is_complete, words, asked, note),
        "chart": layer_curves(result.scored, words),
        "link": link_box(query, words) + programs if result.is_complete else "",
    }


def _asked(result: SetResult, words: Translator) -> str:
    """How many questions, and by which model, for the line above the headline."""
    manifest = result.manifest
    done, name = result.num_answered, manifest.question_set[:100]
    return f"{words('questions_of_set', done=done, all=manifest.num_questions, set=name)} · {name_of(manifest, words)}"


def update_parts(update: SetUpdate, words: Translator) -> Parts:
    """A step of a set's run."""
    parts = set_parts(update.result, words) if update.result else {}
    return parts | {"status": status_line(update.status, words)}
