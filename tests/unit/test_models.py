"""The two detectors as a whole: sizes, start, independence of what should not matter."""

import dataclasses
import math

import pytest
import torch
from einops import rearrange
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from detr_tutorial.deformable_attention import MSDeformAttn, star_offsets
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detections import DeformableRecords, DenseRecords, all_layers
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.features import FlattenedFeatures, flatten_levels, unflatten_levels
from detr_tutorial.padding import PaddedBatch, pad_images

SMALL = {
    "small_channels": (8, 16, 24),
    "d_model": 32,
    "num_heads": 4,
    "num_points": 3,
    "num_queries": 7,
    "num_classes": 5,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "ffn_dim": 48,
}
VARIANTS = ("base", "refined", "two_stage_refined", "single_scale", "single_scale_dc5")


def small(variant: str, **changes) -> DeformableDETR:
    torch.manual_seed(0)
    config = getattr(DeformableDETRConfig, variant)(backbone="small", dropout=0.0, **{**SMALL, **changes})
    return disturb(DeformableDETR(config)).eval()


def small_detr(**changes) -> DETR:
    torch.manual_seed(0)
    sizes = {name: value for name, value in SMALL.items() if name != "num_points"}
    return disturb(DETR(DETRConfig(backbone="small", dropout=0.0, **{**sizes, **changes}))).eval()


def disturb(model):
    """Move every parameter, so that a start at zero hides nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def every_model():
    return [
        *(pytest.param(lambda v=variant: small(v), id=variant) for variant in VARIANTS),
        pytest.param(small_detr, id="detr"),
        pytest.param(lambda: small_detr(pre_norm=True), id="detr_pre_norm"),
        pytest.param(lambda: small_detr(background_class=False, dilated=True), id="detr_sigmoid_dc5"),
    ]


def two_images() -> PaddedBatch:
    generator = torch.Generator().manual_seed(1)
    return pad_images(
        [torch.randn(3, 128, 192, generator=generator), torch.randn(3, 192, 64, generator=generator)]
    )


def total(detections) -> torch.Tensor:
    """One number to take gradients of."""
    return torch.stack([answer.float().sum() for answer in answers(detections)]).sum()


def answers(detections) -> list[torch.Tensor]:
    return [tensor for layer in all_layers(detections) for tensor in layer]


# Sizes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "trainable"),
    [
        (DeformableDETRConfig.single_scale(), 33_844_193),
        (DeformableDETRConfig.single_scale_dc5(), 33_844_193),
        (DeformableDETRConfig.base(), 39_847_265),
        (DeformableDETRConfig.refined(), 40_627_260),
        (DeformableDETRConfig.two_stage_refined(), 40_959_129),
        (DETRConfig(), 41_302_368),
    ],
    ids=["single_scale", "single_scale_dc5", "base", "refined", "two_stage_refined", "detr"],
)
def test_the_published_variants_have_exactly_the_published_number_of_parameters(config, trainable):
    model = DETR(config) if isinstance(config, DETRConfig) else DeformableDETR(config)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trainable
    assert sum(p.numel() for p in model.parameters() if not p.requires_grad) == 222_400


def test_one_layer_has_the_number_of_parameters_counted_by_hand():
    model = DeformableDETR(DeformableDETRConfig.base())
    count = lambda module: sum(p.numel() for p in module.parameters())
    assert count(model.encoder.layers[0]) == 756_864
    assert count(model.decoder.layers[0]) == 1_020_544
    assert count(model.encoder.layers[0].self_attention) == 230_272
    trainable = [p for p in model.backbone.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == 23_232_512


def test_shapes_has_about_two_million_parameters_and_a_dense_counterpart_of_similar_size():
    for model in (DeformableDETR(DeformableDETRConfig.shapes()), DETR(DETRConfig.shapes())):
        assert 1.4e6 < sum(p.numel() for p in model.parameters()) < 2.6e6


@pytest.mark.parametrize("make", every_model())
def test_every_decoder_layer_answers_with_finite_logits_and_boxes_in_the_unit_square(make):
    model = make()
    detections = model(two_images())
    columns = 5 + detections.background_class
    assert len(detections.auxiliary) == 2
    for layer in all_layers(detections):
        assert layer.logits.shape == (2, 7, columns)
        assert layer.boxes.shape == (2, 7, 4)
        assert layer.logits.isfinite().all()
        assert ((layer.boxes > 0) & (layer.boxes < 1)).all()


def test_the_shared_heads_of_the_base_model_are_held_once():
    assert len(small("base").decoder.box_heads) == len(small("base").decoder.class_heads) == 1
    assert len(small("refined").decoder.box_heads) == len(small("refined").decoder.class_heads) == 3


# Start of training -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["base", "refined"])
def test_at_the_start_every_layer_gives_the_reference_with_the_size_of_the_bias(variant):
    torch.manual_seed(0)
    model = DeformableDETR(getattr(DeformableDETRConfig, variant)(backbone="small", **SMALL)).eval()
    detections = model(two_images(), record_sampling=True)
    references = detections.sampling.references[0]
    size = 1 / (1 + math.exp(2))
    for layer in all_layers(detections):
        torch.testing.assert_close(layer.boxes[..., :2], references, atol=2e-5, rtol=0)
        torch.testing.assert_close(layer.boxes[..., 2:], torch.full_like(references, size))


def test_at_the_start_every_layer_of_the_two_stage_model_gives_the_proposals():
    torch.manual_seed(0)
    model = DeformableDETR(DeformableDETRConfig.two_stage_refined(backbone="small", **SMALL)).eval()
    detections = model(two_images(), record_sampling=True)
    for layer in all_layers(detections):
        torch.testing.assert_close(layer.boxes, detections.sampling.references[0], atol=2e-5, rtol=0)


def test_reference_points_are_spread_over_the_image_at_the_start():
    torch.manual_seed(0)
    model = DeformableDETR(DeformableDETRConfig.base(backbone="small"))
    spread = model.reference_points(model.query_embedding.weight[:, :256]).sigmoid().std()
    assert 0.2 < spread < 0.32
    model.query_embedding.weight.data.mul_(0.02)  # the start that some copies have
    assert model.reference_points(model.query_embedding.weight[:, :256]).sigmoid().std() < 0.01


def test_the_star_the_equal_weights_and_the_prior_survive_the_start_of_the_whole_model():
    model = DeformableDETR(DeformableDETRConfig.two_stage_refined(backbone="small", **SMALL))
    attentions = [module for module in model.modules() if isinstance(module, MSDeformAttn)]
    assert len(attentions) == 5
    for attention in attentions:
        assert not attention.sampling_offsets.weight.any()
        assert not attention.attention_weights.weight.any()
        torch.testing.assert_close(attention.sampling_offsets.bias, star_offsets(4, 4, 3).flatten())
    heads = [*model.decoder.class_heads, model.proposal_stage.class_head]
    for head in heads:
        torch.testing.assert_close(head.bias, torch.full((5,), -math.log(99)))
        torch.testing.assert_close(head.weight, heads[0].weight)


def test_the_bias_of_the_offsets_learns():
    model = small("base").train()
    total(model(two_images())).backward()
    for module in model.modules():
        if isinstance(module, MSDeformAttn):
            gradient = module.sampling_offsets.bias.grad
            assert gradient is not None
            assert gradient.abs().sum() > 0


def test_the_level_embedding_starts_normal_and_its_rows_differ():
    torch.manual_seed(0)
    embedding = DeformableDETR(DeformableDETRConfig.base(backbone="small")).level_embedding
    assert embedding.shape == (4, 256)
    assert 0.9 < embedding.std() < 1.1
    assert abs(embedding.mean()) < 0.1


def test_every_trainable_parameter_gets_a_gradient():
    for make in (lambda: small("refined"), lambda: small("base"), small_detr):
        model = make().train()
        total(model(two_images())).backward()
        assert [name for name, p in model.named_parameters() if p.grad is None] == []


# What should not matter ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", every_model())
def test_images_of_a_batch_can_be_swapped(make):
    model, batch = make(), two_images()
    swapped = model(PaddedBatch(batch.pixels.flip(0), batch.mask.flip(0)))
    for answer, other in zip(answers(model(batch)), answers(swapped), strict=True):
        torch.testing.assert_close(other.flip(0), answer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", every_model())
def test_two_images_together_give_what_each_gives_alone_with_the_same_padding(make):
    model, batch = make(), two_images()
    together = answers(model(batch))
    for index in range(2):
        alone = answers(model(PaddedBatch(batch.pixels[index : index + 1], batch.mask[index : index + 1])))
        for answer, other in zip(together, alone, strict=True):
            torch.testing.assert_close(other[0], answer[index], atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [lambda: small("base"), lambda: small("refined"), small_detr])
def test_object_queries_can_be_permuted(make):
    model, batch = make(), two_images()
    before = answers(model(batch))
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    model.query_embedding.weight.data = model.query_embedding.weight.data[order]
    for answer, other in zip(before, answers(model(batch)), strict=True):
        torch.testing.assert_close(other, answer[:, order], atol=1e-5, rtol=0)


# Padding ---------------------------------------------------------------------------------------------------


def beside_a_larger_image(flattened: FlattenedFeatures, garbage: float) -> FlattenedFeatures:
    """Put the maps of an image into the top left corner of maps twice as high and three times as wide.

    This is what a larger neighbor in the batch does to an image's maps, except for what convolutions and
    group norms see of the padding. The padding is filled with garbage.
    """
    batch = len(flattened.tokens)
    maps, positions, masks = [], [], []
    for tokens, place in zip(
        unflatten_levels(flattened.tokens, flattened.spatial_shapes),
        unflatten_levels(flattened.positions, flattened.spatial_shapes),
        strict=True,
    ):
        height, width = tokens.shape[2:]
        grow = lambda x, height=height, width=width: nn.functional.pad(
            x, (0, 2 * width, 0, height), value=garbage
        )
        maps.append(grow(tokens))
        positions.append(grow(place))
        mask = torch.ones(batch, 2 * height, 3 * width, dtype=torch.bool)
        mask[:, :height, :width] = False
        masks.append(mask)
    no_level = torch.zeros(len(maps), flattened.tokens.shape[2])  # the positions hold it already
    return flatten_levels(maps, positions, masks, no_level)


def decode(model: DeformableDETR, flattened: FlattenedFeatures) -> tuple[list, torch.Tensor]:
    memory, _ = model.encoder(flattened)
    if model.config.two_stage:
        queries, query_positions, references, _ = model.proposal_stage(memory, flattened)
    else:
        halves = rearrange(model.query_embedding.weight, "Q (two C) -> two 1 Q C", two=2)
        query_positions, queries = halves.expand(-1, len(memory), -1, -1)
        references = model.reference_points(query_positions).sigmoid()
    layers = model.decoder(queries, query_positions, references, memory, flattened).layers
    return [tensor for layer in layers for tensor in layer], memory


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("garbage", [0.0, 1e4])
def test_after_the_projections_an_image_gives_the_same_alone_and_beside_a_larger_one(variant, garbage):
    # From the tokens on, nothing of the padding may be seen: its values read as zero, and references follow
    # the valid ratios. Zeros around the map are what lies outside an unpadded map too.
    model = small(variant)
    flattened = model.flatten(pad_images([torch.randn(3, 128, 192)]))
    padded = beside_a_larger_image(flattened, garbage)
    alone, memory = decode(model, flattened)
    beside, padded_memory = decode(model, padded)
    torch.testing.assert_close(padded_memory[~padded.mask], memory[0], atol=1e-4, rtol=0)
    for answer, other in zip(alone, beside, strict=True):
        torch.testing.assert_close(other, answer, atol=1e-4, rtol=0)


def test_dense_attention_gives_the_same_alone_and_beside_a_larger_image():
    model = small_detr()
    tokens, positions = torch.randn(2, 1, 24, 32)
    mask = torch.zeros(1, 24, dtype=torch.bool)
    garbage = torch.full((1, 5, 32), 1e4)
    padded_mask = torch.cat([mask, torch.ones(1, 5, dtype=torch.bool)], dim=1)
    alone, _ = model.encoder[0](tokens, positions, mask)
    beside, _ = model.encoder[0](
        torch.cat([tokens, garbage], 1), torch.cat([positions, garbage], 1), padded_mask
    )
    torch.testing.assert_close(beside[:, :24], alone, atol=1e-4, rtol=0)


def test_convolutions_and_group_norms_do_see_the_padding():
    # Here theory says the opposite: the first norm's shift makes padding non-zero, the next convolution
    # carries it over the border, and a group norm's mean and variance include all cells. So a whole model's
    # answers depend on the neighbors in the batch, as the official one's do.
    model = small("base")
    image = torch.randn(3, 128, 192)
    alone = model.flatten(pad_images([image]))
    beside = model.flatten(pad_images([image, torch.randn(3, 256, 384)]))
    first = unflatten_levels(alone.tokens, alone.spatial_shapes)[0][0]
    padded_first = unflatten_levels(beside.tokens, beside.spatial_shapes)[0][0, :, :16, :24]
    assert (first - padded_first).abs().max() > 1e-2


def test_frozen_batch_norm_leaks_over_the_border_only():
    torch.manual_seed(0)
    backbone = DeformableDETR(DeformableDETRConfig.single_scale()).backbone.eval()
    for module in backbone.modules():
        if isinstance(module, FrozenBatchNorm2d):
            torch.nn.init.normal_(module.get_buffer("bias"), std=0.1)
    image = torch.randn(3, 64, 1024)
    with torch.no_grad():
        alone = backbone(pad_images([image])).features[0]
        beside = backbone(pad_images([image, torch.randn(3, 64, 1536)])).features[0][:1, :, :, :32]
    difference = (alone - beside).abs().amax(dim=(0, 1, 2)) / alone.abs().max()
    assert difference[-1] > 1e-3
    assert difference[:8].max() < 1e-5


# Records ---------------------------------------------------------------------------------------------------


def test_records_are_kept_only_when_asked_for():
    batch = two_images()
    for model in (small("refined"), small_detr()):
        assert model(batch).sampling is None
    records = small("refined")(batch, record_sampling=True).sampling
    assert isinstance(records, DeformableRecords)
    assert [len(part) for part in records] == [2, 3, 3]
    tokens = sum(h * w for h, w in small("refined").flatten(batch).spatial_shapes)
    assert records.encoder[0].locations.shape == (2, tokens, 4, 4, 3, 2)
    assert records.decoder[0].weights.shape == (2, 7, 4, 4, 3)
    assert [reference.shape[-1] for reference in records.references] == [2, 4, 4]
    dense = small_detr()(batch, record_sampling=True).sampling
    assert isinstance(dense, DenseRecords)
    assert dense.encoder[1].shape == (2, 4, 36, 36)
    torch.testing.assert_close(dense.decoder[2].sum(-1), torch.ones(2, 4, 7))


def test_recording_changes_no_answer():
    for model in (small("two_stage_refined"), small_detr()):
        before, after = model(two_images()), model(two_images(), record_sampling=True)
        for answer, other in zip(answers(before), answers(after), strict=True):
            torch.testing.assert_close(other, answer, atol=1e-5, rtol=0)


# Other ways to run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", every_model())
def test_bfloat16_autocast_gives_finite_answers_close_to_float32(make):
    model, batch = make().train(), two_images()
    exact = model(batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(batch)
    if rough.encoder is None:  # a two-stage model may choose other proposals
        assert (rough.boxes - exact.boxes).abs().max() < 0.1
    assert rough.boxes.dtype == torch.float32 or not isinstance(model, DeformableDETR)
    total(rough).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_copy_of_the_configuration_with_one_change_is_checked_again():
    config = DeformableDETRConfig.shapes()
    assert dataclasses.replace(config, num_queries=9).num_queries == 9
    with pytest.raises(ValueError, match="two_stage=True needs refine_boxes=True"):
        dataclasses.replace(config, refine_boxes=False, two_stage=True)
