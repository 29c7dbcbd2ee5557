"""Images that neither make a page jump nor keep it waiting: sized, late, as WebP where that is smaller."""

import hashlib
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from PIL import Image
from sphinx.application import Sphinx

IMAGE = re.compile(r"<img\b[^>]*>")
STYLED = re.compile(r' style="width: (\d+)(?:px)?; height: (\d+)(?:px)?;?"')
ATTRIBUTE = re.compile(r'([a-zA-Z-]+)="([^"]*)"')
SHRUNK = (".png", ".jpg", ".jpeg")


def shown_size(file: Path) -> tuple[int, int]:
    """Return the size in CSS pixels; figures are saved at up to twice the 100 pixels an inch they show."""
    with Image.open(file) as image:
        density = max(1.0, image.info.get("dpi", (100, 100))[0] / 100)
        return round(image.width / density), round(image.height / density)


def as_webp(file: Path, folder: Path) -> Path | None:
    """Return the image as WebP, without loss for a PNG, or None where that is not a tenth smaller.

    What was made once is kept in `folder` from build to build, under the hash of the original.
    """
    original = file.read_bytes()
    made = folder / f"{hashlib.sha256(original).hexdigest()}.webp"
    if not made.exists():
        half = made.with_suffix(".half")
        with Image.open(file) as image:
            image.save(half, "WEBP", lossless=file.suffix == ".png", quality=80, method=4)
        half.replace(made)
    return made if made.stat().st_size < 0.9 * len(original) else None


def source_name(tag: str) -> str:
    """Return the name of the file that an <img> shows."""
    return unquote(unescape(dict(ATTRIBUTE.findall(tag)).get("src", ""))).rsplit("/", 1)[-1]


def with_size(tag: str, file: Path | None, lazy: bool) -> str:
    attributes = dict(ATTRIBUTE.findall(tag))
    extra = []
    if asked := STYLED.search(tag):  # as attributes, the size keeps its shape on a narrow screen
        tag = tag.replace(asked.group(0), "")
        attributes.update(width=asked.group(1), height=asked.group(2))
        extra.append(f'width="{asked.group(1)}" height="{asked.group(2)}"')
    if file is not None and file.suffix.lower() in (*SHRUNK, ".webp", ".gif"):
        if "width" not in attributes and "height" not in attributes:
            width, height = shown_size(file)
            extra.append(f'width="{width}" height="{height}"')
    if lazy and "loading" not in attributes:
        extra.append('loading="lazy"')
    if "decoding" not in attributes:
        extra.append('decoding="async"')
    return "<img " + " ".join(extra) + tag[4:] if extra else tag


def size_images(app: Sphinx, body: str, lazy_from: int) -> str:
    """Return the page's body with its images smaller, sized, and lazy from that one on."""
    files = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
    tags = IMAGE.findall(body)
    shown = {name: files[name] for name in map(source_name, tags) if name in files}
    smaller = smaller_images(app, shown.values())
    seen = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal seen
        seen += 1
        name = source_name(match[0])
        tag = with_size(match[0], shown.get(name), lazy=seen > lazy_from)
        if webp := smaller.get(shown.get(name)):
            # the original is copied too, and stays where a page names it: see unused.py
            app.builder.images[str(webp)] = f"{name}.webp"
            tag = tag.replace(f'{name}"', f'{name}.webp"')
        return tag

    return IMAGE.sub(replace, body)


def smaller_images(app: Sphinx, files: Iterable[Path]) -> dict[Path | None, Path | None]:
    folder = Path(app.outdir).parent / "webp"
    folder.mkdir(parents=True, exist_ok=True)
    originals = sorted({file for file in files if file.suffix.lower() in SHRUNK})
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(originals, pool.map(lambda file: as_webp(file, folder), originals), strict=True))
