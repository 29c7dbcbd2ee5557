"""Chapter 2: its checks find what is wrong, and the code in the notebook is right by them."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from detr_tutorial import boxes as package_boxes
from detr_tutorial import checks
from detr_tutorial.checks.chapter_02 import (
    corners_by_loops,
    crop_by_loops,
    crop_fractions_by_loops,
    pad_by_loops,
)
from detr_tutorial.data.transforms import resized_size
from detr_tutorial.padding import normalize_image, pad_images
from tests.checks.notebook import Exercises

NOTEBOOK = "02_images_boxes_padding"
CHECKS = (checks.cxcywh_to_xyxy, checks.crop_boxes, checks.crop_fractions, checks.pad_images)
FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)


class TestExercises(Exercises):
    solutions = 5
    judged = (2, 3, 4)


def random_corners(count: int, seed: int) -> torch.Tensor:
    """Boxes (count, 4) with an area, as corners in pixels."""
    numbers = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed)) * 50
    return torch.cat([numbers[:, :2], numbers[:, :2] + numbers[:, 2:] + 1], dim=1)


def random_pictures(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, *size, generator=generator) for size in ((5, 9), (8, 4), (2, 3))]


def test_the_functions_of_the_notebook_pass_the_checks(chapter):
    assert checks.cxcywh_to_xyxy(chapter["cxcywh_to_xyxy"]).passed
    assert checks.crop_boxes(chapter["crop_boxes"]).passed
    assert checks.pad_images(chapter["pad"]).passed


@pytest.mark.parametrize("seed", range(3))
def test_the_functions_of_the_notebook_equal_the_package_and_torchvision(chapter, seed):
    corners, others = random_corners(4, seed), random_corners(3, seed + 10)
    centers = chapter["xyxy_to_cxcywh"](corners)
    assert_close(centers, box_convert(corners, "xyxy", "cxcywh"))
    assert_close(chapter["xywh_to_xyxy"](package_boxes.xyxy_to_xywh(corners)), corners)
    assert_close(chapter["to_fractions"](centers, (40, 70)), package_boxes.to_relative(centers, (40, 70)))
    assert_close(chapter["iou_table"](corners, others), box_iou(corners, others))
    assert_close(chapter["giou_table"](corners, others), generalized_box_iou(corners, others))
    pixels, mask = chapter["pad"](random_pictures(seed))
    batch = pad_images(random_pictures(seed))
    assert_close(pixels, batch.pixels)
    assert torch.equal(mask, batch.mask)


def test_the_normalization_of_the_notebook_is_that_of_the_package(chapter):
    image = torch.rand(3, 4, 6)
    assert_close((image - chapter["mean"]) / chapter["std"], normalize_image(image))


@FEW
@given(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), st.sampled_from([200, 480, 800]))
def test_the_rule_for_sizes_is_that_of_the_package(chapter, size, short_side):
    long_side = short_side * 5 // 3
    own = chapter["resized"](size, short_side, long_side)
    assert tuple(max(1, side) for side in own) == resized_size(size, short_side, long_side)


def test_targets_without_objects_have_no_rows_but_four_columns(chapter):
    labels, boxes = chapter["read_targets"]({"annotations": []}, 1)
    assert labels.shape == (0,)
    assert boxes.shape == (0, 4)
    assert boxes.dtype == torch.float32


def test_a_crowd_is_no_target(chapter):
    row = {"image_id": 1, "category_id": 47, "bbox": [0, 0, 2, 2], "iscrowd": 1}
    assert len(chapter["read_targets"]({"annotations": [row]}, 1)[0]) == 0


def test_wrong_boxes_and_masks_are_drawn():
    assert checks.cxcywh_to_xyxy(lambda boxes: boxes).figure is not None
    pixels_and_mask = checks.pad_images(lambda images: (pad_by_loops(images)[0], ~pad_by_loops(images)[1]))
    assert pixels_and_mask.figure is not None


def test_the_package_passes_the_checks():
    assert checks.cxcywh_to_xyxy(package_boxes.cxcywh_to_xyxy).passed
    assert checks.pad_images(lambda images: tuple(pad_images(images))).passed


def test_torchvision_crops_like_the_reference_of_the_check():
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional as transform

    def by_torchvision(boxes, window):
        left, top, right, bottom = window
        wrapped: Any = tv_tensors.BoundingBoxes(  # pyright: ignore[reportCallIssue]
            boxes, format="XYXY", canvas_size=(8, 8)
        )
        cut = transform.crop(wrapped, top, left, bottom - top, right - left)
        cut = transform.clamp_bounding_boxes(cut).as_subclass(torch.Tensor)
        kept = (cut[:, 2:] > cut[:, :2]).all(dim=1)
        return cut[kept], kept

    assert checks.crop_boxes(by_torchvision).passed


SPOILED = {
    "a little too large": lambda answer: answer * 1.001,
    "rows in reverse": lambda answer: answer.flip(0),
    "an axis too many": lambda answer: answer[..., None],
    "not a number": lambda answer: answer / 0 * 0,
    "the last row is skipped": lambda answer: answer[:-1],
}


@pytest.mark.parametrize("planted", list(SPOILED))
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_an_answer_that_is_wrong_in_another_way_fails(check, planted):
    right = {
        "cxcywh_to_xyxy": lambda boxes: (corners_by_loops(boxes),),
        "crop_boxes": crop_by_loops,
        "crop_fractions": crop_fractions_by_loops,
        "pad_images": pad_by_loops,
    }[check.name]

    def spoiled(*inputs):
        first, *others = right(*inputs)
        return (SPOILED[planted](first), *others) if others else SPOILED[planted](first)

    assert not check(spoiled).passed


def test_forgetting_the_flags_fails():
    assert not checks.crop_boxes(lambda boxes, window: crop_by_loops(boxes, window)[0]).passed
    assert not checks.crop_boxes(
        lambda boxes, window: (crop_by_loops(boxes, window)[0], torch.ones(len(boxes), dtype=torch.bool))
    ).passed


def test_an_error_in_the_answer_is_reported_in_one_line():
    result = checks.pad_images(lambda images: torch.stack(images))
    assert "Your function raised RuntimeError" in result.message
    assert len(result.message.splitlines()) == 1
