"""record_sampling takes down what the attentions of other people's models really did, and changes nothing.

The models are small and random. The oracle: our `ms_deform_attn`, fed with the record and with the values
that the module itself projects, gives the output that the module gave.
"""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from einops import rearrange
from torch import nn
from torch.testing import assert_close
from transformers.models.rt_detr_v2 import modeling_rt_detr_v2

from detr_tutorial.deformable_attention import ms_deform_attn
from detr_tutorial.plots import RecordedAttention, draw_sampling, record_sampling

hf: Any = transformers  # its configurations take more types than they say
Settings = dict[str, Any]


def stages(**settings: Any) -> Settings:
    return {"depths": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"], **settings}


def sizes(**settings: Any) -> Settings:
    common = {"encoder_layers": 2, "decoder_layers": 2, "num_queries": 7, "decoder_attention_heads": 3}
    return {**common, "encoder_ffn_dim": 18, "decoder_ffn_dim": 16, **settings}


CHANNELS = stages(embedding_size=8, hidden_sizes=[8, 12, 16, 20])
RESNET = {**CHANNELS, "layer_type": "basic"}
HGNET = {
    **CHANNELS,
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 8, 12, 16],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [8, 12, 16, 20],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
}
SWIN = stages(image_size=64, embed_dim=8, num_heads=[1, 1, 2, 2], window_size=4)
TEXT: Settings = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SLOW = sizes(d_model=96, encoder_attention_heads=6, encoder_n_points=5, decoder_n_points=2)
REAL_TIME = sizes(
    d_model=24,
    encoder_layers=1,
    encoder_attention_heads=3,
    encoder_hidden_dim=24,
    encoder_in_channels=[12, 16, 20],
    decoder_in_channels=[24, 24, 24],
    decoder_n_points=5,
    num_denoising=0,
)


def deformable_detr() -> nn.Module:
    config = hf.DeformableDetrConfig(**SLOW, backbone_config=hf.ResNetConfig(**RESNET))
    return hf.DeformableDetrForObjectDetection(config)


def rt_detr() -> nn.Module:
    config = hf.RTDetrConfig(**REAL_TIME, backbone_config=hf.RTDetrResNetConfig(**RESNET))
    return hf.RTDetrForObjectDetection(config)


def rt_detr_v2() -> nn.Module:
    config = hf.RTDetrV2Config(**REAL_TIME, backbone_config=hf.RTDetrResNetConfig(**RESNET))
    return hf.RTDetrV2ForObjectDetection(config)


def d_fine() -> nn.Module:
    """Its levels have different numbers of points."""
    points = {**REAL_TIME, "decoder_n_points": [3, 6, 2]}
    return hf.DFineForObjectDetection(hf.DFineConfig(**points, backbone_config=hf.HGNetV2Config(**HGNET)))


def grounding_dino() -> nn.Module:
    config = hf.GroundingDinoConfig(
        **SLOW,
        backbone_config=hf.SwinConfig(**SWIN),
        text_config=hf.BertConfig(**TEXT),
        max_text_len=9,
    )
    return hf.GroundingDinoForObjectDetection(config)


def omdet_turbo() -> nn.Module:
    config = hf.OmDetTurboConfig(
        backbone_config=hf.SwinConfig(**SWIN),
        text_config=hf.CLIPTextConfig(**TEXT, projection_dim=16),
        apply_layernorm_after_vision_backbone=False,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        class_embed_dim=16,
        task_encoder_hidden_dim=16,
        num_queries=7,
        vision_features_channels=[24, 24, 24],
        encoder_in_channels=[16, 32, 64],
        encoder_hidden_dim=24,
        encoder_attention_heads=3,
        encoder_dim_feedforward=16,
        decoder_hidden_dim=24,
        decoder_num_heads=3,
        decoder_num_layers=2,
        decoder_dim_feedforward=16,
        decoder_num_points=5,
    )
    return hf.OmDetTurboForObjectDetection(config)


def mask2former() -> nn.Module:
    """Its deformable encoder stands inside of what it calls a decoder."""
    config = hf.Mask2FormerConfig(
        backbone_config=hf.SwinConfig(**{**SWIN, "out_features": ["stage1", "stage2", "stage3", "stage4"]}),
        feature_size=96,
        mask_feature_size=96,
        hidden_dim=96,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        num_attention_heads=3,
        encoder_layers=2,
        decoder_layers=2,
        num_queries=7,
    )
    return hf.Mask2FormerForUniversalSegmentation(config)


BOTH = [("encoder", 0), ("encoder", 1), ("decoder", 0), ("decoder", 1)]
MODELS = {  # (model, its attentions)
    "Deformable DETR": (deformable_detr, BOTH),
    "RT-DETR": (rt_detr, BOTH[2:]),
    "RT-DETRv2": (rt_detr_v2, BOTH[2:]),
    "D-FINE": (d_fine, BOTH[2:]),
    "Grounding DINO": (grounding_dino, BOTH),
    "OmDet-Turbo": (omdet_turbo, BOTH[2:]),
    "Mask2Former": (mask2former, BOTH[:2]),
}
WORDS: dict[str, Settings] = {
    "Grounding DINO": {"input_ids": torch.tensor([[1, 7, 8, 9, 2]] * 2)},
    "OmDet-Turbo": {
        "classes_input_ids": torch.tensor([[1, 7, 8, 2]] * 6),
        "classes_attention_mask": torch.ones(6, 4, dtype=torch.long),
        "classes_structure": torch.tensor([3, 3]),
        "tasks_input_ids": torch.tensor([[1, 5, 2]] * 2),
        "tasks_attention_mask": torch.ones(2, 3, dtype=torch.long),
    },
}


@torch.no_grad()
def build(name: str) -> tuple[nn.Module, Settings]:
    """A model with weights that hide nothing, and what it is called with."""
    torch.manual_seed(0)
    model = MODELS[name][0]().eval()
    for path, weight in model.named_parameters():
        if "sampling_offsets" in path or "attention_weights" in path:
            weight.add_(torch.randn_like(weight) * (0.3 if weight.dim() == 1 else weight.shape[1] ** -0.5))
    return model, {"pixel_values": torch.rand(2, 3, 64, 96), **WORDS.get(name, {})}


def recomputed(module: Any, record: RecordedAttention, call: Settings) -> torch.Tensor:
    """Our attention over the module's own values, at the recorded points."""
    tokens = call["encoder_hidden_states"]
    value = module.value_proj(tokens) if hasattr(module, "value_proj") else tokens
    value = rearrange(value, "B S (M D) -> B S M D", M=record.weights.shape[2])
    locations = record.locations.nan_to_num(0.5)  # where a level has fewer points, their weight is zero
    output = ms_deform_attn(value, record.spatial_shapes, locations, record.weights)
    return module.output_proj(output) if hasattr(module, "output_proj") else output


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_record_and_our_attention_give_the_output_of_the_module(name):
    model, inputs = build(name)
    plain = model(**inputs)
    calls: list[Any] = []

    def note(module: Any, _: Any, kwargs: Any, output: Any) -> None:
        calls.append((module, kwargs, output[0]))

    for module in model.modules():
        if hasattr(module, "sampling_offsets"):
            module.register_forward_hook(note, with_kwargs=True)
    with record_sampling(model) as records:
        recorded = model(**inputs)

    assert [(record.kind, record.layer) for record in records] == MODELS[name][1]
    assert [model.get_submodule(record.name) for record in records] == [call[0] for call in calls]
    for record, (module, kwargs, output) in zip(records, calls, strict=True):
        assert_close(record.weights.sum((-2, -1)), torch.ones(record.weights.shape[:3]))
        assert_close(recomputed(module, record, kwargs), output, rtol=1e-4, atol=1e-5)
        references = kwargs["reference_points"].expand(-1, -1, len(record.spatial_shapes), -1)
        assert torch.equal(record.references, references)
    for key, value in plain.items():  # and the model does what it always does
        if isinstance(value, torch.Tensor):
            assert torch.equal(recorded[key], value), key


@torch.no_grad()
def test_levels_with_fewer_points_are_filled_up_with_nothing():
    model, inputs = build("D-FINE")
    with record_sampling(model) as records:
        model(**inputs)
    for record in records:
        missing = record.locations.isnan().all(-1)
        assert missing.sum((0, 1, 2, 4)).tolist() == [points * 2 * 7 * 3 for points in (3, 0, 4)]
        assert record.weights[missing].eq(0).all()
        assert record.weights[~missing].gt(0).all()
        figure = draw_sampling(torch.rand(3, 64, 96), record, query=2, head=1, level=2)
        (points,) = figure.axes[0].collections
        assert len(np.asarray(points.get_offsets())) == 2


@pytest.mark.parametrize("name", ["RT-DETR", "RT-DETRv2", "D-FINE"])  # the three ways to look inside
@torch.no_grad()
def test_nothing_is_left_behind_also_after_an_exception(name):
    model, inputs = build(name)
    reader = modeling_rt_detr_v2.multi_scale_deformable_attention_v2
    state = [dict(vars(module)) for module in model.modules()]
    records = []

    def fail() -> None:
        with record_sampling(model) as kept:
            model(**inputs)
            records.append(kept)
            raise KeyError("planted")

    with pytest.raises(KeyError, match="planted"):
        fail()
    model(**inputs)
    assert len(records[0]) == 2
    assert modeling_rt_detr_v2.multi_scale_deformable_attention_v2 is reader
    for module, before in zip(model.modules(), state, strict=True):
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
        assert vars(module).keys() == before.keys()
        assert getattr(module, "ms_deformable_attn_core", None) is before.get("ms_deformable_attn_core")


@torch.no_grad()
def test_another_model_of_the_same_class_is_not_recorded():
    (model, inputs), (other, _) = build("RT-DETRv2"), build("RT-DETRv2")
    with record_sampling(model) as records:
        other(**inputs)
        assert not records
        model(**inputs)
        assert len(records) == 2
