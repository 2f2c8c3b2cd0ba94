"""What the token lens shows, in words: where the answer settles, and the tokens of one cell."""

from app.figures.lens import shown_token
from app.language import Words
from app.views.base import shown
from hcl_core.lens import LensTable


def lens_headline(table: LensTable, words: Words) -> str:
    """From which layer on the last layer's first word stays on top."""
    first = int(table.settles()[0])
    token = shown_token(table.top_token_texts[-1][0][0], 40)
    sentence = words("lens_settles", token=token, layer=first, all=table.num_hidden_layers)
    asked = shown(table.prompt.strip().splitlines()[-2] if "\n" in table.prompt.strip() else table.prompt, 200)
    answer = shown("".join(table.token_texts).strip(), 200)
    return (
        f'<div class="hcl-headline"><p class="hcl-asked" dir="auto">{asked} → {answer}</p><h2>{sentence}</h2>'
        f"<p>{words('lens_reading')}</p></div>"
    )


def top_table(table: LensTable, layer: int, place: int, words: Words) -> str:
    """The most probable tokens of one cell, with their probabilities."""
    tops = zip(table.top_token_texts[layer][place], table.top_probabilities[layer, place], strict=True)
    rows = "".join(
        f'<tr><td dir="auto">{shown_token(text, 40)}</td><td>{words.number(float(share), 3)}</td>'
        f'<td><u style="width:{100 * float(share):.0f}%"></u></td></tr>'
        for text, share in tops
    )
    head = words("lens_cell", layer=layer + 1, token=shown_token(table.token_texts[place], 40))
    return (
        f'<div class="hcl-detail hcl-tops"><h3>{head}</h3><table><thead><tr><th>{words("token")}</th>'
        f"<th>{words('token_probability')}</th><th></th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
