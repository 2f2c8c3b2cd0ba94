"""Type, colours and spacing, through Gradio's own theme variables, and the style sheet for our own parts."""

import re
from functools import cache
from pathlib import Path

import gradio as gr

_ASSETS = Path(__file__).parent.parent / "assets"
STYLE_SHEET = _ASSETS / "style.css"
# Of the page; an exported run has the first one alone.
STYLE_SHEETS = [STYLE_SHEET, _ASSETS / "ask.css", _ASSETS / "verdicts.css"]

# Fonts of the visitor's own machine: none is fetched.
_SANS = ["Inter", "system-ui", "-apple-system", "Segoe UI", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]


def make_theme() -> gr.themes.Base:
    """A calm page: one accent, thin lines, quiet panels; light and dark."""
    theme = gr.themes.Base(
        primary_hue="blue", neutral_hue="slate", font=_SANS, font_mono=_MONO, radius_size="md", text_size="md"
    )
    return theme.set(
        body_background_fill="#faf9f7",
        body_background_fill_dark="#14161a",
        body_text_color="#1d2430",
        body_text_color_dark="#eceef2",
        body_text_color_subdued="#5b6472",
        body_text_color_subdued_dark="#a3acba",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1b1e24",
        background_fill_secondary="#faf9f7",
        background_fill_secondary_dark="#14161a",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_title_text_color="#5b6472",
        block_title_text_color_dark="#a3acba",
        block_title_text_size="13px",
        block_title_text_weight="500",
        block_info_text_color="#5b6472",
        block_info_text_color_dark="#a3acba",
        border_color_primary="#e7e4de",
        border_color_primary_dark="#2c3038",
        color_accent="#0068a6",
        color_accent_soft="#e6f0f7",
        color_accent_soft_dark="#1a2c3a",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1b1e24",
        input_border_color="#d9d5cd",
        input_border_color_dark="#383d47",
        input_border_color_focus="#0068a6",
        input_border_color_focus_dark="#56b4e9",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 3px rgba(0,104,166,.18)",
        slider_color="#0068a6",
        slider_color_dark="#56b4e9",
        button_primary_background_fill="#0068a6",
        button_primary_background_fill_hover="#00588c",
        button_primary_background_fill_dark="#56b4e9",
        button_primary_background_fill_hover_dark="#7cc6ef",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#10202b",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="#f0ede7",
        button_secondary_background_fill_hover_dark="#23262d",
        button_secondary_text_color="#5b6472",
        button_secondary_text_color_dark="#a3acba",
        button_secondary_border_color="#d9d5cd",
        button_secondary_border_color_dark="#383d47",
        button_large_radius="8px",
        button_large_text_weight="550",
        button_large_text_size="15px",
        layout_gap="16px",
        table_even_background_fill="#ffffff",
        table_even_background_fill_dark="#1b1e24",
        table_odd_background_fill="#faf9f7",
        table_odd_background_fill_dark="#181b20",
        table_border_color="#e7e4de",
        table_border_color_dark="#2c3038",
        table_row_focus="#e6f0f7",
        table_row_focus_dark="#1a2c3a",
        table_text_color="#1d2430",
        table_text_color_dark="#eceef2",
        checkbox_background_color_dark="#14161a",
        checkbox_border_color="#8b94a4",
        checkbox_border_color_dark="#6b7482",
        checkbox_label_background_fill="transparent",
        checkbox_label_background_fill_dark="transparent",
        checkbox_label_background_fill_hover="#f0ede7",
        checkbox_label_background_fill_hover_dark="#23262d",
        checkbox_label_background_fill_selected="transparent",
        checkbox_label_background_fill_selected_dark="transparent",
    )


@cache
def light_colours() -> dict[str, str]:
    """Colours of the light theme by the names of their CSS variables."""
    light = re.search(r":root\s*{([^}]*)}", STYLE_SHEET.read_text(encoding="utf-8"))
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", light.group(1))) if light else {}
