"""Chapter 10: its checks find what is wrong, and the code in the notebook is right by them."""

import pytest
import torch
from torch.testing import assert_close

from detr_tutorial import checks
from detr_tutorial.checks.chapter_10 import (
    centers_by_loops,
    decoder_points_by_loops,
    encoder_points_by_loops,
)
from detr_tutorial.padding import valid_ratios
from detr_tutorial.reference_points import encoder_reference_points, to_normalized
from tests.checks.notebook import Exercises

NOTEBOOK = "10_reference_points"


class TestExercises(Exercises):
    solutions = 5
    judged = (2, 3, 4)


def random_masks(seed: int, shapes: list[tuple[int, int]]) -> list[torch.Tensor]:
    """Masks of two images, padded right and bottom, with at least one valid cell in every level."""
    generator = torch.Generator().manual_seed(seed)
    masks = []
    for height, width in shapes:
        mask = torch.ones(2, height, width, dtype=torch.bool)
        for image in range(2):
            rows = int(torch.randint(1, height + 1, (), generator=generator))
            columns = int(torch.randint(1, width + 1, (), generator=generator))
            mask[image, :rows, :columns] = False
        masks.append(mask)
    return masks


def test_the_functions_of_the_notebook_pass_the_checks(chapter):
    assert checks.pixel_centers(chapter["pixel_centers"]).passed
    assert checks.encoder_reference_points(chapter["reference_points"]).passed


@pytest.mark.parametrize("seed", range(5))
def test_the_functions_of_the_notebook_equal_the_package(chapter, seed):
    shapes = [(5, 7), (3, 4), (2, 1)]
    masks = random_masks(seed, shapes)
    ratios = valid_ratios(masks)
    assert_close(chapter["count_ratios"](masks), ratios)
    assert_close(chapter["reference_points"](shapes, ratios), encoder_reference_points(shapes, ratios))


def test_the_wrong_function_shown_in_the_notebook_is_recognized(chapter):
    result = checks.encoder_reference_points(chapter["swapped"])
    assert not result.passed
    assert "you divided x by H" in result.message


def test_the_package_passes_the_checks():
    def centers(height, width):
        pixels = [(column, row) for row in range(height) for column in range(width)]
        return to_normalized(torch.tensor(pixels, dtype=torch.float32), (height, width))

    assert checks.pixel_centers(centers).passed
    assert checks.encoder_reference_points(encoder_reference_points).passed


def test_multiplying_by_the_own_ratio_is_recognized():
    """Dividing and multiplying by the same ratio: the ratios are in the code, and have no effect."""

    def own_ratio_twice(spatial_shapes, ratios):
        levels = [
            (centers_by_loops(*size) / ratios[:, None, level] * ratios[:, None, level])[:, :, None]
            for level, size in enumerate(spatial_shapes)
        ]
        return torch.cat(levels, dim=1).expand(-1, -1, len(spatial_shapes), -1)

    assert "cancel" in checks.encoder_reference_points(own_ratio_twice).message


def test_pixel_coordinates_without_half_a_pixel_are_recognized():
    def wrong(height, width):
        y, x = torch.meshgrid(
            torch.linspace(0, height - 1, height), torch.linspace(0, width - 1, width), indexing="ij"
        )
        return torch.stack([x.flatten() / width, y.flatten() / height], dim=-1)

    assert "the half cell is missing" in checks.pixel_centers(wrong).message


SPOILED = {
    "the last point is skipped": lambda points: torch.cat([points[:, :-1], 0 * points[:, -1:]], dim=1),
    "tokens in reverse": lambda points: points.flip(1),
    "images in reverse": lambda points: points.flip(0),
    "levels in reverse": lambda points: points.flip(2),
    "a little too large": lambda points: points * 1.001,
    "clamped to the upper left half": lambda points: points.clamp(max=0.5),
    "not a number": lambda points: points / 0 * 0,
    "an axis too many": lambda points: points[..., None],
}


@pytest.mark.parametrize("planted", list(SPOILED))
@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checks.encoder_reference_points, encoder_points_by_loops),
        (checks.decoder_reference_points, decoder_points_by_loops),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_answer_that_is_wrong_in_another_way_fails(check, right, planted):
    assert not check(lambda *inputs: SPOILED[planted](right(*inputs))).passed


def test_centers_that_are_only_right_for_squares_fail():
    def square(height, width):
        side = max(height, width)
        return centers_by_loops(side, side)[: height * width]

    assert not checks.pixel_centers(square).passed


def test_an_error_in_the_answer_is_reported_in_one_line():
    result = checks.encoder_reference_points(lambda spatial_shapes, ratios: ratios @ ratios)
    assert "Your function raised RuntimeError" in result.message
    assert len(result.message.splitlines()) == 1


@pytest.mark.parametrize("seed", range(3))
def test_the_encoder_reference_equals_the_one_of_transformers(seed):
    """An oracle that nobody here wrote: the loops of the check against the public implementation."""
    from transformers.models.deformable_detr.modeling_deformable_detr import DeformableDetrEncoder

    shapes = [(5, 7), (3, 4), (2, 1)]
    ratios = valid_ratios(random_masks(seed, shapes))
    theirs = DeformableDetrEncoder.get_reference_points(shapes, ratios, device=torch.device("cpu"))
    assert_close(encoder_points_by_loops(shapes, ratios), theirs)


def test_a_fresh_model_of_transformers_starts_with_its_references_on_one_spot():
    """What the chapter says about embeddings from N(0, 0.02)."""
    from transformers import DeformableDetrConfig, DeformableDetrModel, ResNetConfig

    backbone = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1])
    backbone.set_output_features_output_indices(out_features=["stage2", "stage3", "stage4"], out_indices=None)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = DeformableDetrModel(
            DeformableDetrConfig(backbone_config=backbone, encoder_layers=1, decoder_layers=1)
        )
        embedding = model.query_position_embeddings.weight
        references = model.reference_points(embedding[:, : model.config.d_model]).sigmoid()
    assert embedding.std().item() == pytest.approx(0.02, rel=0.02)
    assert references.std() < 0.01
