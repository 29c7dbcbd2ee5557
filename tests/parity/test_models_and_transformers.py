"""Whole detectors give the same numbers and gradients as transformers with the same random weights."""

import inspect
import json
import textwrap
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import (
    DeformableDetrConfig,
    DeformableDetrForObjectDetection,
    DetrConfig,
    DetrForObjectDetection,
)
from transformers.models.deformable_detr import modeling_deformable_detr

from detr_tutorial.checkpoints import from_transformers, load_pretrained, to_transformers
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detections import all_layers
from detr_tutorial.detr import DETR, DETRConfig
from detr_tutorial.losses import LossWeights, SetCriterion
from detr_tutorial.matching import MatchCost
from detr_tutorial.padding import PaddedBatch, pad_images

SMALL: dict[str, Any] = {
    "d_model": 64,
    "num_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "ffn_dim": 96,
    "num_classes": 5,
    "num_queries": 7,
    "dropout": 0.0,
}
DEFORMABLE = {
    "single scale": DeformableDETRConfig.single_scale(**SMALL),
    "single scale, DC5": DeformableDETRConfig.single_scale_dc5(**SMALL),
    "base": DeformableDETRConfig.base(**SMALL),
    "refined": DeformableDETRConfig.refined(**SMALL),
    "two-stage": DeformableDETRConfig.two_stage_refined(**{**SMALL, "d_model": 96, "num_heads": 3}),
}
PUBLISHED = {
    "base, published sizes": DeformableDETRConfig.base(dropout=0.0),
    "two-stage, published width": DeformableDETRConfig.two_stage_refined(
        dropout=0.0, encoder_layers=2, decoder_layers=2, num_queries=30
    ),
}
DENSE = {
    "DETR": DETRConfig(**SMALL),
    "DETR, DC5": DETRConfig(**SMALL, dilated=True),
}
ALL: dict[str, Any] = {**DEFORMABLE, **PUBLISHED, **DENSE}


class Answers(NamedTuple):
    """What transformers says: one entry a decoder layer."""

    logits: list[Tensor]
    boxes: list[Tensor]
    loss: Tensor | None
    extra: Any


def sizes_there(config: Any) -> dict[str, Any]:
    return {
        "d_model": config.d_model,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "encoder_attention_heads": config.num_heads,
        "decoder_attention_heads": config.num_heads,
        "encoder_ffn_dim": config.ffn_dim,
        "decoder_ffn_dim": config.ffn_dim,
        "num_queries": config.num_queries,
        "num_labels": config.num_classes,
        "dilation": config.dilated,
        "dropout": config.dropout,
    }


def build_there(config: Any) -> Any:
    """Build the model of transformers, with weights that hide nothing."""
    torch.manual_seed(0)
    if isinstance(config, DETRConfig):
        model = DetrForObjectDetection(DetrConfig(**sizes_there(config)))
    else:
        model = DeformableDetrForObjectDetection(
            DeformableDetrConfig(
                **sizes_there(config),
                auxiliary_loss=True,
                num_feature_levels=config.num_levels,
                encoder_n_points=config.num_points,
                decoder_n_points=config.num_points,
                with_box_refine=config.refine_boxes,
                two_stage=config.two_stage,
                two_stage_num_proposals=config.num_queries,
            )
        )
        if (
            config.refine_boxes and not config.two_stage
        ):  # fresh heads are tied there, pretrained ones are not
            heads = [nn.Linear(config.d_model, config.num_classes) for _ in range(config.decoder_layers)]
            model.class_embed = nn.ModuleList(heads)
    randomize(model)
    return model.eval()


@torch.no_grad()
def randomize(model: nn.Module) -> None:
    """Draw every weight and every statistic anew: none is zero or one, activations keep their size."""
    dense = isinstance(model, DetrForObjectDetection)
    for name, value in model.state_dict(keep_vars=True).items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif name.endswith("sampling_offsets.bias"):
            value.add_(torch.randn_like(value))
        elif value.dim() == 1 and name.endswith("weight"):  # norms; small where a residual is added
            value.uniform_(0.5, 1.5).mul_(0.3 if ".bn3." in name else 1)
        elif value.dim() == 1:
            value.normal_(std=0.2)
        elif "query_position_embeddings" in name or name.endswith("level_embed"):
            value.normal_()
        else:
            fan_in = value[0].numel()
            # In DETR, let not all tokens weigh the same.
            sharp = 3 if dense and (".q_proj." in name or ".k_proj." in name) else 1
            value.normal_(std=(2 / fan_in) ** 0.5 if value.dim() == 4 else sharp * fan_in**-0.5)
    state = dict(model.named_parameters())
    if "model.enc_output.bias" in state:  # tokens that hold nothing propose nothing
        last = max(name for name in state if name.endswith("class_embed.0.weight"))
        direction = state[last.replace(".0.", f".{model.config.decoder_layers}.")][0]  # type: ignore[attr-defined]
        state["model.enc_output.bias"].copy_(-direction / direction.norm() * 2)


def carry_over(there: Any, config: Any) -> Any:
    """Build our model and give it the weights, through the converter."""
    ours = DETR(config) if isinstance(config, DETRConfig) else DeformableDETR(config)
    ours.load_state_dict(from_transformers(there.state_dict(), config), strict=True)
    return ours.eval()


def two_images(dtype: torch.dtype = torch.float32) -> PaddedBatch:
    torch.manual_seed(1)
    coarse = torch.randn(2, 3, 6, 7) * 2  # something to see at stride 32
    return pad_images(
        [
            F.interpolate(image[None], size=size, mode="bilinear")[0].to(dtype)
            for image, size in zip(coarse, [(96, 160), (128, 88)], strict=True)
        ]
    )


def targets_for(config: Any) -> list[dict[str, Tensor]]:
    torch.manual_seed(2)
    return [
        {"labels": torch.randint(config.num_classes, (n,)), "boxes": torch.rand(n, 4) * 0.4 + 0.2}
        for n in (3, 2)
    ]


def ask_there(model: Any, batch: PaddedBatch, targets: list[dict[str, Tensor]] | None = None) -> Answers:
    """Collect every decoder layer's answer, and the loss over all of them."""
    labels = None
    if targets is not None:
        dtype = batch.pixels.dtype
        labels = [{"class_labels": t["labels"], "boxes": t["boxes"].to(dtype)} for t in targets]
    mask = (~batch.mask).long()
    if isinstance(model, DetrForObjectDetection):
        # Its own auxiliary outputs feed normalized queries to the next layer: see the last test.
        states: list[Any] = []
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: states.append(output))
            for layer in model.model.decoder.layers
        ]
        output = model(pixel_values=batch.pixels, pixel_mask=mask)
        for hook in hooks:
            hook.remove()
        normed = torch.stack([model.model.decoder.layernorm(state) for state in states])
        logits, boxes = model.class_labels_classifier(normed), model.bbox_predictor(normed).sigmoid()
        assert torch.equal(logits[-1], output.logits)
        loss = None
        if labels is not None:
            model.config.auxiliary_loss = True
            loss = model.loss_function(
                logits[-1], labels, logits.device, boxes[-1], model.config, logits, boxes
            )[0]
            model.config.auxiliary_loss = False
        return Answers(list(logits), list(boxes), loss, output)
    # Without labels it keeps the answers of the earlier layers to itself.
    made_up = [
        {"class_labels": torch.tensor([0]), "boxes": batch.pixels.new_full((1, 4), 0.5)} for _ in batch.pixels
    ]
    output = model(pixel_values=batch.pixels, pixel_mask=mask, labels=labels or made_up)
    return Answers(
        [*(layer["logits"] for layer in output.auxiliary_outputs), output.logits],
        [*(layer["pred_boxes"] for layer in output.auxiliary_outputs), output.pred_boxes],
        None if labels is None else output.loss,
        output,
    )


def compute_proposals_in_float64(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the same lines in float64: transformers computes the sine code of proposals in float32 always."""
    source = textwrap.dedent(inspect.getsource(type(model.model).get_proposal_pos_embed))
    assert "torch.float32" in source
    scope: dict[str, Any] = dict(vars(modeling_deformable_detr))
    exec(source.replace("torch.float32", "torch.float64"), scope)
    monkeypatch.setattr(type(model.model), "get_proposal_pos_embed", scope["get_proposal_pos_embed"])


def assert_same_answers(ours: Any, theirs: Answers, atol: float) -> None:
    layers = all_layers(ours)
    assert len(layers) == len(theirs.logits) == len(theirs.boxes)
    for layer, logits, boxes in zip(layers, theirs.logits, theirs.boxes, strict=True):
        assert_close(layer.logits, logits, atol=atol, rtol=0)
        assert_close(layer.boxes, boxes, atol=atol, rtol=0)
    assert theirs.logits[0].std() > 0.1
    spread = 1e-3 if ours.background_class else 1e-2  # queries differ by far more than the tolerance
    assert theirs.boxes[-1].std(dim=1).min() > spread


def assert_only_valid_proposals(detections: Any, theirs: Answers, config: Any) -> None:
    """Where transformers would choose a token that is padding, the two differ on purpose."""
    if detections.encoder is None:
        return
    chosen = theirs.extra.enc_outputs_class[..., 0].topk(config.num_queries, dim=1).indices
    assert detections.encoder.valid.gather(1, chosen).all()
    assert not detections.encoder.valid.all()
    valid = detections.encoder.valid
    assert_close(detections.encoder.logits[valid], theirs.extra.enc_outputs_class[valid], atol=1e-4, rtol=0)
    there = theirs.extra.enc_outputs_coord_logits[valid].sigmoid()
    assert_close(detections.encoder.boxes[valid], there, atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_every_decoder_layer_answers_as_in_transformers(name):
    config = ALL[name]
    there = build_there(config)
    ours = carry_over(there, config)
    batch = two_images()
    detections, theirs = ours(batch), ask_there(there, batch)
    assert_same_answers(detections, theirs, atol=1e-4)
    assert_only_valid_proposals(detections, theirs, config)


@torch.no_grad()
@pytest.mark.parametrize("name", [*DEFORMABLE, "DETR"])
def test_in_float64_only_rounding_is_left(name, monkeypatch):
    config = ALL[name]
    there = build_there(config).double()
    if getattr(config, "two_stage", False):
        compute_proposals_in_float64(there, monkeypatch)
    ours = carry_over(there, config).double()
    ours.load_state_dict(from_transformers(there.state_dict(), config), strict=True)
    batch = two_images(torch.float64)
    detections, theirs = ours(batch), ask_there(there, batch)
    assert detections.logits.dtype == detections.boxes.dtype == torch.float64
    assert_same_answers(detections, theirs, atol=1e-9)
    assert_only_valid_proposals(detections, theirs, config)


@pytest.mark.parametrize("name", [*DEFORMABLE, "DETR"])
def test_one_training_step_has_the_gradients_of_transformers(name):
    config = ALL[name]
    there = build_there(config).train()
    ours = carry_over(there, config).train()
    batch, targets = two_images(), targets_for(config)

    theirs = ask_there(there, batch, targets)
    assert theirs.loss is not None
    theirs.loss.backward()
    kind = "cross_entropy" if isinstance(config, DETRConfig) else "focal"
    criterion = SetCriterion(  # transformers weighs classes with 1 in both
        config.num_classes, kind, weights=LossWeights(labels=1), match_cost=MatchCost(label=1)
    )
    detections = ours(batch)._replace(encoder=None)  # transformers has no loss on proposals
    loss = criterion.total(criterion(detections, targets))
    loss.backward()

    assert_close(loss, theirs.loss, rtol=1e-4, atol=0)
    expected = from_transformers(
        {
            key: torch.zeros_like(value) if value.grad is None else value.grad
            for key, value in there.state_dict(keep_vars=True).items()
        },
        config,
    )
    # Some gradients are zero but for rounding: the queries of DETR start alike, so that the first layer's
    # attention among them does not matter.
    rounding = 1e-6 * max(gradient.norm() for gradient in expected.values())
    frozen = {key for key, parameter in ours.named_parameters() if not parameter.requires_grad}
    assert all(key.startswith(("backbone.conv1.", "backbone.layer1.")) for key in frozen)
    for key, parameter in ours.named_parameters():
        if key not in frozen:  # transformers forgets to freeze a backbone of timm
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert (gradient - expected[key]).norm() <= 1e-3 * expected[key].norm() + rounding, key


@torch.no_grad()
def test_auxiliary_outputs_of_detr_in_transformers_change_its_answers():
    # Its decoder then hands normalized queries to the next layer, and normalizes twice at the end. The
    # official code does neither, so the parity tests above look at the layers themselves.
    config = DENSE["DETR"]
    there = build_there(config)
    batch = two_images()
    plain = there(pixel_values=batch.pixels, pixel_mask=(~batch.mask).long()).logits
    there.config.auxiliary_loss = there.model.decoder.config.auxiliary_loss = True
    auxiliary = there(pixel_values=batch.pixels, pixel_mask=(~batch.mask).long()).logits
    assert (plain - auxiliary).abs().max() > 0.1


@pytest.mark.parametrize("name", [*DEFORMABLE, "DETR"])
def test_weights_come_back_from_transformers_bit_by_bit(name):
    config = ALL[name]
    there = build_there(config)
    ours = carry_over(there, config)
    before = {key: value.clone() for key, value in there.state_dict().items()}
    for value in there.state_dict().values():
        value.zero_()
    there.load_state_dict(to_transformers(ours), strict=True)
    assert all(torch.equal(value, before[key]) for key, value in there.state_dict().items())


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        *((name, "model.safetensors") for name in [*DEFORMABLE, "DETR"]),
        ("two-stage", "pytorch_model.bin"),
        ("DETR", "pytorch_model.bin"),
    ],
)
def test_a_folder_that_transformers_wrote_gives_the_same_model(name, weights, tmp_path):
    config = ALL[name]
    there = build_there(config)
    there.save_pretrained(tmp_path)
    if weights.endswith(".bin"):  # the names of transformers 5, copies included
        (tmp_path / "model.safetensors").unlink()
        torch.save(there.state_dict(), tmp_path / weights)
    ours = load_pretrained(tmp_path)
    assert ours.config == config
    assert not ours.training
    expected = from_transformers(there.state_dict(), config)
    assert all(torch.equal(value, expected[key]) for key, value in ours.state_dict().items())


def test_dilation_is_read_from_the_stride_of_the_backbone_too(tmp_path):
    config = ALL["single scale, DC5"]
    build_there(config).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    assert settings.pop("dilation") is True
    assert settings["backbone_config"]["output_stride"] == 16
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert load_pretrained(tmp_path).config == config


@torch.no_grad()
@pytest.mark.parametrize("name", ["base", "DETR"])
def test_the_resnet_of_transformers_is_read_too(name, tmp_path):
    config = ALL[name]
    backbone = {"model_type": "resnet", "out_features": ["stage2", "stage3", "stage4"]}
    if name == "DETR":
        backbone["out_features"] = ["stage4"]
        there = DetrForObjectDetection(DetrConfig(**sizes_there(config), backbone_config=backbone))
    else:
        there = DeformableDetrForObjectDetection(
            DeformableDetrConfig(**sizes_there(config), backbone_config=backbone)
        )
    randomize(there)
    there.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path)
    batch = two_images()
    theirs = there.eval()(pixel_values=batch.pixels, pixel_mask=(~batch.mask).long())
    detections = ours(batch)
    assert_close(detections.logits, theirs.logits, atol=1e-4, rtol=0)
    assert_close(detections.boxes, theirs.pred_boxes, atol=1e-4, rtol=0)
