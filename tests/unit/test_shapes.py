"""The synthetic set: the same everywhere, tight boxes, colors that tell nothing, enough to see."""

import hashlib
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from torch.testing import assert_close
from torch.utils.data import DataLoader

from detr_tutorial.boxes import cxcywh_to_xyxy, to_absolute
from detr_tutorial.data import shapes
from detr_tutorial.data.shapes import (
    CLASSES,
    Shape,
    ShapesDataset,
    collate,
    coverage,
    draw,
    outline,
    shape_box,
)
from detr_tutorial.padding import normalize_image

FEW = settings(deadline=None, derandomize=True, max_examples=60, database=None)
SIZE = (40, 56)
FINE = 16  # points a pixel, in each direction, of the slow check


@st.composite
def some_shapes(draw):
    """Shapes of every class, size and angle, with the center inside an image of SIZE."""
    angle = draw(st.floats(0, 2 * math.pi))
    return Shape(
        label=draw(st.integers(0, len(CLASSES) - 1)),
        x=draw(st.floats(0, SIZE[1])),
        y=draw(st.floats(0, SIZE[0])),
        scale=draw(st.floats(3, 28)),
        stretch=draw(st.floats(1, shapes.STRETCH)),
        cosine=math.cos(angle),
        sine=math.sin(angle),
    )


def inside(shape: Shape) -> np.ndarray:
    """Which of FINE x FINE points a pixel lie inside the shape's outline, by matplotlib's polygon test."""
    y, x = ((np.arange(end * FINE) + 0.5) / FINE for end in SIZE)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    found = Polygon(outline(shape)).contains_points(points)
    if CLASSES[shape.label] == "ring":
        hole = shape._replace(scale=shape.scale * shapes.HOLE)
        found &= ~Polygon(outline(hole)).contains_points(points)
    return found.reshape(SIZE[0] * FINE, SIZE[1] * FINE)


def digest(*pictures: np.ndarray) -> str:
    summary = hashlib.sha256()
    for picture in pictures:
        summary.update(picture.tobytes())
    return summary.hexdigest()[:16]


@pytest.fixture(scope="module")
def pictures() -> list[shapes.Picture]:
    return [draw(index, seed=5) for index in range(300)]


# The same everywhere ---------------------------------------------------------------------------------------


def test_pixels_are_the_same_on_every_machine():
    """Written down once; over noise only numpy's integers count, over photographs also the JPEG decoder."""
    photographs = [draw(index, seed, size) for index, seed, size in ((3, 0, (128, 128)), (2, 7, (96, 160)))]
    noise = [draw(index, 0) for index in (12, 18, 26, 30)]
    assert digest(*(picture.pixels for picture in noise)) == "69ef511b013bc68c"
    assert digest(*(picture.pixels for picture in photographs)) == "833d4baa6f546285"


def test_boxes_are_the_same_on_every_machine():
    boxes = [[round(side, 9) for side in box] for box in draw(5).boxes]
    assert boxes == [
        [78.226782504, 6.798110779, 103.912412856, 36.744767026],
        [53.620981192, 78.365893203, 67.970422913, 93.458343648],
        [35.157817176, 86.378872684, 73.522597413, 120.457571326],
        [4.844688888, 23.728102546, 14.966374178, 35.849319559],
        [85.747480351, 97.478227858, 94.713683734, 107.420137751],
    ]


def test_an_item_depends_on_seed_and_index_alone():
    long, short = ShapesDataset(10**12, seed=4), ShapesDataset(3, seed=4)
    last, _ = long[10**12 - 1]
    for index in (2, 0, 1):
        image, target = long[index]
        again, same = short[index]
        assert torch.equal(image, again)
        assert torch.equal(target["boxes"], same["boxes"])
        assert torch.equal(target["labels"], same["labels"])
        assert not torch.equal(image, last)
        assert not torch.equal(image, ShapesDataset(3, seed=5)[index][0])


def test_seed_and_index_do_not_stand_for_each_other():
    assert digest(draw(1, seed=2).pixels) != digest(draw(2, seed=1).pixels)


def test_the_global_random_states_stay_as_they_are():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    ShapesDataset(2)[1]
    assert torch.equal(before, torch.get_rng_state())
    assert repr(numpy_before) == repr(np.random.get_state())  # noqa: NPY002


def test_worker_processes_draw_the_same_images():
    dataset = ShapesDataset(4, seed=1, size=(32, 48))
    assert pickle.loads(pickle.dumps(dataset))[3][0].equal(dataset[3][0])
    loaded: list[Any] = list(DataLoader(dataset, batch_size=None, num_workers=1))
    drawn: list[Any] = [dataset[index] for index in range(4)]
    for (image, target), (expected, its_target) in zip(loaded, drawn, strict=True):
        assert torch.equal(image, expected)
        assert torch.equal(target["boxes"], its_target["boxes"])


# Boxes and pixels ------------------------------------------------------------------------------------------


@FEW
@given(some_shapes())
def test_a_box_is_tight_around_the_part_inside_the_image(shape):
    rows, columns = np.nonzero(inside(shape))
    x1, y1, x2, y2 = shape_box(shape, SIZE)
    found = [columns.min() / FINE, rows.min() / FINE, (columns.max() + 1) / FINE, (rows.max() + 1) / FINE]
    # a tip of 36 degrees is narrower than the fine grid in its last part
    np.testing.assert_allclose(found, [x1, y1, x2, y2], atol=4 / FINE)
    assert 0 <= x1 < x2 <= SIZE[1]
    assert 0 <= y1 < y2 <= SIZE[0]


@FEW
@given(some_shapes())
def test_the_coverage_of_a_pixel_is_the_part_inside_the_outline(shape):
    exact = inside(shape).reshape(SIZE[0], FINE, SIZE[1], FINE).mean(axis=(1, 3))
    drawn = coverage(shape, SIZE) / 256
    difference = abs(drawn - exact)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert difference.max() < 0.55  # at corners, which the distance rounds differently
    on_the_outline = ((exact > 0) & (exact < 1)) | ((drawn > 0) & (drawn < 1))
    assert difference.sum() < 0.15 * on_the_outline.sum() + 0.1
    assert abs(drawn.sum() - exact.sum()) < 0.06 * exact.sum() + 1


@pytest.mark.parametrize("label", range(len(CLASSES)))
def test_nothing_is_drawn_outside_the_box_and_something_at_each_of_its_sides(label):
    shape = Shape(label, 30.3, 20.6, 13.0, 1.2, 0.8, 0.6)
    rows, columns = np.nonzero(coverage(shape, SIZE) >= 16)
    x1, y1, x2, y2 = shape_box(shape, SIZE)
    assert (columns.min(), rows.min()) == pytest.approx((x1, y1), abs=1.5)
    assert (columns.max() + 1, rows.max() + 1) == pytest.approx((x2, y2), abs=1.5)


def test_a_box_at_the_border_ends_there_and_shrinks_with_what_is_cut_off():
    whole = Shape(CLASSES.index("triangle"), 20.0, 20.0, 10.0, 1.0, 0.0, -1.0)  # its tip points up
    assert shape_box(whole, SIZE) == pytest.approx((20 - 8.66, 10, 20 + 8.66, 25), abs=0.01)
    cut = whole._replace(x=-2.0)  # the tip is outside: 2 pixels right of it the side is 2 tan(60) lower
    assert shape_box(cut, SIZE) == pytest.approx((0, 10 + 2 * math.sqrt(3), 6.66, 25), abs=0.01)


def test_targets_are_the_drawn_boxes():
    dataset = ShapesDataset(9, seed=2, size=(60, 100))
    assert len(dataset) == 9
    for index in range(9):
        image, target = dataset[index]
        picture = draw(index, seed=2, size=(60, 100))
        assert image.dtype == torch.float32
        assert torch.equal((image * 255).round().byte(), torch.from_numpy(picture.pixels).permute(2, 0, 1))
        assert target["labels"].tolist() == [shape.label for shape in picture.shapes]
        corners = to_absolute(cxcywh_to_xyxy(target["boxes"]), (60, 100))
        expected = torch.tensor(picture.boxes).reshape(-1, 4)
        assert_close(corners, expected, atol=1e-4, rtol=0)
        assert_close(target["area"], (expected[:, 2:] - expected[:, :2]).prod(1), atol=1e-2, rtol=1e-4)
        assert target["image_id"] == index


def test_an_image_without_objects_has_targets_of_no_rows():
    dataset = ShapesDataset(100)
    targets = [target for _, target in (dataset[i] for i in range(100)) if len(target["labels"]) == 0]
    assert targets
    assert targets[0]["boxes"].shape == (0, 4)
    assert targets[0]["labels"].dtype == torch.int64
    assert targets[0]["area"].shape == (0,)


# What the images hold --------------------------------------------------------------------------------------


def test_a_third_of_the_objects_is_small_a_third_medium_a_third_large(pictures):
    boxes = np.array([box for picture in pictures for box in picture.boxes])
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    side = np.sqrt(width * height)
    assert min(width.min(), height.min()) >= 6 * (1 - shapes.OUTSIDE)
    assert max(width.max(), height.max()) <= 64
    for low, high in ((0, 16), (16, 32), (32, 64)):
        assert np.mean((low <= side) & (side < high)) == pytest.approx(1 / 3, abs=0.05)


@FEW
@given(st.integers(0, 10**6))
def test_whole_objects_are_6_to_64_pixels_long(index):
    for shape in draw(index).shapes:
        corners = outline(shape)
        sides = corners.max(axis=0) - corners.min(axis=0)
        assert sides.min() >= 5.99
        assert sides.max() <= 64


def test_images_hold_0_to_8_objects_of_all_classes_alike(pictures):
    counts = np.bincount([len(picture.shapes) for picture in pictures], minlength=9)
    assert len(counts) == 9
    assert counts.min() >= 5
    labels = np.bincount([shape.label for picture in pictures for shape in picture.shapes])
    assert len(labels) == len(CLASSES) >= 6
    assert labels.min() > 0.75 * labels.mean()


def test_at_least_half_of_every_object_stays_visible_and_some_are_partly_covered(pictures):
    partly = 0
    for picture in pictures[:100]:
        masks = [coverage(shape, (128, 128)) >= 128 for shape in picture.shapes]
        for index, mask in enumerate(masks):
            later = np.any(masks[index + 1 :], axis=0) if masks[index + 1 :] else np.zeros_like(mask)
            seen = (mask & ~later).sum() / mask.sum()
            assert seen >= shapes.VISIBLE
            partly += bool(seen < 1)
    assert partly >= 40


def test_color_does_not_tell_the_class(pictures):
    colors = {label: [] for label in range(len(CLASSES))}
    for picture in pictures:
        last = picture.shapes[-1:]  # nothing covers the last one
        for shape in last:
            colors[shape.label].append(picture.pixels[coverage(shape, (128, 128)) == 256][0])
    means = np.array([np.mean(of_class, axis=0) for of_class in colors.values()])
    assert np.ptp(means, axis=0).max() < 60  # of 255, with about 45 objects a class


def test_objects_stand_out_from_what_surrounds_them(pictures):
    distances = []
    for picture in pictures:
        for shape in picture.shapes[-1:]:
            larger = coverage(shape._replace(scale=shape.scale * 1.25), (128, 128)) > 0
            around = picture.pixels[larger & (coverage(shape, (128, 128)) == 0)].mean(axis=0)
            color = picture.pixels[coverage(shape, (128, 128)) == 256][0]
            distances.append(np.linalg.norm(color - around))
    assert np.quantile(distances, 0.05) > 80
    assert np.median(distances) > 120


@FEW
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=3), st.integers(0, 2**32))
def test_a_color_stands_out_from_all_those_beneath_as_far_as_any_can(beneath, seed):
    colors = np.random.default_rng(seed).integers(0, 256, (6, 3)).astype(np.int32)
    chosen = shapes._standing_out(colors, [np.array(color) for color in beneath])
    nearest = min(math.dist(chosen.tolist(), color) for color in beneath)
    if len(beneath) == 1:
        assert nearest >= shapes.CONTRAST
    elif nearest < shapes.CONTRAST:
        for color in colors.tolist():
            assert min(math.dist(color, other) for other in beneath) <= nearest


def test_photographs_and_noise_are_behind_the_objects(pictures):
    def roughness(picture: shapes.Picture) -> float:
        return float(np.median(abs(np.diff(picture.pixels.astype(int), axis=1))))

    rough = np.array([roughness(picture) for picture in pictures]) >= 8  # grain differs from pixel to pixel
    assert np.mean(rough) == pytest.approx(shapes.NOISE, abs=0.1)


@pytest.mark.parametrize("size", [(16, 16), (16, 300), (131, 47), (700, 1000)])
def test_any_size_of_image(size):
    dataset = ShapesDataset(12, size=size)
    found = 0
    for index in range(12):
        image, target = dataset[index]
        corners = cxcywh_to_xyxy(target["boxes"])
        assert image.shape == (3, *size)
        assert 0 <= image.min() <= image.max() <= 1
        assert corners.numel() == 0 or (corners.min() >= -1e-6 and corners.max() <= 1 + 1e-6)
        assert (target["boxes"][:, 2:] > 0).all()
        found += len(target["labels"])
    assert found > 12


def test_a_crop_turns_round_at_the_ends_of_a_photograph():
    assert shapes._reflect(3, 9, 5).tolist() == [3, 4, 4, 3, 2, 1, 0, 0, 1]


# As a data set ---------------------------------------------------------------------------------------------


def test_it_ends_where_its_length_says():
    dataset = ShapesDataset(3, size=(16, 24))
    assert len(list(dataset)) == 3  # type: ignore[arg-type]
    assert torch.equal(dataset[-1][0], dataset[2][0])
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 3 images"):
            dataset[index]


def test_collate_normalizes_and_pads():
    items = [ShapesDataset(3, size=size)[2] for size in ((24, 40), (32, 16))]
    batch, targets = collate(items)
    assert batch.pixels.shape == (2, 3, 32, 40)
    assert_close(batch.pixels[0, :, :24], normalize_image(items[0][0]))
    assert batch.mask[0].sum() == 8 * 40
    assert batch.mask[1].sum() == 32 * 24
    assert targets[0] is items[0][1]
    assert targets[1] is items[1][1]


MEASURE = """
import time
import torch
from detr_tutorial.data.shapes import ShapesDataset
torch.set_num_threads(1)
dataset = ShapesDataset(10**6, seed=3)
dataset[0]  # reads the photographs
rates = []
for start in range(0, 600, 200):
    begin = time.process_time()  # of this process alone, however busy the machine is
    for index in range(start, start + 200):
        dataset[index]
    rates.append(200 / (time.process_time() - begin))
print(max(rates))
"""


@pytest.mark.timing
def test_400_images_a_second_on_one_core():
    """In a process of its own, without the checks of shapes that run in tests."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, env=env, check=True
    )
    assert float(done.stdout) >= 400
