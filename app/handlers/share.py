"""What a question that is shown becomes for others: figures for print, a page, its answers and its scores."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from app import library
from app.export import export_question_page
from app.figures.curves import layer_curves
from app.figures.printed import printed
from app.figures.river import answer_river
from app.handlers.measures import further_measures
from app.question_view import QuestionView
from app.views.methods import figure_caption
from app.visit import Balance, Visit
from hcl_core.errors import SettingsError
from hcl_core.transfer.export import export_csv, write_scores

# Name of a file, and its media type.
FILES = {
    "curves.svg": "image/svg+xml",
    "curves.pdf": "application/pdf",
    "river.svg": "image/svg+xml",
    "river.pdf": "application/pdf",
    "page.html": "text/html; charset=utf-8",
    "answers.csv": "text/csv; charset=utf-8",
    "scores.csv": "text/csv; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file to save.

    Attributes:
        name: What it is saved as; letters of ASCII, digits, dashes and dots.
        media_type: Of it.
        content: Its bytes.
    """

    name: str
    media_type: str
    content: bytes


def file_name(run_id: str, question_id: str, file: str) -> str:
    """What ``file`` is saved as; ``question_id`` is of the user's own making."""
    slug = re.sub(r"[^a-z0-9]+", "-", question_id.lower()).strip("-")[:40]
    return "-".join(filter(None, (run_id, slug, file)))


def make_file(visit: Visit, file: str, run_id: str, question_id: str, balance: Balance) -> SharedFile:
    """One of ``FILES`` of a stored question; raises ``HclError`` if there is none."""
    if file not in FILES:
        raise SettingsError(f"file must be one of {', '.join(FILES)}; got {file[:40]!r}")
    run = library.find_run(run_id)
    view = QuestionView.load(run, question_id)
    scored = view.outcomes.scored(balance.weights, balance.scaling)
    kind, _, ending = file.partition(".")
    name = file_name(run_id, question_id, file)
    if kind in ("curves", "river"):
        if kind == "river":
            figure = answer_river(view.meanings, view.layers, visit.words)
        else:
            figure = layer_curves(scored, visit.words, further_measures(view, balance.more, visit.service))
        content = printed(figure, ending, view.stored.question.text, figure_caption(view.manifest, visit.words))
        return SharedFile(name, FILES[file], content)
    with tempfile.TemporaryDirectory(prefix="hcl-share-") as folder:
        target = Path(folder) / file
        if kind == "page":
            export_question_page(run, question_id, balance, target, visit.words)
        elif kind == "answers":
            export_csv(run.folder, target, question_id=question_id)
        else:
            write_scores(scored.scores, scored.uncertainty.layers, scored.is_open, target)
        return SharedFile(name, FILES[file], target.read_bytes())
