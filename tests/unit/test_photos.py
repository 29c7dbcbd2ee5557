"""Photographs: the shipped ones, and every kind of picture a reader may bring."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch.testing import assert_close

from detr_tutorial.data import photos

FOLDER = Path(photos.__file__).parent
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def colors(height: int = 6, width: int = 9) -> np.ndarray:
    """A picture without symmetry: red to the right, green downwards, blue in the top left cell."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[:, :, 0] = np.linspace(0, 255, width)[None]
    picture[:, :, 1] = np.linspace(0, 255, height)[:, None]
    picture[0, 0, 2] = 255
    return picture


def png(width: int, height: int, depth: int, color_type: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG file of a kind that Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    body = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)


# The shipped photographs -----------------------------------------------------------------------------------


def test_the_shipped_photographs_fit_the_book():
    shapes = {name: photos.load(name).shape[1:] for name in photos.names()}
    assert 3 <= len(shapes) <= 4
    assert any(height > width for height, width in shapes.values())
    assert any(height < width for height, width in shapes.values())
    assert len({round(width / height, 1) for height, width in shapes.values()}) >= 2


def test_each_is_a_jpeg_of_at_most_150_kilobytes():
    files = sorted(path.name for path in FOLDER.glob("*.jp*g"))
    assert files == sorted(credit.file for credit in photos.credits())
    for name in files:
        assert (FOLDER / name).stat().st_size <= 150 * 1024
        with Image.open(FOLDER / name) as picture:
            assert picture.format == "JPEG"


def test_each_has_an_author_a_source_and_a_free_license_in_the_credits_file():
    text = (FOLDER / "CREDITS.md").read_text()
    for credit in photos.credits():
        assert credit.license in ("CC0", "Public domain")
        assert credit.name in photos.names()
        for part in (credit.file, credit.title, credit.author, credit.source, credit.license):
            assert part
            assert part in text


@pytest.mark.parametrize("name", photos.names())
def test_a_photograph_is_rgb_in_zero_to_one(name):
    photo = photos.load(name)
    assert photo.shape[0] == 3
    assert photo.dtype == torch.float32
    assert photo.is_contiguous()
    assert photo.min() >= 0
    assert 0.5 < photo.max() <= 1
    assert photo.std() > 0.05


def test_a_photograph_shows_what_its_name_says():
    coffee, astronaut = photos.load("coffee"), photos.load("astronaut")
    assert coffee[0].mean() > coffee[2].mean() + 0.2  # a red saucer on brown wood
    red, green, blue = astronaut[:, 350, 100]  # the orange suit
    assert red > green > blue


def test_two_calls_share_no_memory():
    photos.load("cat").fill_(0)
    assert photos.load("cat").max() > 0.5


# Size ----------------------------------------------------------------------------------------------------


def test_max_side_bounds_the_longer_side_and_keeps_the_aspect_ratio():
    assert photos.load("coffee", max_side=300).shape == (3, 200, 300)
    assert photos.load("astronaut", max_side=256).shape == (3, 256, 200)


def test_max_side_never_enlarges():
    assert torch.equal(photos.load("cat", max_side=5000), photos.load("cat"))
    assert torch.equal(photos.load("cat", max_side=451), photos.load("cat"))


def test_a_shrunken_picture_is_the_average_of_the_large_one():
    large, small = photos.load("coffee"), photos.load("coffee", max_side=60)
    blocks = large.unfold(1, 10, 10).unfold(2, 10, 10).mean(dim=(3, 4))
    assert (blocks - small).abs().mean() < 0.03


def test_a_very_thin_picture_keeps_one_pixel(tmp_path):
    path = tmp_path / "thin.png"
    Image.new("RGB", (1000, 1), RED).save(path)
    assert photos.load(path, max_side=10).shape == (3, 1, 10)


@pytest.mark.parametrize("max_side", [None, 1, 100])
def test_a_picture_of_one_pixel(tmp_path, max_side):
    path = tmp_path / "one.png"
    Image.new("RGB", (1, 1), (51, 102, 204)).save(path)
    assert_close(photos.load(path, max_side).flatten(), torch.tensor([0.2, 0.4, 0.8]))


# A reader's own picture ----------------------------------------------------------------------------------


def test_a_path_may_be_a_string_or_a_path(tmp_path):
    path = tmp_path / "colors.png"
    Image.fromarray(colors()).save(path)
    assert torch.equal(photos.load(path), as_tensor(colors()))
    assert torch.equal(photos.load(str(path)), as_tensor(colors()))


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(colors()).save(tmp_path / "colors.png")
    assert torch.equal(photos.load("~/colors.png"), as_tensor(colors()))


def test_a_name_with_spaces_and_accents(tmp_path):
    path = tmp_path / "été à la mer.png"
    Image.fromarray(colors()).save(path)
    assert torch.equal(photos.load(path), as_tensor(colors()))


@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "ppm", "webp"])
def test_lossless_formats_come_back_exactly(tmp_path, extension):
    path = tmp_path / f"colors.{extension}"
    Image.fromarray(colors()).save(path, lossless=True)
    assert torch.equal(photos.load(path), as_tensor(colors()))


def test_the_extension_does_not_matter(tmp_path):
    path = tmp_path / "colors.jpg"
    Image.fromarray(colors()).save(path, format="PNG")
    assert torch.equal(photos.load(path), as_tensor(colors()))


def test_a_gray_picture_becomes_rgb(tmp_path):
    path = tmp_path / "gray.png"
    Image.fromarray(colors()[:, :, 0]).save(path)
    assert_close(photos.load(path), as_tensor(colors())[:1].expand(3, 6, 9))


def test_a_black_and_white_picture(tmp_path):
    path = tmp_path / "bits.png"
    Image.fromarray(colors()[:, :, 0] > 128).save(path)
    assert photos.load(path)[0, 0].tolist() == [0.0] * 5 + [1.0] * 4


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_a_gray_picture_with_16_bits_is_not_cut_off(tmp_path, extension):
    path = tmp_path / f"deep.{extension}"
    deep = np.linspace(0, 65535, 54).astype(np.uint16).reshape(6, 9)
    Image.fromarray(deep).save(path)
    expected = torch.from_numpy(deep.astype(np.float32) / 65535).expand(3, 6, 9)
    assert_close(photos.load(path), expected, atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_color_picture_with_16_bits(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png(2, 1, 16, 2, b"\0" + struct.pack(">6H", 65535, 0, 32768, 0, 13107, 0)))
    expected = [[1.0, 0.0, 0.5], [0.0, 0.2, 0.0]]
    assert_close(photos.load(path)[:, 0].T, torch.tensor(expected), atol=1 / 255, rtol=0)


def test_a_gray_picture_with_16_bits_and_a_transparent_value(tmp_path):
    path = tmp_path / "deep.png"
    transparent = _chunk(b"tRNS", struct.pack(">H", 13107))
    path.write_bytes(png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 32768, 13107), extra=transparent))
    assert_close(photos.load(path)[0, 0], torch.tensor([0.5, 1.0]), atol=1 / 255, rtol=0)


def test_a_tiff_with_32_bit_floats_in_zero_to_one(tmp_path):
    path = tmp_path / "floats.tif"
    values = np.linspace(0, 1, 54, dtype=np.float32).reshape(6, 9)
    Image.fromarray(values).save(path)
    expected = torch.from_numpy(values).expand(3, 6, 9)
    assert_close(photos.load(path), expected, atol=0.5 / 255 + 1e-6, rtol=0)


def test_a_cmyk_picture_becomes_rgb(tmp_path):
    for color in (RED, GREEN, BLUE, WHITE, (0, 0, 0)):
        path = tmp_path / "print.tif"
        Image.new("RGB", (9, 6), color).convert("CMYK").save(path)
        assert_close(photos.load(path), as_tensor(np.full((6, 9, 3), color, dtype=np.uint8)))


def test_a_cmyk_jpeg_is_not_inverted(tmp_path):
    path = tmp_path / "print.jpg"
    Image.new("RGB", (16, 16), (250, 20, 30)).convert("CMYK").save(path, quality=95)
    red, green, blue = photos.load(path).mean(dim=(1, 2))
    assert red > 0.9
    assert green < 0.2
    assert blue < 0.2


@pytest.mark.parametrize("color", [RED, GREEN, WHITE])
def test_a_lab_picture_becomes_rgb(tmp_path, color):
    path = tmp_path / "lab.tif"
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    picture = ImageCms.applyTransform(Image.new("RGB", (9, 6), color), to_lab)
    assert picture is not None
    picture.save(path)
    expected = as_tensor(np.full((6, 9, 3), color, dtype=np.uint8))
    assert_close(photos.load(path), expected, atol=0.06, rtol=0)  # LAB holds 8 bits a channel


@pytest.mark.parametrize(
    ("alpha", "expected"), [(255, (0.8, 0.2, 0.0)), (0, (1, 1, 1)), (51, (0.96, 0.84, 0.8))]
)
def test_transparent_pixels_become_white(tmp_path, alpha, expected):
    path = tmp_path / "layer.png"
    Image.new("RGBA", (9, 6), (204, 51, 0, alpha)).save(path)
    assert_close(photos.load(path)[:, 2, 3], torch.tensor(expected).float(), atol=1.5 / 255, rtol=0)


def test_gray_with_transparency(tmp_path):
    path = tmp_path / "layer.png"
    layer = Image.new("LA", (2, 1), (0, 255))
    layer.putpixel((1, 0), (0, 0))
    layer.save(path)
    assert photos.load(path)[:, 0].tolist() == [[0.0, 1.0]] * 3


@pytest.mark.parametrize("extension", ["png", "gif"])
def test_a_palette_with_a_transparent_color(tmp_path, extension):
    path = tmp_path / f"palette.{extension}"
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putpixel((1, 0), 1)
    palette.save(path, transparency=1)
    assert photos.load(path)[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]  # red, and white instead of blue


def test_a_palette_without_transparency(tmp_path):
    path = tmp_path / "palette.png"
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putpixel((1, 0), 1)
    palette.save(path)
    assert photos.load(path)[:, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_rgb_with_one_transparent_color(tmp_path):
    path = tmp_path / "key.png"
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((1, 0), GREEN)
    picture.save(path, transparency=GREEN)
    assert photos.load(path)[:, 0].T.tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_the_camera_says(tmp_path, orientation):
    path = tmp_path / "turned.png"
    stored = {  # how a camera stores a picture that shall be shown as `colors()`
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, 3),
    }[orientation](colors())
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    assert torch.equal(photos.load(path), as_tensor(colors()))


def test_max_side_applies_after_turning(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(colors(60, 90)).save(path, exif=exif)
    assert photos.load(path, max_side=45).shape == (3, 45, 30)


@pytest.mark.parametrize("extension", ["gif", "png", "webp", "tif"])
def test_of_an_animation_or_several_pages_the_first_is_taken(tmp_path, extension):
    path = tmp_path / f"several.{extension}"
    first, *others = (Image.new("RGB", (9, 6), color) for color in (RED, GREEN, BLUE))
    first.save(
        path,
        save_all=True,
        append_images=others,
        duration=100,
        lossless=True,
    )
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == 3
    assert torch.equal(photos.load(path), as_tensor(np.full((6, 9, 3), RED, dtype=np.uint8)))


def test_a_file_named_like_a_photograph_does_not_hide_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (9, 6), RED).save(tmp_path / "coffee", format="PNG")
    assert photos.load("coffee").shape == (3, 400, 600)
    assert photos.load("./coffee").shape == (3, 6, 9)


def test_nothing_is_printed_and_no_warning_is_given(tmp_path, recwarn, capsys):
    path = tmp_path / "palette.png"
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.save(path, transparency=bytes([255, 0]))  # Pillow warns about this one
    photos.load(path)
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


def test_no_file_stays_open(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(colors()).save(buffer, format="PNG")
    path = tmp_path / "colors.png"
    path.write_bytes(buffer.getvalue())
    opened = (
        {entry.resolve() for entry in Path("/proc/self/fd").glob("*")} if Path("/proc").exists() else set()
    )
    photos.load(path)
    if opened:
        assert path.resolve() not in {entry.resolve() for entry in Path("/proc/self/fd").glob("*")}
