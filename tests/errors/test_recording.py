"""Bad arguments of record_sampling and draw_sampling get one line that says what is wrong."""

import pytest
import torch
from torch import nn

from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.plots import RecordedAttention, draw_sampling, record_sampling


class Opaque(nn.Module):
    """A deformable attention whose points go to an operator that nothing is known of."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling_offsets, self.attention_weights = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, reference_points: torch.Tensor) -> torch.Tensor:
        return reference_points


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        ("a name", TypeError, "model must be a torch.nn.Module, got str"),
        (nn.Linear(2, 3), ValueError, "Linear has no deformable attention; supported are .*MSDeformAttn"),
        (
            torch.compile(MSDeformAttn(6, 2, 3, 4)),
            ValueError,
            "model is compiled, which hides its attentions",
        ),
        (nn.Sequential(Opaque()), ValueError, "cannot see what Opaque does with its points; supported are"),
    ],
)
def test_a_model_that_cannot_be_recorded_is_refused(model, error, words):
    with pytest.raises(error, match=words), record_sampling(model):
        raise AssertionError("the body of the with statement ran")
    if isinstance(model, nn.Module):
        assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": torch.zeros(1, 20, 40)}, "image must have shape"),
        ({"query": 2}, "query must be below 2, got 2"),
        ({"query": -1}, "query must be at least 0, got -1"),
        ({"head": 3}, "head must be below 3, got 3"),
        ({"level": 4}, "level must be below 4, got 4"),
        ({"image_index": 1}, "image_index must be below 1, got 1"),
        ({"padded_size": (20, 30)}, "padded_size .20, 30. is smaller than the image"),
    ],
)
def test_a_drawing_of_what_is_not_there_is_refused(changes, words):
    references, shapes = torch.rand(1, 2, 4, 2), ((2, 3),) * 4
    locations, weights = torch.rand(1, 2, 3, 4, 5, 2), torch.rand(1, 2, 3, 4, 5)
    record = RecordedAttention("", "encoder", 0, locations, weights, references, shapes)
    arguments = {"image": torch.zeros(3, 20, 40), "attention": record, "query": 0}
    with pytest.raises(ValueError, match=words):
        draw_sampling(**(arguments | changes))
