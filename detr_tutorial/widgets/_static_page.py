"""A widget as a piece of HTML that works on any page: state, module and style, and no request to anybody.

The module takes every element `data-detr-widget` of its name when it loads, and hands it a model with
anywidget's front-end methods (js/src/host.js). Nothing here depends on a random number or a counter, so the
same widget always gives the same text.
"""

import json
import os
from html import escape
from pathlib import Path
from typing import Any

STATIC_ONLY_VARIABLE = "DETR_TUTORIAL_STATIC_WIDGETS"


def static_only() -> bool:
    """Is the environment asking for pages without a kernel (DETR_TUTORIAL_STATIC_WIDGETS=1)?"""
    return os.environ.get(STATIC_ONLY_VARIABLE, "0") not in ("", "0")


def widget_html(name: str, state: dict[str, Any], fallback: str, module: Path, style: Path) -> str:
    """Build the HTML of one widget.

    Args:
        name: the name under which the module looks for its elements.
        state: what the model holds at the start; JSON types only.
        fallback: HTML shown until the module has loaded, and for good where scripts are off.
        module: the bundled ES module.
        style: the bundled style sheet.
    """
    state_json = json.dumps(state, separators=(",", ":"), sort_keys=True, allow_nan=False).replace(
        "</", "<\\/"
    )
    source = module.read_text(encoding="utf-8").strip().replace("</script", "<\\/script")
    sheet = style.read_text(encoding="utf-8").strip()
    return (
        f'<div class="detr-widget" data-detr-widget="{escape(name)}">\n'
        f"<style>{sheet}</style>\n"
        f'<script type="application/json">{state_json}</script>\n'
        f"<div data-detr-widget-body>{fallback}</div>\n"
        f'<script type="module">{source}</script>\n'
        "</div>"
    )
