"""Published weights: other names for the same numbers.

The official code, transformers and this package name the same weights differently. A table of patterns for
each naming turns our names into theirs; a few weights are also cut into three, or stored several times. To
read a file, the same tables say where each weight of ours must be: nothing is missed, nothing left over.
Used in notebooks/20_sampling_points_on_images.ipynb.
"""

import argparse
import json
import os
import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from detr_tutorial._run_folder import write_atomically
from detr_tutorial._validation import require_int
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detr import DETR, DETRConfig

Config = DETRConfig | DeformableDETRConfig
Model = DETR | DeformableDETR
State = dict[str, Tensor]
Table = tuple[tuple[str, str], ...]  # (pattern, replacement), applied one after the other

CONFIGS: dict[str, type[Config]] = {"DETR": DETRConfig, "DeformableDETR": DeformableDETRConfig}
REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(?<!\.bin)(?<!\.json)")
WITHOUT_WEIGHTS = ("backbone_weights", "dropout", "short_side", "max_side")  # a reader may choose them
SHIPPED = Path(__file__).parent / "weights"  # trained on the shapes, each with a model card beside it
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
# Left behind by a profiler, and by batch norms before they were frozen. No weights.
STRAY = re.compile(r"(^|\.)(total_params|total_ops|num_batches_tracked)$")

# From our names to those of the official repositories.

DEFORMABLE_OFFICIAL: Table = (
    (r"^backbone\.", "backbone.0.body."),
    (r"^projection\.projections\.", "input_proj."),
    (r"^level_embedding$", "transformer.level_embed"),
    (r"^query_embedding\.", "query_embed."),
    (r"^reference_points\.", "transformer.reference_points."),
    (r"^proposal_stage\.memory_projection\.", "transformer.enc_output."),
    (r"^proposal_stage\.memory_norm\.", "transformer.enc_output_norm."),
    (r"^proposal_stage\.query_projection\.", "transformer.pos_trans."),
    (r"^proposal_stage\.query_norm\.", "transformer.pos_trans_norm."),
    (r"\bdecoder\.class_heads\.", "class_embed."),
    (r"\bdecoder\.box_heads\.", "bbox_embed."),
    (r"^in_decoder\.", "transformer.decoder."),
    (r"(bbox_embed\.\d+\.layers)\.2\.", r"\1.1."),  # the activations in between have no number there
    (r"(bbox_embed\.\d+\.layers)\.4\.", r"\1.2."),
    (r"^(encoder|decoder)\.layers\.", r"transformer.\1.layers."),
    (r"(encoder\.layers\.\d+)\.self_attention_norm\.", r"\1.norm1."),
    (r"(encoder\.layers\.\d+)\.ffn_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.cross_attention_norm\.", r"\1.norm1."),  # named before the order was changed
    (r"(decoder\.layers\.\d+)\.self_attention_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.ffn_norm\.", r"\1.norm3."),
    (r"\.self_attention\.", ".self_attn."),
    (r"\.cross_attention\.", ".cross_attn."),
    (r"\.ffn\.expand\.", ".linear1."),
    (r"\.ffn\.contract\.", ".linear2."),
)
DETR_OFFICIAL: Table = (
    (r"^backbone\.", "backbone.0.body."),
    (r"^projection\.", "input_proj."),
    (r"^query_embedding\.", "query_embed."),
    (r"^class_head\.", "class_embed."),
    (r"^box_head\.", "bbox_embed."),
    (r"^(bbox_embed\.layers)\.2\.", r"\1.1."),
    (r"^(bbox_embed\.layers)\.4\.", r"\1.2."),
    (r"^(encoder|decoder)_norm\.", r"transformer.\1.norm."),
    (r"^(encoder|decoder)\.(\d+)\.", r"transformer.\1.layers.\2."),
    (r"(layers\.\d+)\.self_attention_norm\.", r"\1.norm1."),
    (r"(encoder\.layers\.\d+)\.ffn_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.cross_attention_norm\.", r"\1.norm2."),
    (r"(decoder\.layers\.\d+)\.ffn_norm\.", r"\1.norm3."),
    (r"\.self_attention\.", ".self_attn."),
    (r"\.cross_attention\.", ".multihead_attn."),
    (r"\.ffn\.expand\.", ".linear1."),
    (r"\.ffn\.contract\.", ".linear2."),
)

# From the official names to those of transformers 5.

BOTH_TRANSFORMERS: Table = (
    (r"^backbone\.0\.body\.", "model.backbone.model."),
    (r"^transformer\.", "model."),
    (r"^query_embed\.", "model.query_position_embeddings."),
    (r"(encoder\.layers\.\d+)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"(encoder\.layers\.\d+)\.norm2\.", r"\1.final_layer_norm."),
    (r"(decoder\.layers\.\d+)\.norm3\.", r"\1.final_layer_norm."),
    (r"\.linear([12])\.", r".mlp.fc\1."),
    (r"\.(cross_attn|multihead_attn)\.", ".encoder_attn."),
    (r"\.out_proj\.", ".o_proj."),
)
DEFORMABLE_TRANSFORMERS: Table = (
    *BOTH_TRANSFORMERS,
    (r"^input_proj\.", "model.input_proj."),
    (r"(decoder\.layers\.\d+)\.norm1\.", r"\1.encoder_attn_layer_norm."),
    (r"(decoder\.layers\.\d+)\.norm2\.", r"\1.self_attn_layer_norm."),
)
DETR_TRANSFORMERS: Table = (
    *BOTH_TRANSFORMERS,
    (r"^input_proj\.", "model.input_projection."),
    (r"^class_embed\.", "class_labels_classifier."),
    (r"^bbox_embed\.", "bbox_predictor."),
    (r"(decoder\.layers\.\d+)\.norm1\.", r"\1.self_attn_layer_norm."),
    (r"(decoder\.layers\.\d+)\.norm2\.", r"\1.encoder_attn_layer_norm."),
    (r"^model\.decoder\.norm\.", "model.decoder.layernorm."),
)

# From transformers 5 to transformers 4, which is also how files on the hub are stored.

TRANSFORMERS_4: Table = (
    (r"^model\.backbone\.", "model.backbone.conv_encoder."),
    (r"\.mlp\.fc([12])\.", r".fc\1."),
    (r"\.o_proj\.", ".out_proj."),
)
# From the backbone of timm and torchvision to the one of transformers itself.
TRANSFORMERS_RESNET: Table = (
    (r"\.model\.conv1\.", ".model.embedder.embedder.convolution."),
    (r"\.model\.bn1\.", ".model.embedder.embedder.normalization."),
    *((rf"\.model\.layer{n}\.(\d+)\.", rf".model.encoder.stages.{n - 1}.layers.\1.") for n in (1, 2, 3, 4)),
    *((rf"(stages.*)\.conv{n}\.", rf"\1.layer.{n - 1}.convolution.") for n in (1, 2, 3)),
    *((rf"(stages.*)\.bn{n}\.", rf"\1.layer.{n - 1}.normalization.") for n in (1, 2, 3)),
    (r"(stages.*)\.downsample\.0\.", r"\1.shortcut.convolution."),
    (r"(stages.*)\.downsample\.1\.", r"\1.shortcut.normalization."),
)


@dataclass(frozen=True)
class _Naming:
    """How one kind of file names the weights."""

    detr: tuple[Table, ...]
    deformable: tuple[Table, ...]
    copies: bool = True  # heads that are used several times are stored several times
    copies_may_miss: bool = False
    cuts_attention: bool = False  # one matrix for query, key and value of ours is three there

    def places(self, key: str, config: Config) -> list[tuple[str, ...]]:
        """Name every place where one of our weights is stored, each as one part or three."""
        if isinstance(config, DETRConfig):
            names = [_rename(key, self.detr)]
        else:
            names = (
                [_rename(copy, self.deformable) for copy in _copies(key, config)] if self.copies else [key]
            )
        if self.cuts_attention and (cut := re.fullmatch(r"(.*)\.in_proj_(weight|bias)", names[0])):
            return [tuple(f"{cut[1]}.{part}_proj.{cut[2]}" for part in "qkv")]
        return [(name,) for name in names]


OURS = _Naming((), (), copies=False)
OFFICIAL = _Naming((DETR_OFFICIAL,), (DEFORMABLE_OFFICIAL,))


def _transformers_naming(version: int, own_resnet: bool = False) -> _Naming:
    later = (TRANSFORMERS_RESNET,) * own_resnet + (TRANSFORMERS_4,) * (version == 4)
    return _Naming(
        (DETR_OFFICIAL, DETR_TRANSFORMERS, *later),
        (DEFORMABLE_OFFICIAL, DEFORMABLE_TRANSFORMERS, *later),
        copies_may_miss=True,  # safetensors files hold weights that are tied only once
        cuts_attention=True,
    )


def make_model(config: Config) -> Model:
    """Make the model that a configuration describes, with its random start.

    Args:
        config: a DETRConfig or a DeformableDETRConfig.
    Source: ours; used in notebooks/20_sampling_points_on_images.ipynb.
    """
    return DETR(config) if isinstance(config, DETRConfig) else DeformableDETR(config)


def to_official(model: Model) -> State:
    """Name the weights as the official repositories do.

    Args:
        model: with the "resnet50" backbone.
    Returns:
        What `torch.save({"model": ...})` there would hold, copies of shared heads included. The tensors share
        their memory with the model.
    Raises:
        TypeError, ValueError: if `model` is not a DETR or DeformableDETR that the official code can build.
    Source: facebookresearch/detr and fundamentalvision/Deformable-DETR; used in
    notebooks/20_sampling_points_on_images.ipynb.
    """
    return _spread(model, OFFICIAL)


def to_transformers(model: Model) -> State:
    """Name the weights as `state_dict()` of a model in transformers 5 does (with a backbone of timm).

    Args:
        model: with the "resnet50" backbone.
    Returns:
        Copies of shared heads included. The tensors share their memory with the model.
    Raises:
        TypeError, ValueError: if `model` is not a DETR or DeformableDETR that transformers can build.
    Source: transformers 5, `models/detr` and `models/deformable_detr`; used in
    notebooks/20_sampling_points_on_images.ipynb.
    """
    _require_model(model)
    if isinstance(model.config, DETRConfig) and model.config.pre_norm:
        raise ValueError("model.config.pre_norm must be False: transformers knows only DETR with post-norm")
    return _spread(model, _transformers_naming(5))


def from_official(state: Mapping[str, Tensor], config: Config) -> State:
    """Name official weights as ours.

    Args:
        state: the "model" of an official file.
        config: of our model that they belong to.
    Returns:
        What `load_state_dict(strict=True)` of our model takes.
    Raises:
        TypeError, ValueError: if a key is missing, unexpected or of another shape than `config` demands, or
            copies of a shared head differ; the first such key is named.
    Source: facebookresearch/detr and fundamentalvision/Deformable-DETR; used in
    notebooks/20_sampling_points_on_images.ipynb.
    """
    return _gather("state", state, config, OFFICIAL)


def from_transformers(state: Mapping[str, Tensor], config: Config) -> State:
    """Name the weights of transformers 4 or 5, or of a file on the hub, as ours.

    Args:
        state: with a ResNet-50 of timm or of transformers itself as backbone.
        config: of our model that they belong to.
    Returns:
        What `load_state_dict(strict=True)` of our model takes.
    Raises:
        TypeError, ValueError: if a key is missing, unexpected or of another shape than `config` demands, or
            copies of a shared head differ; the first such key is named.
    Source: transformers, `conversion_mapping.py`; used in notebooks/20_sampling_points_on_images.ipynb.
    """
    return _gather("state", state, config, _recognize_transformers(state))


def save_pretrained(model: Model, path: str | os.PathLike[str]) -> Path:
    """Write weights and configuration into one safetensors file.

    The file appears whole or not at all: it is written under another name first.

    Args:
        model: a DETR or DeformableDETR.
        path: of the file, ending in .safetensors; its folder is made where it does not exist.
    Returns:
        The path.
    Raises:
        TypeError, ValueError: if `model` is another model or `path` has another ending.
    Source: ours; used in notebooks/20_sampling_points_on_images.ipynb.
    """
    _require_model(model)
    target = Path(path)
    if target.suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {target}")
    target.parent.mkdir(parents=True, exist_ok=True)
    config = asdict(replace(model.config, backbone_weights=None))  # the weights are in the file
    metadata = {"format": "pt", "model": type(model).__name__, "config": json.dumps(config)}
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    content = save(tensors, metadata)
    write_atomically(target, lambda file: file.write(content))
    return target


def load_pretrained(
    name_or_path: str | os.PathLike[str], *, config: Config | None = None, num_classes: int | None = None
) -> Model:
    """Build the model that a file describes, with its weights.

    What is read depends on the name: a .safetensors file of `save_pretrained`; a .pth file of
    facebookresearch/detr or fundamentalvision/Deformable-DETR; a folder with a config.json of transformers
    beside model.safetensors or pytorch_model.bin; the name of weights that come with this package,
    "deformable_detr_shapes" or "detr_shapes"; anything else of the form "owner/name" is such a folder on the
    Hugging Face hub, e.g. "SenseTime/deformable-detr", downloaded once.

    Every key must be there, in its shape, and no other. Pickles are read as data: nothing in them is run.

    Args:
        name_or_path: a file, a folder, the name of shipped weights or of a repository on the hub.
        config: of the model in the file, when the file does not tell, or to change what has no weights
            (dropout, sides of images); in all else it must agree with the file. An official file without its
            arguments, as those of DETR are, tells neither the number of heads (8 is assumed) nor whether the
            backbone is dilated (assumed not).
        num_classes: give the model another number of classes than the file has. Its class heads then start
            anew, with their prior, and a warning names them. All other weights are those of the file.
    Returns:
        The model in evaluation mode, with weights of the type that the file holds. The global random number
        generator is left as it was.
    Raises:
        FileNotFoundError: if there is no such file or folder, or the folder holds no weights.
        TypeError, ValueError: if the file is damaged, holds something else, or does not fit; the first key
            that does not fit is named.
        RuntimeError: if a repository can not be had; the message says what to fetch.
    Source: ours; used in notebooks/20_sampling_points_on_images.ipynb.
    """
    value: Any = name_or_path
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"name_or_path must be a path or a name, got {type(value).__name__}")
    if num_classes is not None:
        require_int("num_classes", num_classes)
    value = config
    if value is not None and not isinstance(value, Config):
        raise TypeError(f"config must be a DETRConfig or a DeformableDETRConfig, got {type(value).__name__}")
    path, shipped = Path(name_or_path), SHIPPED / f"{name_or_path}.safetensors"
    if path.is_dir():
        found = _read_folder(path / "config.json", _find_weights(path))
    elif path.suffix in (".pth", ".pt"):
        found = _read_official(_require_file(path), config)
    elif path.suffix == ".safetensors":
        found = _read_own(_require_file(path))
    elif path.exists():
        raise ValueError(f"{path} must be a .safetensors or .pth file, or a folder with a config.json")
    elif shipped.is_file():
        found = _read_own(shipped)
    elif REPOSITORY.fullmatch(str(name_or_path)):
        found = _read_folder(*_download(str(name_or_path)))
    else:
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors")))
        raise FileNotFoundError(f"there is no file or folder {path}, and shipped weights are {names}")
    if config is not None and type(config) is not type(found.config):
        raise ValueError(f"{path} goes with a {type(found.config).__name__}, got a {type(config).__name__}")
    if config is not None and found.naming is not OFFICIAL:  # the file itself says what it holds
        for field in fields(config):
            wanted, there = getattr(config, field.name), getattr(found.config, field.name)
            if wanted != there and field.name not in WITHOUT_WEIGHTS:
                raise ValueError(f"{path}: config.{field.name} must be {there!r}, got {wanted!r}")
    config = replace(config or found.config, backbone_weights=None)
    return _build(config, _gather(str(path), found.tensors, config, found.naming), num_classes)


# Names


def _rename(key: str, tables: Iterable[Table]) -> str:
    for table in tables:
        for pattern, replacement in table:
            key = re.sub(pattern, replacement, key)
    return key


def _copies(key: str, config: DeformableDETRConfig) -> list[str]:
    """List what a weight of ours would be called if every use of a head had its own copy.

    The head of the first stage is counted after those of the decoder layers.
    """
    last = config.decoder_layers
    key = re.sub(r"^proposal_stage\.(class|box)_head\.", rf"decoder.\1_heads.{last}.", key)
    head = re.fullmatch(r"decoder\.(class|box)_heads\.(\d+)\.(.*)", key)
    if head is None:
        return [key]
    kind, _, rest = head.groups()
    if not config.refine_boxes:
        return [f"decoder.{kind}_heads.{layer}.{rest}" for layer in range(last)]
    in_decoder = kind == "box" or config.two_stage  # the decoder there holds the heads it needs itself
    return [key, f"in_decoder.{key}"] if in_decoder else [key]


def _spread(model: Model, naming: _Naming) -> State:
    _require_model(model)
    _require_published(model.config)
    state = {}
    for key, value in model.state_dict().items():
        for parts in naming.places(key, model.config):
            state.update(zip(parts, value.chunk(len(parts)), strict=True))
    return state


def _gather(where: str, state: Mapping[str, Tensor], config: Config, naming: _Naming) -> State:
    """Look up every weight of ours. `where` is named in messages."""
    value: Any = state
    if not isinstance(value, Mapping):
        raise TypeError(f"{where} must be a dictionary of tensors, got {type(value).__name__}")
    if naming is not OURS:
        _require_published(config)
    left = {key: value for key, value in state.items() if not STRAY.search(key)}
    gathered = {}
    dtype = next((value.dtype for value in left.values()), None)
    for key, expected in _expected(config).items():
        places = naming.places(key, config)
        if naming.copies_may_miss:
            places = [parts for parts in places if any(part in left for part in parts)] or places[:1]
        copies = []
        for parts in places:
            shape = (expected[0] // len(parts), *expected[1:])
            for part in parts:
                known = part if part == key else f"{part} (here {key})"
                if part not in left:
                    raise ValueError(f"{where}: {known} is missing")
                if tuple(left[part].shape) != shape:
                    raise ValueError(
                        f"{where}: {known} must have shape {shape}, got {tuple(left[part].shape)}"
                    )
                if left[part].dtype != dtype or not left[part].is_floating_point():
                    raise ValueError(
                        f"{where}: {known} holds {left[part].dtype}, all weights must be of one "
                        f"floating point type, the first is {dtype}"
                    )
            copies.append(torch.cat([left[part] for part in parts]) if len(parts) > 1 else left[parts[0]])
            if not torch.equal(copies[0], copies[-1]):
                raise ValueError(
                    f"{where}: {parts[0]} must equal {places[0][0]}: both are {key} here, they share one head"
                )
        gathered[key] = copies[0]
        for parts in places:
            for part in parts:
                del left[part]
    if left:
        raise ValueError(f"{where}: {next(iter(left))} is unexpected ({len(left)} of {len(state)} keys are)")
    return gathered


def _expected(config: Config) -> dict[str, tuple[int, ...]]:
    """List keys and shapes of our model, without computing its start."""
    with torch.device("meta"):
        model = make_model(config)
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def _build(config: Config, weights: State, num_classes: int | None) -> Model:
    new = num_classes not in (None, config.num_classes)
    old_classes = config.num_classes
    if new:
        config = replace(config, num_classes=num_classes)
    with torch.random.fork_rng(devices=[]):
        model = make_model(config)
    model.to(next(iter(weights.values())).dtype)
    if new:
        heads = [key for key in weights if re.search(r"(^|\.)class_heads?\.", key)]
        fresh = model.state_dict()
        weights = {**weights, **{key: fresh[key] for key in heads}}
        warnings.warn(
            f"{num_classes} classes instead of the {old_classes} of the file: {', '.join(heads)} start anew",
            UserWarning,
            stacklevel=3,
        )
    model.load_state_dict(weights, strict=True)
    return model.eval()


def _require_model(model: Any) -> None:
    if not isinstance(model, Model):
        raise TypeError(f"model must be a DETR or a DeformableDETR, got {type(model).__name__}")


def _require_published(config: Any) -> None:
    """Demand a model that the other implementations can build."""
    if not isinstance(config, Config):
        raise TypeError(f"config must be a DETRConfig or a DeformableDETRConfig, got {type(config).__name__}")
    if config.backbone != "resnet50":
        raise ValueError(f'backbone must be "resnet50" in other namings than ours, got "{config.backbone}"')
    if isinstance(config, DETRConfig) and (not config.background_class or config.position_offset):
        raise ValueError(
            "a DETR in other namings than ours must have background_class=True and position_offset=0, got "
            f"{config.background_class} and {config.position_offset:g}"
        )


# Files


class _Found(NamedTuple):
    config: Config
    tensors: Mapping[str, Tensor]
    naming: _Naming


def _require_file(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    return path


def _find_weights(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} holds no weights: expected {' or '.join(WEIGHT_FILES)}")


def _download(repository: str) -> tuple[Path, Path]:
    """Get the configuration and the weights of a repository on the hub, from the local cache if possible."""
    from huggingface_hub import hf_hub_download  # slow to import, and needed here only

    def get(*names: str) -> Path:
        first_error = None
        for name in names:
            try:
                return Path(hf_hub_download(repository, name))
            except Exception as error:  # no network, proxy, no such repository: all end in the same advice
                first_error = first_error or error
        reason = str(first_error).strip().split("\n")[0]
        raise RuntimeError(
            f"{' or '.join(names)} of {repository} could not be had from the Hugging Face hub ({reason}): "
            f"fetch config.json and {' or '.join(WEIGHT_FILES)} on a machine with network access, put them "
            "into one folder, and pass the folder"
        ) from first_error

    return get("config.json"), get(*WEIGHT_FILES)


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from error


def _read_pickle(path: Path) -> Any:
    """Read tensors, numbers and containers. Whatever else a pickle asks for is refused."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        if asked is None:
            raise ValueError(f"{path} is damaged or holds more than weights") from error
        raise ValueError(
            f"{path} asks to run {asked[1]}, which no file of weights needs; nothing was run"
        ) from error
    except Exception as error:  # a damaged file can fail anywhere
        raise ValueError(f"{path} is damaged or no file of torch.save ({type(error).__name__})") from error


def _require_weights(path: Path, state: Any) -> State:
    if not isinstance(state, Mapping) or not state:
        raise ValueError(
            f"{path} holds no weights: expected a dictionary of tensors, got {type(state).__name__}"
        )
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"{path} holds no weights: {key!r} is a {type(value).__name__}, no tensor")
    return dict(state)


def _read_own(path: Path) -> _Found:
    tensors, metadata = _read_safetensors(path)
    model, text = metadata.get("model", ""), metadata.get("config", "")
    if model not in CONFIGS:
        raise ValueError(
            f"{path} was not written by save_pretrained: its metadata names no model of ours (for a file of "
            "transformers pass its folder, with config.json)"
        )
    try:
        sizes = json.loads(text)
        sizes["small_channels"] = tuple(sizes["small_channels"])
        return _Found(CONFIGS[model](**sizes), tensors, OURS)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: the configuration in its metadata is not of a {model}: {error}") from error


def _read_folder(config_file: Path, weights_file: Path) -> _Found:
    settings = _read_json(config_file)
    if weights_file.suffix == ".safetensors":
        tensors = _read_safetensors(weights_file)[0]
    else:
        tensors = _read_pickle(weights_file)
    tensors = _require_weights(weights_file, tensors)
    try:
        config = _config_of_transformers(config_file, settings)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{config_file}: a field has another type than it should: {error}") from error
    return _Found(config, tensors, _recognize_transformers(tensors))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(_require_file(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold an object with the fields of a configuration")
    return settings


def _recognize_transformers(state: Mapping[str, Tensor]) -> _Naming:
    version = 4 if any(".conv_encoder." in key for key in state) else 5
    return _transformers_naming(version, any(".embedder.embedder." in key for key in state))


def _config_of_transformers(path: Path, settings: dict[str, Any]) -> Config:
    """Translate config.json; absent settings have the defaults of transformers."""
    kind = settings.get("model_type")
    if kind not in ("detr", "deformable_detr"):
        raise ValueError(f'{path}: model_type must be "detr" or "deformable_detr", got {kind!r}')
    deformable = kind == "deformable_detr"
    ffn_dim = 1024 if deformable else 2048
    backbone = settings.get("backbone_config") or {}
    name = backbone.get("backbone") or settings.get("backbone") or "resnet50"
    needed: dict[str, tuple[Any, Any]] = {  # what came, and the only value that we can build
        "backbone": (name.split(".")[0], "resnet50"),
        "backbone_config.model_type": (backbone.get("model_type") in (None, "timm_backbone", "resnet"), True),
        "backbone_config.hidden_act": (backbone.get("hidden_act", "relu"), "relu"),
        "backbone_config.downsample_in_bottleneck": (backbone.get("downsample_in_bottleneck", False), False),
        "position_embedding_type": (settings.get("position_embedding_type", "sine"), "sine"),
        "activation_function": (settings.get("activation_function", "relu"), "relu"),
    }
    for one, other, default in (
        ("encoder_attention_heads", "decoder_attention_heads", 8),
        ("encoder_ffn_dim", "decoder_ffn_dim", ffn_dim),
        ("encoder_n_points", "decoder_n_points", 4),
    ):
        needed[other] = (settings.get(other, default), settings.get(one, default))
    for field, (came, possible) in needed.items():
        if came != possible:
            raise ValueError(f"{path}: {field} must be {possible!r} for a model of ours, got {came!r}")
    labels = settings.get("id2label")
    sizes: dict[str, Any] = {
        "num_classes": len(labels) if labels else settings.get("num_labels", 2),
        "num_queries": settings.get("num_queries", 300 if deformable else 100),
        "d_model": settings.get("d_model", 256),
        "num_heads": settings.get("encoder_attention_heads", 8),
        "encoder_layers": settings.get("encoder_layers", 6),
        "decoder_layers": settings.get("decoder_layers", 6),
        "ffn_dim": settings.get("encoder_ffn_dim", ffn_dim),
        "dropout": float(settings.get("dropout", 0.1)),
        "dilated": settings.get("dilation", False) or backbone.get("output_stride") == 16,
    }
    if not deformable:
        return DETRConfig(**sizes)
    two_stage = settings.get("two_stage", False)
    if two_stage:
        sizes["num_queries"] = settings.get("two_stage_num_proposals", 300)
    return DeformableDETRConfig(
        **sizes,
        num_levels=settings.get("num_feature_levels", 4),
        num_points=settings.get("encoder_n_points", 4),
        refine_boxes=settings.get("with_box_refine", False),
        two_stage=two_stage,
    )


def _read_official(path: Path, config: Config | None) -> _Found:
    content = _read_pickle(path)
    arguments: dict[str, Any] = {}
    if isinstance(content, Mapping) and "model" in content:
        if isinstance(content.get("args"), argparse.Namespace):
            arguments = vars(content["args"])
        content = content["model"]
    tensors = _require_weights(path, content)
    if "transformer.level_embed" in tensors:
        kind, found = DeformableDETRConfig, _config_of_official_deformable
    elif "class_embed.weight" in tensors:
        kind, found = DETRConfig, _config_of_official_detr
    else:
        raise ValueError(
            f"{path} is no official DETR or Deformable DETR: neither class_embed.weight nor "
            f"transformer.level_embed is among its keys, the first is {next(iter(tensors))}"
        )
    if not isinstance(config, kind):
        config = found(_Shapes(path, tensors), arguments)
    return _Found(config, tensors, OFFICIAL)


class _Shapes:
    """Sizes of a model, as far as the shapes of its official weights tell."""

    def __init__(self, path: Path, tensors: State) -> None:
        self.path, self.tensors = path, tensors

    def size(self, key: str, axis: int = 0) -> int:
        if key not in self.tensors:
            raise ValueError(f"{self.path}: {key} is missing")
        shape = tuple(self.tensors[key].shape)
        if len(shape) <= axis or shape[axis] == 0:
            raise ValueError(f"{self.path}: {key} has too few axes or an empty one: shape {shape}")
        return shape[axis]

    def count(self, start: str) -> int:
        """Count modules that are numbered after the same start."""
        numbers = {key[len(start) :].split(".")[0] for key in self.tensors if key.startswith(start)}
        if not numbers:
            raise ValueError(f"{self.path}: {start}0 is missing")
        return len(numbers)

    def common(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if arguments.get("backbone", "resnet50") != "resnet50":
            raise ValueError(f"{self.path}: the backbone must be resnet50, got {arguments['backbone']!r}")
        if arguments.get("position_embedding", "sine") not in ("sine", "v2"):
            raise ValueError(
                f"{self.path}: the position encoding must be sine, got {arguments['position_embedding']!r}"
            )
        return {
            "num_heads": require_int(f"{self.path}: args.nheads", arguments.get("nheads", 8)),
            "encoder_layers": self.count("transformer.encoder.layers."),
            "decoder_layers": self.count("transformer.decoder.layers."),
            "ffn_dim": self.size("transformer.encoder.layers.0.linear1.weight"),
            "dropout": float(arguments.get("dropout", 0.1)),
            "dilated": bool(arguments.get("dilation", False)),
        }


def _config_of_official_detr(shapes: _Shapes, arguments: dict[str, Any]) -> Config:
    return DETRConfig(
        **shapes.common(arguments),
        num_classes=shapes.size("class_embed.weight") - 1,
        num_queries=shapes.size("query_embed.weight"),
        d_model=shapes.size("class_embed.weight", 1),
        pre_norm="transformer.encoder.norm.weight" in shapes.tensors,
    )


def _config_of_official_deformable(shapes: _Shapes, arguments: dict[str, Any]) -> Config:
    sizes = shapes.common(arguments)
    two_stage = "transformer.enc_output.weight" in shapes.tensors
    num_levels = shapes.size("transformer.level_embed")
    weights = shapes.size("transformer.encoder.layers.0.self_attn.attention_weights.weight")
    num_points, rest = divmod(weights, num_levels * sizes["num_heads"])
    if rest:
        raise ValueError(
            f"{shapes.path}: {weights} attention weights a query can not be shared among {num_levels} "
            f"levels and {sizes['num_heads']} heads; pass a config with the right num_heads"
        )
    return DeformableDETRConfig(
        **sizes,
        num_classes=shapes.size("class_embed.0.weight"),
        num_queries=arguments.get("num_queries", 300) if two_stage else shapes.size("query_embed.weight"),
        d_model=shapes.size("transformer.level_embed", 1),
        num_levels=num_levels,
        num_points=num_points,
        refine_boxes="transformer.decoder.bbox_embed.0.layers.0.weight" in shapes.tensors,
        two_stage=two_stage,
    )
