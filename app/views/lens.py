"""What the token lens shows, in words: where the answer settles, what its colours say, and the tokens of one cell."""

from html import escape

from app.figures.lens import cell_values, scale, shown_token
from app.language import Translator
from app.messages import note_on_head
from app.views.base import sentence, shown
from hcl_core.models.head_records import TRAINED_FOR_EXIT
from hcl_core.models.lens_records import RESID_POST, LensTable


def question_of(table: LensTable) -> str:
    """What the prompt asks: its last question, where it is a few-shot one, else its last line."""
    lines = [line for line in table.prompt.splitlines() if line.strip()] or [""]
    asked = [line for line in lines if line.startswith("Question: ")]
    return asked[-1].removeprefix("Question: ") if asked and lines[-1].strip() == "Answer:" else lines[-1]


def lens_headline(table: LensTable, words: Translator) -> str:
    """From which layer on the last layer's first word stays on top."""
    first = int(table.settles()[0])
    if table.site == RESID_POST:
        token = shown_token(table.top_token_texts[-1][0][0], 40)
        settles = words("lens_settles", token=token, layer=first, all=table.num_hidden_layers)
    else:
        settles = words(f"lens_at_{table.site}")
    asked = shown(question_of(table), 200)
    answer = shown("".join(table.token_texts)[-200:].strip(), 200)
    return (
        f'<div class="hcl-headline"><p class="hcl-asked" dir="auto">{asked} → {answer}</p><h2>{settles}</h2>'
        f"<p>{_head(table, words)}{words('lens_reading')}</p></div>"
    )


def _head(table: LensTable, words: Translator) -> str:
    """Which exit head read the layers, and what is to be said of it; ends with a space."""
    if (choice := table.head) is None:
        return ""
    if (note := note_on_head(choice)) is not None:
        return f"{escape(sentence(note, words))}. "
    return words(f"lens_head_{'trained' if choice.reason == TRAINED_FOR_EXIT else choice.taken}") + " "


def colour_scale(table: LensTable, shade: str, words: Translator) -> str:
    """What the colours of the heat map say: the values on a strip of them, and a sentence."""
    marks = "".join(
        f'<span style="left:{100 * share:.1f}%">{_mark(value, shade, words)}</span>'
        for share, value in scale(table, shade)
    )
    return (
        f'<div class="hcl-scale"><b>{words(shade)}</b><div><i></i>{marks}</div>'
        f"<p>{words(f'lens_shade_{shade}')}</p></div>"
    )


def _mark(value: float, shade: str, words: Translator) -> str:
    if shade == "final_rank":
        return words.count(int(value))
    return words.number(value, 2 if shade == "probability" else 1)


def no_cell(words: Translator) -> str:
    """Where the tokens of a cell appear, before one is chosen."""
    return f'<p class="hcl-more">{words("lens_choose")}</p>'


def top_table(table: LensTable, layer: int, position: int, words: Translator) -> str:
    """The most probable tokens of one cell, with their probabilities."""
    tops = zip(table.top_token_texts[layer][position], table.top_probabilities[layer, position], strict=True)
    rows = "".join(
        f'<tr><td dir="auto">{shown_token(text, 40)}</td><td>{words.number(float(share), 3)}</td>'
        f'<td><u style="width:{100 * float(share):.0f}%"></u></td></tr>'
        for text, share in tops
    )
    head = words("lens_cell", layer=layer + 1, token=shown_token(table.token_texts[position], 40))
    values = cell_values(table, layer, position, words)
    return (
        f'<div class="hcl-detail hcl-tops"><h3>{head}</h3><p>{values}</p><table><thead><tr><th>{words("token")}</th>'
        f"<th>{words('token_probability')}</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
