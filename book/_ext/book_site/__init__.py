"""The book's own Sphinx extension: a light theme, mathematics rendered at build time, tidy notebook cells.

Pages carry only what they use: no web fonts for text, no icon fonts, no framework scripts, and nothing
from another host.
"""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from . import cells, mathematics, measure, pages, places, reference, status, syntax, unused, widget_directive

THEME_DIR = Path(__file__).resolve().parents[2] / "theme"


def setup(app: Sphinx) -> dict[str, Any]:
    # Jupyter Book always sets these two; the extensions that read them are not loaded.
    app.add_config_value("thebe_config", {}, "html")
    app.add_config_value("comments_config", {}, "html")
    app.add_html_theme("book", str(THEME_DIR))
    parts = (mathematics, syntax, cells, measure, pages, places, reference, status, unused, widget_directive)
    for part in parts:
        part.setup(app)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
