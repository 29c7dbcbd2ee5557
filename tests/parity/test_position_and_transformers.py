"""Position encodings against Hugging Face transformers."""

import pytest
import torch
from torch.testing import assert_close
from transformers.models.deformable_detr.modeling_deformable_detr import (
    DeformableDetrLearnedPositionEmbedding,
    DeformableDetrSinePositionEmbedding,
)
from transformers.models.detr.modeling_detr import DetrSinePositionEmbedding

from detr_tutorial.padding import pad_images, resize_mask
from detr_tutorial.position import LearnedPositionEncoding, SinePositionEncoding

MASK = pad_images([torch.zeros(3, 37, 53), torch.zeros(3, 48, 41)]).mask


def theirs(module, mask: torch.Tensor) -> torch.Tensor:
    """Their mask is 1 where a cell is valid."""
    return module((*mask.shape[:1], 5, *mask.shape[1:]), mask.device, torch.float32, mask=~mask)


@pytest.mark.parametrize("size", [(48, 53), (12, 14), (3, 4), (1, 2)])
@pytest.mark.parametrize("features", [16, 128])
@pytest.mark.parametrize("temperature", [10000, 20])
def test_the_sine_encoding_is_that_of_deformable_detr(size, features, temperature):
    mask = resize_mask(MASK, size)
    reference = DeformableDetrSinePositionEmbedding(features, temperature=temperature, normalize=True)
    ours, expected = SinePositionEncoding(features, temperature)(mask), theirs(reference, mask)
    valid = ~mask[:, None].expand_as(ours)
    assert_close(ours[valid], expected[valid], atol=2e-6, rtol=0)
    # Where a whole column (row) is padding, their angle for y (x) is -3 million, and ours is not.
    some_valid = torch.cat(
        [
            valid[:, :features].any(dim=2, keepdim=True).expand(-1, -1, *size[:1], -1),
            valid[:, features:].any(dim=3, keepdim=True).expand(-1, -1, -1, *size[1:]),
        ],
        dim=1,
    )
    assert_close(ours[some_valid], expected[some_valid], atol=2e-6, rtol=0)


@pytest.mark.parametrize("features", [16, 128])
def test_without_offset_it_is_the_encoding_of_detr(features):
    reference = DetrSinePositionEmbedding(features, normalize=True)
    mask = resize_mask(MASK, (12, 14))
    ours, expected = SinePositionEncoding(features, offset=0)(mask), theirs(reference, mask)
    valid = ~mask[:, None].expand_as(ours)
    assert_close(ours[valid], expected[valid], atol=2e-6, rtol=0)


def test_without_normalization_it_is_theirs():
    mask = resize_mask(MASK, (12, 14))
    reference = DeformableDetrSinePositionEmbedding(16, normalize=False)
    assert_close(SinePositionEncoding(16, normalize=False)(mask), theirs(reference, mask), atol=2e-6, rtol=0)


def test_the_learned_encoding_is_theirs():
    torch.manual_seed(0)
    ours, reference = LearnedPositionEncoding(24), DeformableDetrLearnedPositionEmbedding(24)
    reference.row_embeddings.load_state_dict(ours.row_embedding.state_dict())
    reference.column_embeddings.load_state_dict(ours.column_embedding.state_dict())
    mask = resize_mask(MASK, (12, 14))
    assert torch.equal(ours(mask), theirs(reference, mask))
