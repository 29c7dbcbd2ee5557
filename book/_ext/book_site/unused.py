"""No style, script or picture in the site that no page shows or names.

Sphinx and its extensions bring their own, and pictures that are shown as WebP leave their originals behind.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

FILE_NAME = re.compile(r"[\w.-]+\.(?:css|js|png|jpe?g|gif|webp|svg)\b")


def drop_unused(app: Sphinx, failure: Exception | None) -> None:
    if failure is not None or app.builder.format != "html":
        return
    site = Path(app.outdir)
    named: set[str] = set()
    for file in [*site.rglob("*.html"), *site.glob("_static/*.js")]:
        named.update(FILE_NAME.findall(file.read_text(encoding="utf-8")))
    for folder in ("_images", "_static"):
        for file in (site / folder).rglob("*"):
            if FILE_NAME.fullmatch(file.name) and file.name not in named:
                file.unlink()


def setup(app: Sphinx) -> None:
    app.connect("build-finished", drop_unused, priority=900)  # after Sphinx has copied everything
