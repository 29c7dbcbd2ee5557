"""Photographs as tensors: the four that ship with the book, or any picture of your own.

Anyone may use, change and share the shipped ones; `credits()` says who made them. Taught in
notebooks/02_images_boxes_padding.ipynb.
"""

import json
import os
import warnings
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from detr_tutorial._validation import require_int

# Formats of photographs. Others that Pillow knows (EPS, PDF, fonts, ...) run programs or are not pictures.
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")


class Credit(NamedTuple):
    """Who made a photograph, where it comes from, and what its license is."""

    name: str
    file: str
    title: str
    author: str
    source: str
    license: str


def credits() -> tuple[Credit, ...]:  # noqa: A001 - photos.credits() reads well
    """Say for each shipped photograph who made it, where it comes from, and its license.

    Returns:
        One Credit a photograph, in the order of `names()`.
    Source: tools/make_photos.py; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    entries = json.loads(files(__name__).joinpath("credits.json").read_text(encoding="utf-8"))
    return tuple(Credit(**entry) for entry in entries)


def names() -> tuple[str, ...]:
    """Name the shipped photographs.

    Returns:
        The names that `load` understands.
    Source: tools/make_photos.py; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    return tuple(credit.name for credit in credits())


def load(name_or_path: str | os.PathLike[str], max_side: int | None = None) -> Float[Tensor, "3 H W"]:
    """Load a shipped photograph by name, or a picture of your own by path.

    A picture is turned as its camera says (EXIF), transparent pixels become white, gray becomes RGB, 16 bits
    become 8, and of several frames or pages the first is taken.

    Args:
        name_or_path: one of `names()`, or the path of a picture (JPEG, PNG, WebP, GIF, TIFF, BMP, ...).
        max_side: shrink the picture so that its longer side has at most this many pixels; None keeps it.
    Returns:
        RGB in [0, 1].
    Raises:
        TypeError: if `name_or_path` is not a string or a path, or `max_side` not an int.
        FileNotFoundError: if there is neither a shipped photograph nor a file of that name.
        ValueError: if the file is not a whole picture (empty, cut off, a folder, ...), or is larger than
            Pillow's limit for one picture, or `max_side` is smaller than 1.
    Source: ours; taught in notebooks/02_images_boxes_padding.ipynb.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(f"name_or_path must be a string or a path, got {type(name_or_path).__name__}")
    if max_side is not None:
        require_int("max_side", max_side)
    shipped = {credit.name: credit.file for credit in credits()}
    if name_or_path in shipped:
        with (
            files(__name__).joinpath(shipped[str(name_or_path)]).open("rb") as file,
            Image.open(file) as picture,
        ):
            rgb = picture.convert("RGB")
    else:
        rgb = _read(Path(os.path.expanduser(name_or_path)))
    if max_side is not None and max(rgb.size) > max_side:
        scale = max_side / max(rgb.size)
        width, height = (max(1, round(side * scale)) for side in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(rgb, dtype=np.float32) / 255)
    return rearrange(pixels, "H W channel -> channel H W").contiguous()


def _read(path: Path) -> Image.Image:
    """Read a file as an 8-bit RGB picture, or raise one error that names it."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file, and no shipped photograph ({', '.join(names())})")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: not a file but a {'folder' if os.path.isdir(path) else 'device'}")
    try:
        if os.path.getsize(path) == 0:
            raise ValueError("the file is empty")
        Image.init()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as picture:
                picture.load()
                return _to_rgb(ImageOps.exif_transpose(picture))
    except Image.UnidentifiedImageError:
        raise ValueError(f"{path}: not a picture in a known format ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels, shrink it first") from None
    except Exception as error:  # Pillow's decoders raise many kinds: OSError, SyntaxError, struct.error, ...
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable picture ({reason})") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep_to_rgb(picture)
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return picture.convert("RGB")


def _deep_to_rgb(picture: Image.Image) -> Image.Image:
    """Gray with 16 or 32 bits: Pillow's own conversion cuts everything above 255 off."""
    values = np.asarray(picture).astype(np.float64)
    highest = 1.0 if picture.mode == "F" else 65535.0
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= highest):
        raise ValueError(f"gray values of mode {picture.mode} must lie in [0, {highest:g}]")
    if "transparency" in picture.info:
        values = np.where(values == picture.info["transparency"], highest, values)
    return Image.fromarray(np.round(values / highest * 255).astype(np.uint8), mode="L").convert("RGB")
