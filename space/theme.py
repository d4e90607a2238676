"""The theme of the page, and the paths of its style sheet, its HTML head and its script.

style.css holds the colors of positive and negative; head.html adds keyboard and screen reader
support; page.js shows answers in order and gives tabs and reviews their addresses. Fonts come from
the user's machine.
"""

from pathlib import Path

import gradio

STYLE, HEAD, SCRIPT = (
    Path(__file__).with_name(name) for name in ("style.css", "head.html", "page.js")
)
SANS = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "sans-serif"]

THEME = gradio.themes.Base(
    primary_hue=gradio.themes.colors.blue,
    neutral_hue=gradio.themes.colors.slate,
    radius_size=gradio.themes.sizes.radius_md,
    spacing_size=gradio.themes.sizes.spacing_md,
    text_size=gradio.themes.sizes.text_md,
    font=SANS,
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="*neutral_50",
    body_background_fill_dark="*neutral_950",
    block_background_fill="white",
    block_background_fill_dark="*neutral_900",
    block_border_width="1px",
    block_shadow="none",
    block_label_text_color="*neutral_700",
    block_label_text_color_dark="*neutral_200",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    input_background_fill="white",
    input_background_fill_dark="*neutral_900",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    # Dark enough for white text (WCAG AA).
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_600",
    button_primary_text_color="white",
    button_secondary_text_color="*neutral_800",
    button_secondary_text_color_dark="*neutral_100",
)
