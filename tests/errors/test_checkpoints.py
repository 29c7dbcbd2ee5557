"""A file that does not fit says where; a file that is no file of weights is never run."""

import argparse
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
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
TINY = {**SMALL, "backbone": "small", "small_channels": (8, 16, 24), "d_model": 32}
TINY_CONFIG = DeformableDETRConfig.refined(**TINY)
CONFIG = DeformableDETRConfig.two_stage_refined(**SMALL)


@pytest.fixture(scope="module")
def model() -> DeformableDETR:
    return DeformableDETR(CONFIG)


@pytest.fixture
def official(model: DeformableDETR) -> dict[str, Tensor]:
    return to_official(model)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return save_pretrained(DeformableDETR(TINY_CONFIG), tmp_path / "model.safetensors")


def rewrite(path: Path, tensors: dict[str, Tensor | None] | None = None, config: str | None = None) -> None:
    """Change one of our own files: other tensors (None takes one out), or another text as configuration."""
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    state: dict[str, Any] = {**load_file(path), **(tensors or {})}
    state = {key: value for key, value in state.items() if value is not None}
    save_file(state, path, metadata if config is None else {**metadata, "config": config})


# The first key that does not fit is named, in both namings.


def test_a_missing_key_is_named_in_both_namings(official):
    del official["transformer.decoder.layers.1.norm1.bias"]
    del official["transformer.decoder.layers.2.norm1.bias"]
    message = (
        r"^state: transformer\.decoder\.layers\.1\.norm1\.bias "
        r"\(here decoder\.layers\.1\.cross_attention_norm\.bias\) is missing$"
    )
    with pytest.raises(ValueError, match=message):
        from_official(official, CONFIG)


def test_one_part_of_three_that_is_missing_is_named(model):
    state = to_transformers(model)
    del state["model.decoder.layers.0.self_attn.k_proj.weight"]
    with pytest.raises(
        ValueError, match=r"layers\.0\.self_attn\.k_proj\.weight \(here .*in_proj_weight\) is miss"
    ):
        from_transformers(state, CONFIG)


def test_an_official_file_must_hold_every_copy_of_a_head(official):
    del official["transformer.decoder.class_embed.1.weight"]
    with pytest.raises(ValueError, match=r"transformer\.decoder\.class_embed\.1\.weight .* is missing"):
        from_official(official, CONFIG)


def test_an_unexpected_key_is_named(official):
    official["backbone.0.body.layer3.6.conv1.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"backbone\.0\.body\.layer3\.6\.conv1\.weight is unexpected \(1 of"):
        from_official(official, CONFIG)


def test_a_wrong_shape_is_named_with_both_shapes(official):
    official["transformer.pos_trans.weight"] = torch.zeros(128, 64)
    message = r"transformer\.pos_trans\.weight \(here .*\) must have shape \(128, 128\), got \(128, 64\)"
    with pytest.raises(ValueError, match=message):
        from_official(official, CONFIG)


def test_copies_of_one_head_must_be_equal(official):
    key = "transformer.decoder.bbox_embed.2.layers.1.weight"
    official[key] = official[key] + 1e-6
    message = rf"{key} must equal bbox_embed\.2\.layers\.1\.weight: both are decoder\.box_heads\.2\.layers\.2"
    with pytest.raises(ValueError, match=message):
        from_official(official, CONFIG)


def test_all_weights_have_one_floating_point_type(official):
    official["transformer.pos_trans.bias"] = official["transformer.pos_trans.bias"].half()
    with pytest.raises(
        ValueError, match=r"pos_trans\.bias .* holds torch\.float16.*the first is torch\.float32"
    ):
        from_official(official, CONFIG)


def test_our_own_keys_are_named_once(own):
    rewrite(own, tensors={"level_embedding": None})
    with pytest.raises(ValueError, match=r"model\.safetensors: level_embedding is missing$"):
        load_pretrained(own)
    rewrite(own, tensors={"level_embedding": torch.zeros(3, 32)})
    with pytest.raises(ValueError, match=r"level_embedding must have shape \(4, 32\), got \(3, 32\)"):
        load_pretrained(own)
    rewrite(own, tensors={"level_embedding": torch.zeros(4, 32), "more": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"more is unexpected"):
        load_pretrained(own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder_layers": 4}, "config.decoder_layers must be 3, got 4"),
        ({"refine_boxes": False}, "config.refine_boxes must be True, got False"),
        ({"dilated": True}, "config.dilated must be False, got True"),
    ],
)
def test_a_configuration_must_agree_with_the_one_in_the_file(changes, message, own):
    with pytest.raises(ValueError, match=re.escape(message)):
        load_pretrained(own, config=DeformableDETRConfig(**{**TINY, "refine_boxes": True, **changes}))


def test_a_file_of_one_variant_is_not_read_as_another(own, model, tmp_path):
    with pytest.raises(ValueError, match="goes with a DeformableDETRConfig, got a DETRConfig"):
        load_pretrained(own, config=DETRConfig(**TINY))
    with torch.device("meta"):
        base = DeformableDETR(DeformableDETRConfig.base(**SMALL))
    refined = DeformableDETRConfig.refined(**SMALL)
    with pytest.raises(
        ValueError, match=r"transformer\.decoder\.bbox_embed\.0\.layers\.0\.weight .* is missing"
    ):
        from_official(with_numbers(to_official(base)), refined)
    with pytest.raises(ValueError, match=r"query_embed\.weight .* is missing"):
        from_official(to_official(model), refined)


def with_numbers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: torch.zeros(value.shape) for key, value in state.items()}


# Hostile, damaged and foreign files


class Hostile:
    """A pickle that would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, legacy):
    target = tmp_path / "made by a pickle"
    content = {"model": {"class_embed.weight": torch.zeros(2, 2)}, "args": Hostile(target)}
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=r"checkpoint\.pth asks to run \w+\.mkdir, .*; nothing was run"):
        load_pretrained(path)
    assert not target.exists()
    torch.load(path, weights_only=False)  # it would have
    assert target.exists()


def test_a_hostile_file_of_a_folder_is_refused_and_not_run(tmp_path):
    target = tmp_path / "made by a pickle"
    (tmp_path / "config.json").write_text('{"model_type": "detr"}')
    torch.save({"class_embed.weight": Hostile(target)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin asks to run \w+\.mkdir"):
        load_pretrained(tmp_path)
    assert not target.exists()


@pytest.mark.parametrize("keep", [0, 10, 5000])
@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.pth"])
def test_a_truncated_file_is_called_damaged(name, keep, own, tmp_path):
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save({"model": {"class_embed.weight": torch.zeros(100, 100)}}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=rf"{name} is damaged"):
        load_pretrained(path)


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.pth", "checkpoint.pt"])
def test_a_file_of_another_kind_is_called_damaged(name, tmp_path):
    (tmp_path / name).write_text("<html>404, but with a page</html>" * 99)
    with pytest.raises(ValueError, match=rf"{name} is damaged or"):
        load_pretrained(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no weights: expected a dictionary of tensors, got list"),
        ({}, "holds no weights: expected a dictionary of tensors, got dict"),
        ({"model": {}}, "holds no weights: expected a dictionary of tensors"),
        ({"model": {"a": 3}}, "holds no weights: 'a' is a int, no tensor"),
        ({"model": {"fc.weight": torch.zeros(1)}}, "is no official DETR .*, the first is fc.weight"),
        ({"class_embed.weight": torch.zeros(3, 2)}, r"transformer\.encoder\.layers\.0 is missing"),
        ({"transformer.level_embed": torch.zeros(4)}, r"transformer\.encoder\.layers\.0 is missing"),
    ],
)
def test_a_foreign_file_of_torch_says_what_it_holds(content, message, tmp_path):
    torch.save(content, tmp_path / "foreign.pth")
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "foreign.pth")


def test_an_official_file_with_arguments_that_we_can_not_build_says_which(official, tmp_path):
    for arguments, message in (
        ({"backbone": "resnet101"}, "the backbone must be resnet50, got 'resnet101'"),
        ({"position_embedding": "learned"}, "the position encoding must be sine, got 'learned'"),
        ({"nheads": 5}, "64 attention weights .* pass a config with the right num_heads"),
        ({"nheads": 0}, r"args\.nheads must be at least 1, got 0"),
    ):
        small = {key: value for key, value in official.items() if not key.startswith("backbone")}
        torch.save({"model": small, "args": argparse.Namespace(**arguments)}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=message):
            load_pretrained(tmp_path / "other.pth")


def test_a_safetensors_file_that_is_not_ours_says_so(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"was not written by save_pretrained.*pass its folder"):
        load_pretrained(tmp_path / "other.safetensors")


@pytest.mark.parametrize("text", ["{", "[]", '{"small_channels": [8, 16, 24], "speed": 3}', '{"d_model": 3}'])
def test_a_broken_configuration_in_our_own_file_says_so(text, own):
    rewrite(own, config=text)
    with pytest.raises(ValueError, match="the configuration in its metadata is not of a DeformableDETR"):
        load_pretrained(own)


# Folders, and what is not there


def test_what_is_not_there_is_called_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*checkpoint\.pth"):
        load_pretrained(tmp_path / "checkpoint.pth")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*model\.safetensors"):
        load_pretrained("model.safetensors")
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        load_pretrained(tmp_path / "nothing here")
    with pytest.raises(
        FileNotFoundError, match=r"holds no weights: expected model\.safetensors or pytorch_model"
    ):
        load_pretrained(tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*config\.json"):
        load_pretrained(tmp_path)


def test_a_file_with_another_ending_is_refused(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"0")
    with pytest.raises(ValueError, match=r"must be a \.safetensors or \.pth file, or a folder"):
        load_pretrained(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "must hold an object"),
        ({}, 'model_type must be "detr" or "deformable_detr", got None'),
        ({"model_type": "yolos"}, "got 'yolos'"),
        ({"model_type": "detr", "backbone": "resnet101"}, "backbone must be 'resnet50' .*, got 'resnet101'"),
        (
            {"model_type": "detr", "position_embedding_type": "learned"},
            "position_embedding_type must be 'sine'",
        ),
        ({"model_type": "detr", "decoder_ffn_dim": 7}, "decoder_ffn_dim must be 2048 .*, got 7"),
        ({"model_type": "deformable_detr", "decoder_n_points": 3}, "decoder_n_points must be 4 .*, got 3"),
        ({"model_type": "deformable_detr", "two_stage": True}, "two_stage=True needs refine_boxes=True"),
        ({"model_type": "detr", "backbone_config": {"model_type": "swin"}}, r"backbone_config\.model_type"),
        ({"model_type": "detr", "backbone_config": "resnet50"}, "a field has another type than it should"),
        ({"model_type": "detr", "d_model": "wide"}, "a field has another type .*: d_model must be an int"),
    ],
)
def test_a_configuration_that_we_can_not_build_says_which_field(fields, message, tmp_path):
    text = fields if isinstance(fields, str) else json.dumps(fields)
    (tmp_path / "config.json").write_text(text)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path)


def test_no_network_says_what_to_fetch_and_where_to_put_it(monkeypatch):
    def fail(repository: str, name: str) -> str:
        raise OSError("no route to host\nand many more lines")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    message = (
        r"^config\.json of SenseTime/deformable-detr could not be had from the Hugging Face hub "
        r"\(no route to host\): fetch config\.json and model\.safetensors or pytorch_model\.bin .* into one "
        r"folder, and pass the folder$"
    )
    with pytest.raises(RuntimeError, match=message):
        load_pretrained("SenseTime/deformable-detr")


# Arguments


def test_arguments_of_another_type_are_refused(own):
    with pytest.raises(TypeError, match="num_classes must be an int, got str"):
        load_pretrained(own, num_classes="8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        load_pretrained(own, num_classes=0)
    with pytest.raises(TypeError, match="config must be a DETRConfig or a DeformableDETRConfig, got dict"):
        load_pretrained(own, config={})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name_or_path must be a path or a name, got int"):
        load_pretrained(3)  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="config must be a DETRConfig or a DeformableDETRConfig, got NoneType"
    ):
        from_official({}, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="state must be a dictionary of tensors, got list"):
        from_transformers([], CONFIG)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model must be a DETR or a DeformableDETR, got Linear"):
        to_official(torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model must be a DETR or a DeformableDETR, got Linear"):
        save_pretrained(torch.nn.Linear(1, 1), "a.safetensors")  # type: ignore[arg-type]


def test_a_file_is_written_under_one_ending_only(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.safetensors, got .*model\.pth"):
        save_pretrained(DeformableDETR(TINY_CONFIG), tmp_path / "model.pth")
    assert list(tmp_path.iterdir()) == []


def test_models_that_others_can_not_build_have_no_names_there():
    with pytest.raises(
        ValueError, match='backbone must be "resnet50" in other namings than ours, got "small"'
    ):
        to_official(DeformableDETR(TINY_CONFIG))
    with torch.device("meta"):
        sigmoid = DETR(DETRConfig(**SMALL, background_class=False))
        pre_norm = DETR(DETRConfig(**SMALL, pre_norm=True))
    with pytest.raises(
        ValueError, match="must have background_class=True and position_offset=0, got False and 0"
    ):
        to_official(sigmoid)
    with pytest.raises(ValueError, match="pre_norm must be False"):
        to_transformers(pre_norm)
