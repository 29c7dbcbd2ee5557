"""Transforms: the boxes go where the pixels go."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torchvision import tv_tensors
from torchvision.transforms import v2

from detr_tutorial.data.transforms import (
    RandomSizeCrop,
    ResizeShortSide,
    drop_boxes_without_area,
    evaluation_transforms,
    resized_size,
    training_transforms,
)
from detr_tutorial.inference import _fitted_size

FEW = settings(deadline=None, derandomize=True, max_examples=80, database=None)


def sample(height: int, width: int, *boxes: tuple[float, float, float, float]):
    """Rectangles on black, the k-th in channel k alone, with what a target holds."""
    pixels = torch.zeros(3, height, width)
    for channel, (x1, y1, x2, y2) in enumerate(boxes):
        pixels[channel, int(y1) : int(y2), int(x1) : int(x2)] = 1
    target = {
        "labels": torch.arange(len(boxes)) + 10,
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            format=tv_tensors.BoundingBoxFormat.XYXY,  # type: ignore[call-arg]
            canvas_size=(height, width),
        ),
        "area": torch.arange(len(boxes)) * 100.0,
        "iscrowd": torch.arange(len(boxes)) % 2 == 1,
        "image_id": 5,
        "original_size": (height, width),
    }
    return tv_tensors.Image(pixels), target


def extent(channel: torch.Tensor) -> list[float] | None:
    """Where a rectangle begins and ends, from the brightness along each axis; None where there is none."""
    if channel.max() < 0.5:
        return None
    found = []
    for profile in (channel.max(dim=0).values, channel.max(dim=1).values):
        bright = (profile >= 0.5).nonzero().flatten()
        found.append((float(bright[0]), float(bright[-1]) + 1))
    (x1, x2), (y1, y2) = found
    return [x1, y1, x2, y2]


@st.composite
def scenes(draw):
    height, width = draw(st.integers(30, 120)), draw(st.integers(30, 120))
    boxes = []
    for _ in range(draw(st.integers(0, 3))):
        w, h = draw(st.integers(4, width)), draw(st.integers(4, height))
        x, y = draw(st.integers(0, width - w)), draw(st.integers(0, height - h))
        boxes.append((x, y, x + w, y + h))
    return sample(height, width, *boxes)


TRANSFORMS = {
    "training": training_transforms(64, 100),
    "evaluation": evaluation_transforms(50, 70),
    "flip": v2.RandomHorizontalFlip(1.0),
    "crop": RandomSizeCrop(20, 60),
    "resize": ResizeShortSide(90),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_boxes_follow_the_pixels(name):
    """Each rectangle has a channel of its own: find it after the transform, and compare with its box."""

    @FEW
    @given(scenes(), st.integers(0, 2**31))
    def check(scene, seed):
        torch.manual_seed(seed)
        image, target = TRANSFORMS[name](*scene)
        boxes = {
            int(label) - 10: box.tolist()
            for label, box in zip(target["labels"], target["boxes"], strict=True)
        }
        assert target["boxes"].canvas_size == image.shape[-2:]
        for channel in range(len(scene[1]["labels"])):
            found = extent(image[channel])
            if found is None:  # cut off, or no more than a sliver
                x1, y1, x2, y2 = boxes.get(channel, [0.0] * 4)
                assert min(x2 - x1, y2 - y1) <= 1.5
            else:
                assert channel in boxes
                assert found == pytest.approx(boxes[channel], abs=1.01)

    check()


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_belongs_to_a_box_stays_with_it(name):
    image, target = sample(50, 80, (0, 0, 9, 9), (70, 40, 80, 50), (30, 20, 50, 30))
    dropped = 0
    for seed in range(30):
        torch.manual_seed(seed)
        _, moved = TRANSFORMS[name](image, target)
        rows = moved["labels"] - 10
        assert_close(moved["area"], rows * 100.0)
        assert_close(moved["iscrowd"], rows % 2 == 1)
        assert len(moved["boxes"]) == len(rows)
        assert (moved["image_id"], moved["original_size"]) == (5, (50, 80))
        dropped += 3 - len(rows)
    assert (dropped > 0) == (name in ("crop", "training"))


def test_a_transform_changes_nothing_it_was_given():
    image, target = sample(50, 80, (0, 0, 9, 9), (70, 40, 80, 50))
    before, boxes = image.clone(), target["boxes"].clone()
    for move in TRANSFORMS.values():
        move(image, target)
    assert torch.equal(image, before)
    assert torch.equal(target["boxes"], boxes)
    assert target["labels"].tolist() == [10, 11]


def test_a_box_that_the_crop_leaves_without_area_is_dropped():
    _, target = sample(40, 60, (0, 0, 10, 10), (10, 5, 20, 15), (5, 5, 15, 15))
    corners = torch.tensor([[-8.0, 3, 0, 13], [2.0, 40, 12, 50], [-5.0, 30, 5, 45]])
    moved = tv_tensors.wrap(corners, like=target["boxes"])  # pyright: ignore[reportCallIssue]
    left = drop_boxes_without_area({**target, "boxes": moved})
    assert left["labels"].tolist() == [12]
    assert left["boxes"].tolist() == [[0, 30, 5, 40]]
    assert left["area"].tolist() == [200]


# Resizing --------------------------------------------------------------------------------------------------


@FEW
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 700), st.integers(0, 700))
def test_sizes_are_those_of_torchvision_and_of_inference(height, width, short, more):
    long = short + more + 1
    found = resized_size((height, width), short, long)
    assert found == _fitted_size((height, width), short, long)
    if min(found) > 1:
        resized = v2.Resize(short, max_size=long)(torch.empty(1, height, width, device="meta"))
        assert tuple(resized.shape[1:]) == found


def test_the_official_sizes_of_a_landscape_and_a_portrait():
    assert resized_size((480, 640), 800, 1333) == (800, 1066)
    assert resized_size((640, 480), 800, 1333) == (1066, 800)
    assert resized_size((300, 900), 800, 1333) == (444, 1333)
    assert resized_size((7, 7000), 800, 1333) == (1, 1333)
    assert resized_size((480, 640), 600) == (600, 800)


def test_an_image_shrinks_by_averaging():
    image, target = sample(80, 80)
    image[:] = torch.tensor([0.0, 0.0, 0.0, 1.0]).repeat(20)  # every fourth column is bright
    small, _ = ResizeShortSide(20)(image, target)
    assert_close(
        small[:, :, 2:-2].as_subclass(torch.Tensor), torch.full((3, 20, 16), 0.25), atol=0.01, rtol=0
    )


# Training --------------------------------------------------------------------------------------------------


def parts(transforms) -> list:
    """All transforms inside of a transform, also those inside of Compose and RandomChoice."""
    inner = getattr(transforms, "transforms", [])
    return [transforms] if not inner else [part for each in inner for part in parts(each)]


def test_the_official_numbers():
    found = parts(training_transforms())
    resized = [part for part in found if isinstance(part, ResizeShortSide)]
    final = {part.short_side for part in resized if part.max_side == 1333}
    assert final == {480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800}
    assert {part.short_side for part in resized if part.max_side is None} == {400, 500, 600}
    order = [type(part).__name__ for part in found]
    resizes = ["ResizeShortSide"]
    assert order == ["RandomHorizontalFlip", *resizes * 11, *resizes * 3, "RandomSizeCrop", *resizes * 11]
    crops = [part for part in found if isinstance(part, RandomSizeCrop)]
    assert [(part.smallest, part.largest) for part in crops] == [(384, 600)]
    assert [part.p for part in found if isinstance(part, v2.RandomHorizontalFlip)] == [0.5]
    whole = evaluation_transforms()
    assert (whole.short_side, whole.max_side) == (800, 1333)


def test_small_images_get_the_same_in_small():
    """A short side of 100: 60, 64, ..., 100 in the end, and half of the time a window of 48 to 75 before."""
    transforms = training_transforms(100, 150)
    image, target = sample(50, 80)
    sizes = Counter()
    torch.manual_seed(0)
    for _ in range(300):
        moved, _ = transforms(image, target)
        sizes[tuple(moved.shape[1:])] += 1
    short = Counter()
    for size, count in sizes.items():
        short[min(size)] += count
        assert max(size) <= 150
    whole = sum(sizes[resized_size((50, 80), side, 150)] for side in range(60, 101, 4))
    assert 110 < whole < 200  # the others were cropped first
    expected = set(range(60, 101, 4))
    assert expected <= set(short)
    for side in set(short) - expected:  # the longer side was the limit
        assert any(min(size) == side and max(size) == 150 for size in sizes)


def test_half_of_the_images_are_flipped():
    transforms = training_transforms(40, 70)
    never, always = training_transforms(40, 70, flip=0), training_transforms(40, 70, flip=1)
    image, target = sample(50, 80)
    image[0, :, 40:] = 1  # bright on the right
    torch.manual_seed(1)
    bright_left = sum(bool(transforms(image, target)[0][0, :, 0].mean() > 0.5) for _ in range(200))
    assert 60 < bright_left < 130
    assert not any(
        never(image, target)[0][0, :, 0].mean() > 0.9 and never(image, target)[0][0, :, -1].mean() < 0.1
        for _ in range(20)
    )
    assert not any(
        always(image, target)[0][0, :, -1].mean() > 0.9 and always(image, target)[0][0, :, 0].mean() < 0.1
        for _ in range(20)
    )


def test_windows_have_every_size_and_place():
    crop = RandomSizeCrop(3, 5)
    image, target = sample(6, 9)
    image[:] = torch.arange(54.0).reshape(6, 9)
    torch.manual_seed(2)
    windows = [crop(image, target)[0] for _ in range(400)]
    assert {tuple(window.shape[1:]) for window in windows} == {(h, w) for h in (3, 4, 5) for w in (3, 4, 5)}
    corners = {(int(window[0, 0, 0]) // 9, int(window[0, 0, 0]) % 9) for window in windows}
    assert {top for top, _ in corners} == {0, 1, 2, 3}
    assert {left for _, left in corners} == {0, 1, 2, 3, 4, 5, 6}


def test_an_image_smaller_than_the_window_is_taken_whole():
    image, target = sample(6, 90, (2, 1, 5, 4))
    moved, found = RandomSizeCrop(20, 200)(image, target)
    assert moved.shape[1] == 6
    assert 20 <= moved.shape[2] <= 90
    assert found["boxes"].canvas_size == moved.shape[1:]


def test_the_same_seed_gives_the_same_image():
    image, target = sample(50, 80, (10, 10, 40, 30))
    image[:] = torch.rand(3, 50, 80)
    transforms = training_transforms(60, 100)
    torch.manual_seed(3)
    first, again = transforms(image, target), None
    torch.manual_seed(3)
    again = transforms(image, target)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["boxes"], again[1]["boxes"])
