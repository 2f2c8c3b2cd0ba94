"""What loading a question set did, as one line in the visitor's language."""

from app.language import Translator
from hcl_core.questions.report import LoadReport, Places

_MOST_LETTERS = 60


def report_line(report: LoadReport, words: Translator) -> str:
    """The line; not escaped."""
    parts = [
        words("set_layout", name=report.source[:_MOST_LETTERS], layout=words.joined(report.layouts)),
        words.plural("set_questions", report.num_questions),
    ]
    if report.encoding != "UTF-8":
        parts.append(words("set_encoding", encoding=report.encoding))
    if report.num_merged:
        parts.append(words.plural("set_merged", report.num_merged))
    if report.skipped:
        reasons = [f"{words(f'skipped_{reason}')} ({_places(report, each, words)})" for reason, each in report.skipped]
        parts.append(words.plural("set_skipped", report.num_skipped, reasons=words.joined(reasons)))
    parts += [f"{words(f'set_note_{note}')} ({_places(report, each, words)})" for note, each in report.notes]
    if report.unread:
        parts.append(words("set_unread", columns=words.joined(name[:_MOST_LETTERS] for name in report.unread)))
    return words.clauses(parts) + words("full_stop")


def _places(report: LoadReport, places: Places, words: Translator) -> str:
    numbers = words.joined(map(words.count, places.numbers))
    if (more := places.count - len(places.numbers)) > 0:
        numbers = words("places_more", numbers=numbers, more=words.count(more))
    return words.plural(f"places_{report.unit}", places.count, numbers=numbers)
