"""Widgets whose script comes when they come near the screen, once for the whole site.

A notebook stores a widget as HTML that carries its own module (detr_tutorial/widgets/_static_page.py), so
that it works anywhere. On the site the module becomes a file that all pages share: a classic script, because
browsers refuse modules to pages that are opened as files. `book.js` asks for it.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx

HOST = re.compile(
    r'<div class="detr-widget" data-detr-widget="(?P<name>\w+)">'
    r'(?P<inside>(?:(?!<script type="module">).)*)<script type="module">(?P<module>.*?)</script>\s*</div>',
    re.S,
)
EXPORT = re.compile(r"export\s*\{[^{}]*\};?\s*$")


def classic_script(module: str) -> str:
    """Return a bundled module as a classic script that does the same on a page, without its exports.

    Raises:
        ValueError: if the module imports something, or does not end with its exports.
    """
    source, exports = EXPORT.subn("", module.strip().replace("<\\/script", "</script"))
    if exports != 1 or re.search(r"(?:^|[;}\s])import\b\s*[\w{*\"'(.]", source):
        raise ValueError("a widget's module must be one bundle, without imports, that ends with its exports")
    return f'(()=>{{"use strict";{source}}})();\n'


def with_late_widgets(app: Sphinx, body: str, pathto: Callable[..., str]) -> str:
    """Return the body with each widget's module replaced by the address of its script."""

    def replace(host: re.Match[str]) -> str:
        script = classic_script(host["module"])
        name = f"widgets/{host['name']}.{hashlib.sha256(script.encode()).hexdigest()[:10]}.js"
        file = Path(app.outdir, "_static", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(script, encoding="utf-8")
        address = pathto(f"_static/{name}", resource=True)
        return (
            f'<div class="detr-widget" data-detr-widget="{host["name"]}" data-script="{address}">'
            f"{host['inside']}</div>"
        )

    return HOST.sub(replace, body)
