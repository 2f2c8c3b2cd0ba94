"""The page's colours in both themes: told apart by colour-blind eyes too, and clear of what they stand on."""

import re
import warnings
from itertools import combinations

import numpy as np
import pytest

from app.theme import STYLE_SHEET, make_theme

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # colour-science misses matplotlib, which only its plots need
    import colour

    # What an eye without one kind of cones makes of linear sRGB: Machado, Oliveira and Fernandes 2009, severity 1.
    # Of the last, the authors say that it only approximates the missing cones.
    VISIONS = {"normal": np.eye(3)} | {
        kind: colour.matrix_cvd_Machado2009(kind, 1.0) for kind in ("Protanomaly", "Deuteranomaly", "Tritanomaly")
    }

# CIEDE2000. Half of all viewers tell marks of a third of a degree apart from 7.3 L* on (Stone, Szafir and Setlur 2014:
# 0.5 * (10.16 + 1.50 / size)), and it's about one step of a scale of eight greys. Ten leaves a margin, no more is
# wanted: a shape, a sign or a pattern always stands beside colour.
APART = 10
TEXT, GRAPHICS = 4.5, 3  # WCAG 2.2, success criteria 1.4.3 (level AA; our text is small) and 1.4.11


def declared(selector):
    """``{name: code}`` of the colours in the blocks of ``selector``, without ``--hcl-``."""
    blocks = re.findall(rf"^{re.escape(selector)} {{(.*?)}}", STYLE_SHEET.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return dict(re.findall(r"--hcl-([\w-]+):\s*(#\w+);", "".join(blocks)))


LIGHT, DARK = declared(":root"), declared(".dark")
THEMES = {
    "light": LIGHT | {"body": make_theme().body_background_fill},
    "dark": LIGHT | DARK | {"body": make_theme().body_background_fill_dark},
}


def names(pattern):
    return [name for name in LIGHT if re.fullmatch(pattern, name)]


SIDE_BY_SIDE = {
    "curves": ["hallucination", "creativity", "hcb"],
    "curves of open questions": ["plausibility", "creativity", "hcb"],
    "verdicts": ["right", "wrong"],
    "right answers and ideas": ["right", "creativity"],
    "runs": names(r"run-\d"),
    # An answer that a layer does not give has no height there, so any two can touch. The panel is what the patterns are
    # drawn with, and an area like it would look like none.
    "river": [*names(r"right-\d|wrong-\d|rest-(correct|incorrect|not-attempted)"), "panel"],
    "river of open questions": [*names(r"idea-\d|rest-(unjudged|not-attempted)"), "panel"],
}
TEXTS = [
    *((text, ground) for text in ("ink", "muted", "accent", "right", "wrong") for ground in ("panel", "body")),
    *(("ink", ground) for ground in ("right-soft", "wrong-soft", "accent-soft", "heat-0", "heat-1", "heat-2")),
    *(("muted", soft) for soft in ("right-soft", "wrong-soft")),
    *((sign, f"{sign}-soft") for sign in ("right", "wrong", "accent")),
]
LINES = [
    *((curve, ground) for curve in (*SIDE_BY_SIDE["curves"], "plausibility") for ground in ("panel", "tied")),
    *((run, ground) for run in SIDE_BY_SIDE["runs"] for ground in ("panel", "body")),
    *((line, "panel") for line in ("right", "wrong", "bar")),
]


def linear(code):
    """``[3]`` red, green and blue of ``#rrggbb`` as amounts of light from 0 to 1."""
    return colour.models.eotf_sRGB(np.frombuffer(bytes.fromhex(code[1:]), np.uint8) / 255)


def seen(code, vision):
    """``[3]`` CIE L*a*b* of a colour as such an eye sees it."""
    simulated = np.clip(VISIONS[vision] @ linear(code), 0, 1)
    return colour.XYZ_to_Lab(colour.RGB_to_XYZ(simulated, "sRGB"), colour.RGB_COLOURSPACES["sRGB"].whitepoint)


def difference(one, other, vision="normal"):
    return float(colour.delta_E(seen(one, vision), seen(other, vision), method="CIE 2000"))


def contrast(one, other):
    """Of two colours, 1 to 21, as WCAG defines it."""
    darker, lighter = sorted(float(linear(code) @ (0.2126, 0.7152, 0.0722)) for code in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_yardsticks_measure_what_is_known():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)  # the lightest grey for text on white
    for vision in VISIONS:
        assert difference("#000000", "#ffffff", vision) == pytest.approx(100, abs=0.01)  # greys stay as they are
    red, green, blue = "#b03000", "#507000", "#0050a0"
    for vision in ("Protanomaly", "Deuteranomaly"):
        assert difference(red, green, vision) < difference(red, green) / 2 < difference(red, blue, vision)


def test_every_colour_has_a_light_and_a_dark_value():
    assert LIGHT.keys() == DARK.keys()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("group", SIDE_BY_SIDE)
def test_colours_side_by_side_stay_apart(group, vision, theme):
    pairs = list(combinations(SIDE_BY_SIDE[group], 2))
    found = {(a, b): round(difference(THEMES[theme][a], THEMES[theme][b], vision), 1) for a, b in pairs}
    assert found and {pair: apart for pair, apart in found.items() if apart < APART} == {}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("vision", VISIONS)
def test_a_surer_cell_of_the_heat_map_stands_out_more(vision, theme):
    """Lightness alone gives the order, whatever becomes of the hue."""
    shades = [THEMES[theme][name] for name in ("panel", "heat-0", "heat-1", "heat-2")]
    panel, *heat = (float(seen(code, vision)[0]) for code in shades)
    away = [abs(lightness - panel) for lightness in heat]
    assert np.all(np.diff(away) >= APART)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_can_be_read(text, ground, theme):
    assert contrast(THEMES[theme][text], THEMES[theme][ground]) >= TEXT


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize(("line", "ground"), LINES)
def test_lines_and_bars_can_be_seen(line, ground, theme):
    assert contrast(THEMES[theme][line], THEMES[theme][ground]) >= GRAPHICS
