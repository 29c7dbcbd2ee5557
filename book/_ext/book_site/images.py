"""Size every image and load it late, so that pages neither jump nor wait."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from PIL import Image
from sphinx.application import Sphinx

IMAGE = re.compile(r"<img\b[^>]*>")
STYLED = re.compile(r' style="width: (\d+)(?:px)?; height: (\d+)(?:px)?;?"')
ATTRIBUTE = re.compile(r'([a-zA-Z-]+)="([^"]*)"')


def shown_size(file: Path) -> tuple[int, int]:
    """Return the size in CSS pixels; figures are saved at up to twice the 100 pixels an inch they show."""
    with Image.open(file) as image:
        density = max(1.0, image.info.get("dpi", (100, 100))[0] / 100)
        return round(image.width / density), round(image.height / density)


def with_size(tag: str, files: dict[str, Path], first: bool) -> str:
    attributes = dict(ATTRIBUTE.findall(tag))
    file = files.get(unquote(unescape(attributes.get("src", ""))).rsplit("/", 1)[-1])
    extra = []
    if asked := STYLED.search(tag):  # as attributes, the size keeps its shape on a narrow screen
        tag = tag.replace(asked.group(0), "")
        attributes.update(width=asked.group(1), height=asked.group(2))
        extra.append(f'width="{asked.group(1)}" height="{asked.group(2)}"')
    if file is not None and file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".gif"):
        if "width" not in attributes and "height" not in attributes:
            width, height = shown_size(file)
            extra.append(f'width="{width}" height="{height}"')
    if not first and "loading" not in attributes:
        extra.append('loading="lazy"')
    if "decoding" not in attributes:
        extra.append('decoding="async"')
    return "<img " + " ".join(extra) + tag[4:] if extra else tag


def size_images(app: Sphinx, body: str) -> str:
    """Return the page's body with width, height and lazy loading on its images."""
    files = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
    seen = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        return with_size(match.group(0), files, first=seen == 1)

    return IMAGE.sub(replace, body)


def setup(app: Sphinx) -> None:
    """Nothing to connect: pages.py calls size_images."""
