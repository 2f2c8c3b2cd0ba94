"""The pages of a class as HTML: what students, the teacher and the projector see at each stage of the lesson.

Everything from a lesson or a model is escaped here. All is in the lesson's language.
"""

from html import escape

import segno

from app.language import Translator
from app.lessons.asking import asked_of, forms, spread_so_far
from app.lessons.base import paragraphs, text
from app.lessons.reveal import reveal
from app.lessons.room import LOBBY, Room, Stage


def page(view: str, base: str, room: Room, words: Translator) -> str:
    """A whole page, which ``class.js`` fills.

    Args:
        view: ``student``, ``teacher`` or ``show``.
        base: From the page's address to that of the class, such as ``../``.
        room: Of the class.
        words: The lesson's.
    """
    title = text(room.lesson.title)
    return f"""<!doctype html>
<html lang="{words.language}" data-view="{view}" data-base="{base}">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{title} · HCL Explorer</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="{base}assets/class.css"></head>
<body class="{view}"><header><b>HCL Explorer</b><span>{title}</span><span id="who"></span></header>
<main id="main" tabindex="-1"><p>{words("class_loading")}</p></main>
<p id="problem" role="alert" data-lost="{escape(words("class_lost"))}"></p>
<p id="said" class="unseen" role="status"></p>
<noscript><p>{words("class_no_script")}</p></noscript><script src="{base}assets/class.js"></script></body></html>"""


def student_stage(room: Room, stage: Stage, words: Translator) -> str:
    """What a student sees; the same for all, what is theirs is the script's."""
    if stage.at == LOBBY:
        return (
            f"<h1>{text(room.lesson.title)}</h1>{paragraphs(room.lesson.about)}"
            f'<p class="wait">{words("class_you_are_in")}</p>'
        )
    step = room.lesson.steps[stage.at]
    if not stage.is_revealed:
        return _head(room, stage, words) + forms(room, stage.at, step, words)
    return (
        _head(room, stage, words)
        + reveal(room, stage, words, mine="data-option")
        + paragraphs(step.explain)
        + _end(room, stage, words)
    )


def show_stage(room: Room, stage: Stage, address: str, words: Translator) -> str:
    """What the projector shows: how to join, then the question, then a large chart and nothing else."""
    if stage.at == LOBBY:
        return f"<h1>{text(room.lesson.title)}</h1>{join_box(address, words)}{_count(room, words)}"
    if stage.is_revealed:
        return f'<div class="large">{reveal(room, stage, words, mine="", with_table=False)}</div>'
    step = room.lesson.steps[stage.at]
    asked = "".join(f"<li>{text(asked_of(prediction, words))}</li>" for prediction in step.predict)
    num_in = max(room.spread(stage.at, at).total() for at in range(len(step.predict)))
    return (
        f'{_head(room, stage, words)}{_progress(stage, words)}<ol class="asked">{asked}</ol>'
        f'<div class="foot">{join_box(address, words)}'
        f'<p class="big">{words("class_have_predicted", count=words.count(num_in), all=words.count(room.num_students))}'
        "</p></div>"
    )


def teacher_stage(room: Room, stage: Stage, address: str, words: Translator) -> str:
    """The teacher's page: where the lesson goes next, who is in, and the spread of predictions as they come."""
    title = room.lesson.title if stage.at == LOBBY else room.lesson.steps[stage.at].title
    failing = f'<p class="problem">{words("class_not_kept")}</p>' if room.store.is_failing else ""
    problem = f'<p class="problem">{text(words.error(stage.problem))}</p>' if stage.problem else ""
    return (
        f'<div class="board"><section><h1>{text(title)}</h1>{_controls(room, stage, words)}{failing}{problem}'
        f"{_progress(stage, words)}{_teacher_body(room, stage, words)}</section>"
        f"<aside>{_count(room, words)}{join_box(address, words)}"
        f'<p><a href="../show" target="_blank">{words("class_projector")}</a></p>'
        f'<p><a href="{{token}}/predictions.csv" download>{words("class_csv")}</a></p>'
        f'<p><button type="button" class="quiet" data-do="reset" data-sure="{escape(words("class_reset_sure"))}">'
        f"{words('class_reset')}</button></p></aside></div>"
    )


def _teacher_body(room: Room, stage: Stage, words: Translator) -> str:
    if stage.at == LOBBY:
        rows = "".join(f"<li>{text(step.title)}</li>" for step in room.lesson.steps)
        return f'{paragraphs(room.lesson.about)}<ol class="steps">{rows}</ol>'
    step = room.lesson.steps[stage.at]
    if stage.is_revealed:
        return _question(room, stage.at, words) + reveal(room, stage, words, mine="") + paragraphs(step.explain)
    parts = [_question(room, stage.at, words), paragraphs(step.text)]
    for at, prediction in enumerate(step.predict):
        spread = room.spread(stage.at, at)
        count = words("class_have_predicted", count=words.count(spread.total()), all=words.count(room.num_students))
        parts.append(f"<h2>{text(asked_of(prediction, words))}</h2><p>{count}</p>")
        parts.append(spread_so_far(prediction, spread, words))
    return "".join(parts)


def _controls(room: Room, stage: Stage, words: Translator) -> str:
    last = len(room.lesson.steps) - 1
    buttons = []
    if stage.at >= 0 and not stage.is_revealed:
        if stage.run is not None:
            buttons.append(("reveal", stage.at, words("class_reveal"), "main"))
        elif stage.progress is None:
            buttons.append(("run", stage.at, words("class_run"), "main"))
    if stage.at < last:
        is_main = stage.at == LOBBY or stage.is_revealed
        name = words("class_begin") if stage.at == LOBBY else words("class_next")
        buttons.append(("go", stage.at + 1, name, "main" if is_main else ""))
    if stage.at > LOBBY:
        buttons.append(("go", stage.at - 1, words("class_back"), ""))
    made = "".join(
        f'<button type="button" class="{kind}" data-do="{do}" data-at="{at}">{name}</button>'
        for do, at, name, kind in buttons
    )
    place = "" if stage.at == LOBBY else f"<span>{words('class_step_of', at=stage.at + 1, all=last + 1)}</span>"
    return f'<p class="controls">{made}{place}</p>'


def join_box(address: str, words: Translator) -> str:
    """The address that students open, as a text and as a QR code."""
    code = segno.make(address, error="m", micro=False).svg_inline(omitsize=True, border=2, light="#fff", dark="#000")
    code = code.replace("<svg ", f'<svg class="qr" role="img" aria-label="{escape(words("class_qr"))}" ', 1)
    # Without its scheme, which nobody has to type.
    return (
        f'<div class="join">{code}<p>{words("class_join_at")}<b>{text(address.removeprefix("http://"))}</b></p></div>'
    )


def _count(room: Room, words: Translator) -> str:
    return f'<p class="big">{words.plural("class_in", room.num_students)}</p>'


def _head(room: Room, stage: Stage, words: Translator) -> str:
    step = room.lesson.steps[stage.at]
    place = words("class_step_of", at=stage.at + 1, all=len(room.lesson.steps))
    intro = "" if stage.is_revealed else paragraphs(step.text)
    return f'<p class="place">{place}</p><h1>{text(step.title)}</h1>{_question(room, stage.at, words)}{intro}'


def _question(room: Room, at: int, words: Translator) -> str:
    ask = room.lesson.steps[at].ask
    asked = ask.question if ask else room.view(at).stored.question.text
    return (
        f'<p class="quote"><small>{words("class_the_model_is_asked")}</small><span dir="auto">{text(asked)}</span></p>'
    )


def _progress(stage: Stage, words: Translator) -> str:
    if stage.progress is None:
        return ""
    num_done, num_wanted = stage.progress
    share = 100 * num_done / max(num_wanted, 1)
    return (
        f'<p class="wait">{words("class_running")} {words.percent(share / 100)}</p><svg class="progress" '
        f'viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="2"/>'
        f'<rect class="bar" width="{share:.1f}" height="2"/></svg>'
    )


def _end(room: Room, stage: Stage, words: Translator) -> str:
    is_last = stage.at == len(room.lesson.steps) - 1
    return f'<p class="wait">{words("class_end" if is_last else "class_wait_next")}</p>'
