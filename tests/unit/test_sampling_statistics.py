"""The statistics of the sampling points: what the code measures, what is stored, what the chapter tells."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmarks.sampling_statistics import FIRST, models, summarize
from detr_tutorial.data import sampling_statistics as measures
from detr_tutorial.data.sampling_statistics import load_sampling_statistics
from detr_tutorial.data.shapes import draw
from detr_tutorial.training import HELD_OUT_SEED

STATISTICS = load_sampling_statistics()
MODELS = models()
# The values are stored in four digits, and kernels of other CPUs round differently: a point or two may cross
# the edge of a mask. One point of one query is 1 / 64 of a share, and a mean over queries is less.
TOLERANCE = 0.02


def table(name: str, which: str = "trained", of: str = "mean") -> np.ndarray:
    return np.array(STATISTICS[which][name][of], dtype=float)


def agree(found: dict[str, Tensor], which: str, index: int) -> None:
    for name, values in found.items():
        stored = torch.from_numpy(table(name, which, "first")[index]).float()
        # lengths in pixels have a tolerance of two in a hundred
        assert_close(values, stored, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True, msg=f"{which} {name}")


@pytest.mark.parametrize("which", MODELS)
def test_measuring_the_first_pictures_again_gives_the_stored_values(which):
    for index in range(FIRST if which == "trained" else 2):
        agree(measures.measure_sampling(MODELS[which], index, HELD_OUT_SEED), which, index)


@pytest.mark.parametrize("which", MODELS)
def test_measuring_a_receptive_field_again_gives_the_stored_values(which):
    agree(measures.measure_field(MODELS[which], 1, HELD_OUT_SEED), which, 1)


def test_the_statistics_are_of_at_least_200_held_out_pictures():
    settings = STATISTICS["settings"]
    assert settings["seed"] == HELD_OUT_SEED
    assert min(settings["images"], settings["field_images"]) >= 200
    for which in MODELS:
        for name, of_measure in STATISTICS[which].items():
            images = settings["field_images" if name.startswith("field.") else "images"]
            counts = np.array(of_measure["images"])
            assert counts.max() <= images
            assert counts.min() > images / 2, name  # empty pictures, and those without such an object
            assert (table(name, which, "q1") <= table(name, which, "q3")).all()


def test_the_untrained_model_has_the_weights_of_the_start():
    assert table("encoder.effective_points", "untrained") == pytest.approx(16)
    assert table("decoder.level_weight", "untrained") == pytest.approx(0.25)
    assert table("encoder.offset_moved", "untrained") == pytest.approx(0, abs=1e-4)
    assert table("decoder.offset_moved", "untrained") == pytest.approx(0, abs=1e-4)
    # a star that reaches to the edges of a box is in it, and its mean point at 2.5 / 4 of the way
    assert table("decoder.weight_in_own_box", "untrained") == pytest.approx(1)
    assert table("decoder.reach", "untrained") == pytest.approx(0.625, abs=1e-3)


def test_what_the_chapter_tells_is_in_the_statistics():
    own, turned = table("encoder.weight_in_object")[1, :3], table("encoder.weight_in_object_turned")[1, :3]
    start = table("encoder.weight_in_object", "untrained")[1, :3]
    assert (own > turned).all()
    assert (turned > 2 * start).all()
    assert (table("encoder.outside")[:, 3] > 0.6).all()
    assert table("decoder.star_in_box")[2, 3] > 0.85
    level_0 = table("decoder.level_weight")[1:, :3, 0]
    assert (np.diff(level_0, axis=1) < 0).all()  # less weight on the finest level, the larger the object
    assert np.hypot(*np.moveaxis(table("decoder.direction"), -1, 0)).min() > 0.9
    assert (np.diff(table("field.half", "untrained")[:, 2]) > 1).all()
    assert abs(np.diff(table("field.half")[:, 2])).max() < 2


def test_what_one_sees_of_an_object_is_what_no_later_one_covers():
    picture = draw(35, HELD_OUT_SEED)
    seen = measures.visible_pixels(picture)
    assert seen.shape == (len(picture.shapes), 128, 128)
    assert int(seen.sum(0).max()) == 1
    for mask, (x1, y1, x2, y2) in zip(seen, picture.boxes, strict=True):
        rows, columns = mask.nonzero().unbind(1)
        assert x1 - 1 <= columns.min() and columns.max() <= x2 + 1  # noqa: PT018
        assert y1 - 1 <= rows.min() and rows.max() <= y2 + 1  # noqa: PT018


def test_each_row_of_points_is_looked_up_in_its_own_mask():
    masks = torch.zeros(2, 3, 4, dtype=torch.bool)
    masks[0, 1, 2] = masks[1, 2, 0] = True
    places = torch.tensor([[0.625, 0.5], [0.125, 0.9], [0.74, 0.34], [0.76, 0.5], [1.1, 0.5], [-0.1, 0.9]])
    inside = measures.inside_masks(masks, places.expand(2, -1, -1))
    assert inside.tolist() == [[True, False, True] + [False] * 3, [False, True] + [False] * 4]


def test_points_on_the_edge_of_a_box_are_inside_and_each_row_has_its_own_box():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.2, 0.3, 0.4, 0.2]])
    places = torch.tensor([[0.6, 0.7], [0.61, 0.5], [0.3, 0.35]])
    assert measures.inside_boxes(boxes, places.expand(2, -1, -1)).tolist() == [
        [True, False, False],
        [False, False, True],
    ]


def test_points_that_share_the_weight_count_as_so_many():
    for count in (1, 2, 8):
        weights = torch.zeros(3, 2, 4)
        weights.flatten(1)[:, :count] = 1 / count
        assert_close(measures.effective_points(weights), torch.full((3,), float(count)))


def test_a_summary_leaves_out_pictures_without_a_value():
    values = torch.tensor([[1.0, math.nan], [3.0, 2.0], [5.0, 6.0]], dtype=torch.float64)
    summary = summarize(values)
    assert summary["mean"] == [3.0, 4.0]
    assert summary["images"] == [3, 2]
    assert summary["sd"] == pytest.approx([2.0, math.sqrt(8)], rel=1e-3)
    assert summary["first"][0] == [1.0, None]
