"""record_sampling and draw_sampling on our own models; other people's are in tests/parity."""

import copy
from typing import Any

import pytest
import torch
from einops import rearrange
from torch import nn
from torch.testing import assert_close

from detr_tutorial.deformable_attention import MSDeformAttn, ms_deform_attn
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.padding import pad_images
from detr_tutorial.plots import RecordedAttention, draw_sampling, record_sampling
from detr_tutorial.plots._style import LEVEL_COLORS

SIZES: dict[str, Any] = {"num_classes": 5, "num_queries": 7, "d_model": 32, "num_heads": 2, "ffn_dim": 48}
SIZES |= {"encoder_layers": 2, "decoder_layers": 3}
VARIANTS = {
    "base": {"refine_boxes": False, "two_stage": False},
    "refined": {"refine_boxes": True, "two_stage": False},
    "two-stage": {"refine_boxes": True, "two_stage": True},
}


def attention_and_inputs() -> tuple[MSDeformAttn, dict]:
    torch.manual_seed(0)
    attention = MSDeformAttn(d_model=15, num_levels=2, num_heads=3, num_points=4)
    nn.init.normal_(attention.sampling_offsets.weight)
    nn.init.normal_(attention.attention_weights.weight)
    shapes = ((3, 5), (2, 3))
    inputs = {"query": torch.randn(2, 7, 15), "reference_points": torch.rand(2, 7, 2, 4)}
    return attention, {**inputs, "value_tokens": torch.randn(2, 21, 15), "spatial_shapes": shapes}


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_every_variant_of_our_model_is_recorded_and_answers_as_always(variant):
    torch.manual_seed(0)
    model = DeformableDETR(DeformableDETRConfig.shapes(**SIZES, **VARIANTS[variant])).eval()
    batch = pad_images([torch.randn(3, 64, 48), torch.randn(3, 40, 70)])
    plain = model(batch, record_sampling=True)
    with record_sampling(model) as records:
        recorded = model(batch)
    assert torch.equal(recorded.boxes, plain.boxes)
    assert torch.equal(recorded.logits, plain.logits)
    assert [(record.kind, record.layer) for record in records] == [
        *(("encoder", layer) for layer in range(2)),
        *(("decoder", layer) for layer in range(3)),
    ]
    own = [*plain.sampling.encoder, *plain.sampling.decoder]
    for record, (locations, weights) in zip(records, own, strict=True):
        assert torch.equal(record.locations, locations)
        assert torch.equal(record.weights, weights)
        assert isinstance(model.get_submodule(record.name), MSDeformAttn)


def test_the_record_of_one_attention_alone_gives_its_output():
    attention, inputs = attention_and_inputs()
    with record_sampling(attention) as records:
        output, _ = attention(**inputs)
    (record,) = records
    assert (record.name, record.kind, record.layer) == ("", "attention", 0)
    assert record.spatial_shapes == inputs["spatial_shapes"]
    assert torch.equal(record.references, inputs["reference_points"])
    value = rearrange(attention.value_proj(inputs["value_tokens"]), "B S (M D) -> B S M D", M=3)
    read = ms_deform_attn(value, *record[-1:], record.locations, record.weights, implementation="loops")
    assert_close(attention.output_proj(read), output)
    assert not record.locations.requires_grad
    assert not record.weights.requires_grad


def test_positional_arguments_and_further_calls_are_recorded_too():
    attention, inputs = attention_and_inputs()
    with record_sampling(attention) as records:
        attention(**inputs)
        attention(*inputs.values())
    attention(**inputs)
    assert len(records) == 2
    assert torch.equal(records[0].locations, records[1].locations)


def test_nothing_is_left_behind_when_the_attention_itself_fails():
    attention, inputs = attention_and_inputs()
    with pytest.raises(ValueError, match="must be finite"), record_sampling(attention) as records:
        attention(**{**inputs, "query": torch.full((2, 7, 15), torch.nan)})
    assert not records
    assert not attention._forward_hooks
    assert not attention._forward_pre_hooks


def test_a_model_compiled_in_place_is_refused_instead_of_recorded_as_empty():
    attention, _ = attention_and_inputs()
    attention.compile()
    with pytest.raises(ValueError, match="compiled"), record_sampling(attention):
        pass


def test_attentions_outside_of_a_stack_are_counted():
    attention, inputs = attention_and_inputs()
    two = nn.ModuleDict({"first": attention, "second": copy.deepcopy(attention)})
    with record_sampling(two) as records:
        for each in two.values():
            each(**inputs)
    places = [(record.name, record.kind, record.layer) for record in records]
    assert places == [("first", "attention", 0), ("second", "attention", 1)]


def record_by_hand() -> RecordedAttention:
    """One image, two queries, two heads, two levels, one point each."""
    locations = torch.full((1, 2, 2, 2, 1, 2), 0.5)
    locations[0, 1, 1, 0, 0] = torch.tensor([0.25, 0.75])
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(1, 1, 2, 2, 1).expand(1, 2, 2, 2, 1)
    references = torch.tensor([0.5, 0.25, 0.2, 0.1]).expand(1, 2, 2, 4)
    return RecordedAttention("", "decoder", 0, locations, weights, references, ((2, 3), (1, 2)))


def test_the_drawing_places_points_in_pixels_with_the_color_of_the_level_and_the_weight_as_area():
    figure = draw_sampling(torch.rand(3, 20, 40), record_by_hand(), query=1, head=1)
    axes: Any = figure.axes[0]
    drawn = {tuple(points.get_offsets().data[0]): points for points in axes.collections}
    assert drawn.keys() == {(0.25 * 40 - 0.5, 0.75 * 20 - 0.5), (0.5 * 40 - 0.5, 0.5 * 20 - 0.5)}
    first, second = (drawn[place] for place in sorted(drawn))
    assert first.get_facecolor()[0][:3] == pytest.approx(rgb(LEVEL_COLORS[0]))
    assert second.get_sizes()[0] / first.get_sizes()[0] == pytest.approx(0.4 / 0.3)
    (box,) = axes.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == pytest.approx((15.5, 3.5, 8.0, 2.0))


def test_the_drawing_takes_an_image_that_was_padded():
    figure = draw_sampling(torch.rand(3, 20, 40), record_by_hand(), 1, 1, 0, padded_size=(32, 64))
    axes: Any = figure.axes[0]
    (points,) = axes.collections
    assert points.get_offsets().data.tolist() == [[0.25 * 64 - 0.5, 0.75 * 32 - 0.5]]
    assert axes.get_xlim()[1] > 63


def rgb(color: str) -> list[float]:
    return [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
