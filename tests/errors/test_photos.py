"""Files that are no pictures, or not whole ones: one clear error that names the file."""

# pyright: reportArgumentType=false

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detr_tutorial.data import photos


def picture(path: Path, **options) -> bytes:
    """Noise, which does not compress, so that half a file is half a picture."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, **options)
    return path.read_bytes()


def error_of(path, kind: type[Exception], message: str, **options) -> None:
    with pytest.raises(kind, match=message) as caught:
        photos.load(path, **options)
    assert type(caught.value) is kind
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checksum = struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + checksum + struct.pack(">I", 9) + b"IDAT"


def test_a_missing_file_lists_the_shipped_photographs(tmp_path):
    error_of(tmp_path / "holiday.jpg", FileNotFoundError, "no such file.*coffee.*astronaut")
    error_of("cofee", FileNotFoundError, "no such file.*coffee")


def test_an_address_on_the_web_is_no_file():
    error_of("https:/example.org/cat.jpg", FileNotFoundError, "no such file")


def test_a_folder(tmp_path):
    error_of(tmp_path, ValueError, "not a file but a folder")


def test_a_device():
    if not os.path.exists("/dev/zero"):
        pytest.skip("this system has no /dev/zero")
    error_of("/dev/zero", ValueError, "not a file but a device")


def test_a_link_that_leads_nowhere(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "gone.jpg")
    error_of(tmp_path / "link.jpg", FileNotFoundError, "no such file")


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.jpg"
    path.touch()
    error_of(path, ValueError, "empty")


@pytest.mark.parametrize(
    "content", [b"hello", b"\0" * 1000, b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7"]
)
def test_a_file_that_is_no_picture(tmp_path, content):
    path = tmp_path / "text.jpg"
    path.write_bytes(content)
    error_of(path, ValueError, "not a picture in a known format .JPEG")


def test_a_format_that_runs_a_program_is_not_opened(tmp_path):
    path = tmp_path / "drawing.eps"
    Image.new("RGB", (9, 6)).save(path)
    error_of(path, ValueError, "not a picture in a known format")


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "webp", "bmp", "tif", "ppm"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_file_that_was_cut_off(tmp_path, extension, part):
    path = tmp_path / f"cut.{extension}"
    content = picture(path)
    path.write_bytes(content[: int(len(content) * part)])
    error_of(path, ValueError, "not a readable picture|not a picture in a known format")


@pytest.mark.parametrize("extension", ["jpg", "png", "gif", "webp", "bmp", "tif", "ppm"])
def test_a_header_alone(tmp_path, extension):
    path = tmp_path / f"header.{extension}"
    content = picture(path)
    path.write_bytes(content[:24])
    error_of(path, ValueError, "not a readable picture|not a picture in a known format")


def test_a_png_with_a_broken_checksum(tmp_path):
    path = tmp_path / "broken.png"
    content = bytearray(picture(path))
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    error_of(path, ValueError, "not a readable picture")


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (12_000, 12_000)], ids=["10,000 megapixels", "144 megapixels"]
)
def test_an_absurdly_large_picture_is_refused_before_it_is_read(tmp_path, size):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    error_of(path, ValueError, "more than 89,478,485 pixels")


def test_random_damage_gives_a_picture_or_one_clear_error(tmp_path):
    """Fuzz: 300 files with some bytes changed."""
    random = np.random.default_rng(1)
    outcomes = set()
    for extension in ("jpg", "png", "gif", "webp", "tif"):
        path = tmp_path / f"damaged.{extension}"
        content = np.frombuffer(picture(path), dtype=np.uint8)
        for _ in range(60):
            damaged = content.copy()
            damaged[random.integers(0, min(len(damaged), 600), 5)] = random.integers(0, 256, 5)
            path.write_bytes(damaged.tobytes())
            try:
                outcomes.add(photos.load(path, max_side=100).shape[0])
            except ValueError as error:
                outcomes.add(str(error)[: len(str(path)) + 1] + str(error).count("\n") * " and more lines")
    damaged_files = {f"{path}:" for path in tmp_path.iterdir()}
    assert 3 in outcomes
    assert outcomes - {3} == damaged_files


def test_gray_values_without_a_known_range(tmp_path):
    path = tmp_path / "heights.tif"
    Image.fromarray(np.array([[-3.0, 2500.0]], dtype=np.float32)).save(path)
    error_of(path, ValueError, r"gray values of mode F must lie in \[0, 1\]")
    Image.fromarray(np.array([[0, 1_000_000]], dtype=np.int32)).save(path)
    error_of(path, ValueError, r"gray values of mode I must lie in \[0, 65535\]")
    Image.fromarray(np.array([[0.5, np.nan]], dtype=np.float32)).save(path)
    error_of(path, ValueError, "gray values of mode F")


@pytest.mark.parametrize("max_side", [0, -5])
def test_a_side_of_nothing(max_side):
    with pytest.raises(ValueError, match=f"max_side must be at least 1, got {max_side}"):
        photos.load("coffee", max_side=max_side)


@pytest.mark.parametrize("max_side", [100.0, "100", True])
def test_a_side_that_is_no_int(max_side):
    with pytest.raises(TypeError, match="max_side must be an int"):
        photos.load("coffee", max_side=max_side)


@pytest.mark.parametrize("thing", [3, None, b"coffee.jpg", ["coffee"]])
def test_a_thing_that_is_no_path(thing):
    with pytest.raises(TypeError, match="name_or_path must be a string or a path"):
        photos.load(thing)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000])
def test_a_path_that_can_not_be(path):
    with pytest.raises((FileNotFoundError, ValueError)):
        photos.load(path)
