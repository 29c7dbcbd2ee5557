"""Weights keep every bit on the way through files and other namings."""

import argparse
import copy
import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from huggingface_hub.errors import EntryNotFoundError
from safetensors.torch import save_file
from torch import Tensor

from detr_tutorial.checkpoints import (
    from_official,
    from_transformers,
    load_pretrained,
    save_pretrained,
    to_official,
    to_transformers,
)
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detr import DETR, DETRConfig

SMALL: dict[str, Any] = {
    "d_model": 64,
    "num_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "ffn_dim": 96,
    "num_classes": 5,
    "num_queries": 7,
}
POINTS = {"num_points": 3}
ALL: dict[str, Any] = {
    "single scale": DeformableDETRConfig.single_scale(**SMALL, **POINTS),
    "single scale, DC5": DeformableDETRConfig.single_scale_dc5(**SMALL, **POINTS),
    "base": DeformableDETRConfig.base(**SMALL, **POINTS),
    "refined": DeformableDETRConfig.refined(**SMALL, **POINTS),
    "two-stage": DeformableDETRConfig.two_stage_refined(**SMALL, **POINTS),
    "DETR": DETRConfig(**SMALL),
    "DETR, pre-norm": DETRConfig(**SMALL, pre_norm=True),
}
TINY = {**SMALL, "backbone": "small", "small_channels": (8, 16, 24), "d_model": 32}


@functools.cache  # tests read these models, and change none of them
def build(config: Any) -> Any:
    torch.manual_seed(0)
    model = DETR(config) if isinstance(config, DETRConfig) else DeformableDETR(config)
    if config.backbone == "resnet50":
        model.half()  # smaller files
    with torch.no_grad():
        for value in model.state_dict().values():  # statistics and zeros too: no two weights are alike
            value.add_(torch.rand_like(value))
    return model


def assert_same_weights(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(state) == list(expected)
    for key, value in expected.items():
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value), key


@pytest.mark.parametrize("name", ALL)
def test_to_official_names_and_back_keeps_every_bit(name):
    model = build(ALL[name])
    assert_same_weights(from_official(to_official(model), model.config), model.state_dict())


@pytest.mark.parametrize("name", [name for name in ALL if "pre-norm" not in name])
def test_to_the_names_of_transformers_and_back_keeps_every_bit(name):
    model = build(ALL[name])
    assert_same_weights(from_transformers(to_transformers(model), model.config), model.state_dict())


def both(*names: str) -> set[str]:
    return {f"{name}.{kind}" for name in names for kind in ("weight", "bias")}


def resnet50_keys() -> set[str]:
    with torch.device("meta"):
        resnet = torchvision.models.resnet50()
    return {
        f"backbone.0.body.{key}"
        for key in resnet.state_dict()
        if not key.startswith("fc.") and not key.endswith("num_batches_tracked")
    }


def official_keys(config: Any) -> set[str]:
    """List the keys of an official file, written down from its own modules."""
    keys = resnet50_keys()
    encoder = [f"transformer.encoder.layers.{i}" for i in range(config.encoder_layers)]
    decoder = [f"transformer.decoder.layers.{i}" for i in range(config.decoder_layers)]
    boxes = [f"layers.{i}" for i in range(3)]
    for layer in decoder:
        keys |= {f"{layer}.self_attn.in_proj_weight", f"{layer}.self_attn.in_proj_bias"}
        keys |= both(*(f"{layer}.{m}" for m in ("self_attn.out_proj", "norm1", "norm2", "norm3")))
    for layer in encoder:
        keys |= both(*(f"{layer}.{m}" for m in ("norm1", "norm2")))
    for layer in encoder + decoder:
        keys |= both(f"{layer}.linear1", f"{layer}.linear2")
    if isinstance(config, DETRConfig):
        keys |= {"query_embed.weight"} | both("input_proj", "class_embed", "transformer.decoder.norm")
        keys |= both(*(f"bbox_embed.{m}" for m in boxes))
        if config.pre_norm:
            keys |= both("transformer.encoder.norm")
        attentions = [f"{layer}.self_attn" for layer in encoder]
        attentions += [f"{layer}.multihead_attn" for layer in decoder]
        for attention in attentions:
            keys |= {f"{attention}.in_proj_weight", f"{attention}.in_proj_bias"} | both(
                f"{attention}.out_proj"
            )
        return keys
    keys |= {"transformer.level_embed"}
    keys |= both(*(f"input_proj.{level}.{i}" for level in range(config.num_levels) for i in (0, 1)))
    attentions = [f"{layer}.self_attn" for layer in encoder] + [f"{layer}.cross_attn" for layer in decoder]
    for attention in attentions:
        for part in ("sampling_offsets", "attention_weights", "value_proj", "output_proj"):
            keys |= both(f"{attention}.{part}")
    if config.two_stage:
        stage = ("enc_output", "enc_output_norm", "pos_trans", "pos_trans_norm")
        keys |= both(*(f"transformer.{m}" for m in stage))
    else:
        keys |= {"query_embed.weight"} | both("transformer.reference_points")
    for i in range(config.decoder_layers + config.two_stage):
        keys |= both(f"class_embed.{i}", *(f"bbox_embed.{i}.{m}" for m in boxes))
        if config.refine_boxes:
            keys |= both(*(f"transformer.decoder.bbox_embed.{i}.{m}" for m in boxes))
        if config.two_stage:
            keys |= both(f"transformer.decoder.class_embed.{i}")
    return keys


@pytest.mark.parametrize("name", ALL)
def test_the_official_names_are_those_of_the_official_code(name):
    model = build(ALL[name])
    assert set(to_official(model)) == official_keys(model.config)


def test_the_published_sizes_have_the_official_shapes():
    with torch.device("meta"):
        state = to_official(DeformableDETR(DeformableDETRConfig.base()))
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["query_embed.weight"] == (300, 512)
    assert shapes["transformer.level_embed"] == (4, 256)
    assert shapes["transformer.reference_points.weight"] == (2, 256)
    assert shapes["transformer.encoder.layers.5.self_attn.sampling_offsets.weight"] == (256, 256)
    assert shapes["transformer.decoder.layers.0.cross_attn.attention_weights.weight"] == (128, 256)
    assert shapes["transformer.decoder.layers.5.self_attn.in_proj_weight"] == (768, 256)
    assert shapes["class_embed.5.weight"] == (91, 256)
    assert shapes["bbox_embed.5.layers.2.bias"] == (4,)


def test_the_first_norm_of_an_official_deformable_decoder_layer_follows_the_cross_attention():
    model = build(ALL["base"])
    state = to_official(model)
    layer: Any = model.decoder.layers[1]
    start = "transformer.decoder.layers.1"
    assert torch.equal(state[f"{start}.norm1.weight"], layer.cross_attention_norm.weight)
    assert torch.equal(state[f"{start}.norm2.weight"], layer.self_attention_norm.weight)
    assert torch.equal(state[f"{start}.norm3.weight"], layer.ffn_norm.weight)


def test_the_first_norm_of_an_official_detr_decoder_layer_follows_the_self_attention():
    model = build(ALL["DETR"])
    state = to_official(model)
    layer: Any = model.decoder[1]
    assert torch.equal(state["transformer.decoder.layers.1.norm1.weight"], layer.self_attention_norm.weight)
    assert torch.equal(state["transformer.decoder.layers.1.norm2.weight"], layer.cross_attention_norm.weight)


def test_query_key_and_value_are_cut_in_this_order():
    model = build(ALL["base"])
    layer: Any = model.decoder.layers[2]
    state = to_transformers(model)
    start = "model.decoder.layers.2.self_attn"
    for kind in ("weight", "bias"):
        query, key, value = getattr(layer.self_attention, f"in_proj_{kind}").split(64)
        assert torch.equal(state[f"{start}.q_proj.{kind}"], query)
        assert torch.equal(state[f"{start}.k_proj.{kind}"], key)
        assert torch.equal(state[f"{start}.v_proj.{kind}"], value)


def test_a_shared_head_is_copied_for_every_layer_and_a_head_of_its_own_is_not():
    shared, own = build(ALL["base"]), build(ALL["refined"])
    for i in range(3):
        copy = to_official(shared)[f"class_embed.{i}.weight"]
        assert torch.equal(copy, shared.decoder.class_heads[0].weight)
        single = to_official(own)[f"class_embed.{i}.weight"]
        assert torch.equal(single, own.decoder.class_heads[i].weight)
    two_stage = build(ALL["two-stage"])
    last = to_official(two_stage)["class_embed.3.weight"]
    assert torch.equal(last, two_stage.proposal_stage.class_head.weight)


# Official files


def official_file(path: Path, model: Any, **arguments: Any) -> Path:
    """Write what the official training script would, with leftovers of a profiler."""
    state = {**to_official(model), "total_ops": torch.zeros(1), "transformer.total_params": torch.zeros(1)}
    content: dict[str, Any] = {"model": state, "optimizer": {"state": {}}, "epoch": 49}
    if arguments:
        content["args"] = argparse.Namespace(lr_backbone_names=["backbone.0"], **arguments)
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", ALL)
def test_an_official_file_tells_its_variant(name, tmp_path):
    config = ALL[name]
    model = build(config)
    path = official_file(
        tmp_path / "checkpoint.pth",
        model,
        nheads=config.num_heads,
        dilation=config.dilated,
        num_queries=config.num_queries,
        dropout=0.25,
        backbone="resnet50",
    )
    loaded = load_pretrained(path)
    assert loaded.config == replace(config, dropout=0.25)
    assert type(loaded) is type(model)
    assert not loaded.training
    assert_same_weights(loaded.state_dict(), model.state_dict())


def test_an_official_file_without_arguments_has_the_published_ones(tmp_path):
    model = build(DETRConfig(**{**SMALL, "num_heads": 8}, dilated=True))
    path = official_file(tmp_path / "detr.pth", model)
    assert load_pretrained(path).config == replace(model.config, dilated=False)  # no shape tells
    loaded = load_pretrained(path, config=model.config)
    assert loaded.config == model.config
    assert_same_weights(loaded.state_dict(), model.state_dict())


def test_a_file_of_weights_alone_is_an_official_file_too(tmp_path):
    model = build(ALL["DETR"])
    torch.save(to_official(model), tmp_path / "detr.pth")
    loaded = load_pretrained(str(tmp_path / "detr.pth"), config=model.config)
    assert_same_weights(loaded.state_dict(), model.state_dict())


# Our own files


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "config",
    [
        DeformableDETRConfig.two_stage_refined(**TINY, short_side=100, dropout=0.3),
        DETRConfig(**TINY, background_class=False, position_offset=-0.5),
    ],
)
def test_our_own_file_keeps_every_bit_and_the_configuration(config, dtype, tmp_path):
    model = copy.deepcopy(build(config)).to(dtype)
    path = save_pretrained(model, tmp_path / "new folder" / "model.safetensors")
    loaded = load_pretrained(path)
    assert loaded.config == config
    assert type(loaded) is type(model)
    assert_same_weights(loaded.state_dict(), model.state_dict())


def test_a_loaded_model_shares_nothing_with_the_saved_one_or_the_file(tmp_path):
    model = build(DeformableDETRConfig.refined(**TINY))
    path = save_pretrained(model, tmp_path / "model.safetensors")
    before = path.read_bytes()
    loaded: Any = load_pretrained(path)
    with torch.no_grad():
        loaded.level_embedding.zero_()
    assert model.level_embedding.abs().min() > 0
    assert path.read_bytes() == before


def test_weights_of_imagenet_are_not_downloaded_for_a_file_that_holds_weights(tmp_path):
    model = copy.copy(build(ALL["base"]))
    model.config = replace(model.config, backbone_weights="IMAGENET1K_V1")
    path = save_pretrained(model, tmp_path / "model.safetensors")
    assert load_pretrained(path).config == ALL["base"]
    assert load_pretrained(path, config=model.config).config == ALL["base"]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    model = build(DeformableDETRConfig.refined(**TINY))
    path = save_pretrained(model, tmp_path / "model.safetensors")
    before = path.read_bytes()

    def fail(file: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_pretrained(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    model = build(DeformableDETRConfig.refined(**TINY))
    path = save_pretrained(model, tmp_path / "model.safetensors")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    load_pretrained(path)
    assert torch.equal(torch.rand(2), expected)


def test_a_given_configuration_changes_what_has_no_weights(tmp_path):
    model = build(DeformableDETRConfig.refined(**TINY))
    path = save_pretrained(model, tmp_path / "model.safetensors")
    wanted = replace(model.config, dropout=0.5, short_side=64, max_side=70)
    assert load_pretrained(path, config=wanted).config == wanted


# Another number of classes


@pytest.mark.parametrize(
    ("config", "heads"),
    [
        (DeformableDETRConfig.base(**TINY), ["decoder.class_heads.0"]),
        (
            DeformableDETRConfig.two_stage_refined(**TINY),
            [*(f"decoder.class_heads.{i}" for i in range(3)), "proposal_stage.class_head"],
        ),
        (DETRConfig(**TINY, background_class=False), ["class_head"]),
    ],
)
def test_another_number_of_classes_starts_the_class_heads_anew_and_says_so(config, heads, tmp_path):
    model = build(config)
    path = save_pretrained(model, tmp_path / "model.safetensors")
    keys = [f"{head}.{kind}" for head in heads for kind in ("weight", "bias")]
    with pytest.warns(UserWarning, match=f"11 classes instead of the 5 of the file: {', '.join(keys)} start"):
        loaded = load_pretrained(path, num_classes=11)
    assert loaded.config == replace(config, num_classes=11)
    state = loaded.state_dict()
    for key, value in model.state_dict().items():
        if key not in keys:
            assert torch.equal(state[key], value), key
        else:
            assert len(state[key]) == 11
            if key.endswith("bias"):
                assert state[key].sigmoid().sub(0.01).abs().max() < 1e-6


def test_the_same_number_of_classes_keeps_the_class_heads(tmp_path, recwarn):
    model = build(DeformableDETRConfig.base(**TINY))
    path = save_pretrained(model, tmp_path / "model.safetensors")
    assert_same_weights(load_pretrained(path, num_classes=5).state_dict(), model.state_dict())
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]


# The hub


def stored_as_on_the_hub(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name weights as the files on the hub do, from what is known of transformers 4."""
    renamed = {
        key.replace("model.backbone.", "model.backbone.conv_encoder.")
        .replace(".mlp.fc", ".fc")
        .replace("o_proj", "out_proj"): value.clone()
        for key, value in state.items()
    }
    stray = "model.backbone.conv_encoder.model.layer1.0.downsample.1.num_batches_tracked"
    return {**renamed, stray: torch.tensor(0)}


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("name", ["two-stage", "DETR"])
def test_a_repository_on_the_hub_is_downloaded_and_read(name, file, tmp_path, monkeypatch):
    config = ALL[name]
    model = build(config)
    fields: dict[str, Any] = {
        "model_type": "detr" if name == "DETR" else "deformable_detr",
        "backbone": "resnet50",
        "use_timm_backbone": True,
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_ffn_dim": 96,
        "decoder_ffn_dim": 96,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "num_queries": 7 if name == "DETR" else 300,
        "two_stage": name == "two-stage",
        "with_box_refine": name == "two-stage",
        "two_stage_num_proposals": 7,
        "encoder_n_points": 3,
        "decoder_n_points": 3,
        "id2label": {str(i): f"thing {i}" for i in range(5)},
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    state = stored_as_on_the_hub(to_transformers(model))
    if file.endswith(".bin"):
        torch.save(state, tmp_path / file)
    else:
        save_file(state, tmp_path / file)
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if not (tmp_path / name).exists():
            raise EntryNotFoundError(f"404: {name}")
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    loaded = load_pretrained("somebody/some-detector")
    assert loaded.config == config
    assert_same_weights(loaded.state_dict(), model.state_dict())
    assert asked[0] == ("somebody/some-detector", "config.json")
    assert asked[-1] == ("somebody/some-detector", file)


def test_copies_of_a_tied_head_may_be_absent_in_files_of_transformers():
    model = build(ALL["base"])
    state = to_transformers(model)
    kept = {key: value for key, value in state.items() if not re.match(r"(class|bbox)_embed\.[12]\.", key)}
    assert len(kept) == len(state) - 16
    assert_same_weights(from_transformers(kept, model.config), model.state_dict())
