"""Mistakes that copies of the model often make, as far as no other file tests them; see KNOWN_MISTAKES.md."""

import math
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from detr_tutorial.backbone import ResNet50Backbone
from detr_tutorial.checkpoints import from_official, to_official
from detr_tutorial.decoder import DeformableDecoder, DeformableDecoderLayer
from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.deformable_detr import DeformableDETR, DeformableDETRConfig
from detr_tutorial.detections import DeformableRecords, Detections
from detr_tutorial.detr import DETR, DecoderLayer, DETRConfig, EncoderLayer
from detr_tutorial.encoder import DeformableEncoder, DeformableEncoderLayer
from detr_tutorial.evaluation import evaluate
from detr_tutorial.features import FlattenedFeatures, flatten_levels
from detr_tutorial.losses import SetCriterion
from detr_tutorial.padding import PaddedBatch, pad_images
from detr_tutorial.reference_points import encoder_reference_points
from detr_tutorial.refinement import inverse_sigmoid, move_boxes
from detr_tutorial.two_stage import ProposalStage, encode_boxes, grid_proposals

B, Q, C, M, L, K, FFN, CLASSES = 2, 7, 12, 3, 2, 4, 20, 5
SHAPES = ((6, 4), (3, 2))
S = 30
FEW = settings(deadline=None, derandomize=True, max_examples=30, database=None)


def random(*sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def flattened(padded: bool = True, shapes=SHAPES, batch: int = B) -> FlattenedFeatures:
    """Random tokens; the last image is padded to the right and below."""
    masks = [torch.zeros(batch, height, width, dtype=torch.bool) for height, width in shapes]
    for mask in masks if padded else []:
        mask[-1, (mask.shape[1] + 1) // 2 :] = True
        mask[-1, :, (mask.shape[2] + 1) // 2 :] = True
    maps = [random(batch, C, *shape, seed=level) for level, shape in enumerate(shapes)]
    positions = [random(batch, C, *shape, seed=10 + level) for level, shape in enumerate(shapes)]
    return flatten_levels(maps, positions, masks, torch.zeros(len(shapes), C))


def disturb(module: nn.Module) -> nn.Module:
    """Move every parameter, so that a start at zero hides nothing."""
    for index, parameter in enumerate(module.parameters()):
        parameter.data.add_(0.3 * random(*parameter.shape, seed=index))
    return module.eval()


# Layers: what is added to what -----------------------------------------------------------------------------


class Wired:
    """One layer of either model, called with what it transforms, what it looks at, and positions."""

    def __init__(self, kind: str) -> None:
        torch.manual_seed(0)
        sizes: Any = (C, L, M, K, FFN, 0.0)
        dense = DETRConfig(backbone="small", d_model=C, num_heads=M, ffn_dim=FFN, dropout=0.0)
        self.kind = kind
        self.layer: nn.Module = {
            "deformable encoder": lambda: DeformableEncoderLayer(*sizes),
            "deformable decoder": lambda: DeformableDecoderLayer(*sizes),
            "dense encoder": lambda: EncoderLayer(dense),
            "dense decoder": lambda: DecoderLayer(dense),
        }[kind]().eval()
        self.length = S if "encoder" in kind else Q

    def __call__(
        self, content: Tensor, positions: Tensor, memory: Tensor, memory_positions: Tensor
    ) -> Tensor:
        mask = torch.zeros(B, S, dtype=torch.bool)
        if self.kind == "deformable encoder":
            references = encoder_reference_points(SHAPES, torch.ones(B, L, 2))
            return self.layer(content, positions, references, SHAPES, mask)[0]
        if self.kind == "deformable decoder":
            references = torch.full((B, Q, L, 2), 0.5)
            return self.layer(content, positions, references, memory, SHAPES, mask)[0]
        if self.kind == "dense encoder":
            return self.layer(content, positions, mask)[0]
        return self.layer(content, positions, memory, memory_positions, mask)[0]

    def arguments(self) -> dict[str, Tensor]:
        names = {"content": self.length, "positions": self.length, "memory": S, "memory_positions": S}
        return {name: random(B, length, C, seed=seed) for seed, (name, length) in enumerate(names.items())}


def blind(layer: nn.Module) -> None:
    """Let every attention treat all queries alike: what differs afterwards came in through the values."""
    for module in layer.modules():
        if isinstance(module, nn.MultiheadAttention):
            assert module.in_proj_weight is not None
            module.in_proj_weight.data[: 2 * C] = 0  # of queries and keys
        if isinstance(module, MSDeformAttn):
            module.sampling_offsets.weight.data.zero_()
            module.attention_weights.weight.data.zero_()


LAYERS = ["deformable encoder", "deformable decoder", "dense encoder", "dense decoder"]
WITH_POSITIONS = [*((kind, "positions") for kind in LAYERS), ("dense decoder", "memory_positions")]


@pytest.mark.parametrize(("kind", "name"), WITH_POSITIONS)
def test_positions_are_not_part_of_the_values(kind: str, name: str):
    """Mistake 27: positions added to what is read, not only to what decides where to look."""
    layer = Wired(kind)
    disturb(layer.layer)
    blind(layer.layer)
    arguments = layer.arguments()
    moved = {**arguments, name: random(*arguments[name].shape, seed=99)}
    assert_close(layer(**moved), layer(**arguments), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("kind", "name", "attention"),
    [
        ("deformable encoder", "positions", "self_attention"),
        ("deformable decoder", "positions", "self_attention"),
        ("deformable decoder", "positions", "cross_attention"),
        ("dense encoder", "positions", "self_attention"),
        ("dense decoder", "positions", "self_attention"),
        ("dense decoder", "positions", "cross_attention"),
        ("dense decoder", "memory_positions", "cross_attention"),
    ],
)
def test_positions_decide_where_every_attention_looks(kind: str, name: str, attention: str):
    """Mistake 28: object queries without their positions."""
    layer = Wired(kind)
    disturb(layer.layer)
    for other, module in layer.layer.named_children():
        if other != attention and isinstance(module, nn.MultiheadAttention | MSDeformAttn):
            blind(module)
    arguments = layer.arguments()
    moved = {**arguments, name: random(*arguments[name].shape, seed=99)}
    assert (layer(**moved) - layer(**arguments)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", LAYERS)
def test_what_one_token_holds_reaches_others(kind: str):
    """Mistake 33: a residual that adds the input to itself and loses what attention found."""
    layer = Wired(kind)
    arguments = layer.arguments()
    content = arguments["content"].clone()
    content[:, 0] += random(C, seed=99)
    moved = layer(**{**arguments, "content": content}) - layer(**arguments)
    assert (moved[:, 1:].abs().amax(dim=(0, 2)) > 1e-4).any()
    if "decoder" in kind:
        moved = layer(**{**arguments, "memory": arguments["memory"] + 1.0}) - layer(**arguments)
        assert (moved.abs().amax(dim=(0, 2)) > 1e-4).all()


def test_the_attention_adds_no_residual_of_its_own():
    """Mistake 32: the query is added inside the attention, and once more around it."""
    attention = MSDeformAttn(C, L, M, K)
    nn.init.zeros_(attention.output_proj.weight)
    output, _ = attention(random(B, Q, C), torch.rand(B, Q, L, 2), random(B, S, C), SHAPES)
    assert not output.any()


def test_the_second_encoder_layer_reads_what_the_first_wrote():
    """Mistake 16: every layer takes its values from the maps of the backbone."""
    torch.manual_seed(0)
    encoder = DeformableEncoder(2, C, L, M, K, FFN, 0.0)
    blind(encoder)
    seen = []
    first, second = (layer for layer in encoder.layers if isinstance(layer, DeformableEncoderLayer))
    second.self_attention.register_forward_hook(lambda *call: seen.append(call[2][0]))
    encoder(flattened())
    first.ffn_norm.bias.data.add_(random(C))
    encoder(flattened())
    assert (seen[1] - seen[0]).abs().max() > 0.1


# Object queries --------------------------------------------------------------------------------------------


def test_the_first_half_of_a_query_says_where_and_the_second_what():
    """Mistake 28: the two halves of the learned vector swapped."""
    torch.manual_seed(0)
    config = DeformableDETRConfig.base(
        backbone="small", d_model=32, num_heads=4, num_queries=Q, encoder_layers=1, decoder_layers=1
    )
    model = DeformableDETR(config).eval()
    heard = []
    model.decoder.layers[0].register_forward_pre_hook(lambda _, arguments: heard.extend(arguments[:2]))
    detections = model(pad_images([random(3, 64, 96)]), record_sampling=True)
    where, what = model.query_embedding.weight[:, :32], model.query_embedding.weight[:, 32:]
    assert isinstance(detections.sampling, DeformableRecords)
    assert_close(detections.sampling.references[0][0], model.reference_points(where).sigmoid())
    assert_close(heard[0][0], what)
    assert_close(heard[1][0], where)


# Refinement ------------------------------------------------------------------------------------------------


def decode(refine_boxes: bool) -> tuple[DeformableDecoder, Any, Tensor]:
    torch.manual_seed(0)
    decoder = DeformableDecoder(3, C, L, M, K, FFN, 0.0, CLASSES, refine_boxes)
    disturb(decoder)
    features = flattened()
    references = torch.rand(B, Q, 2).requires_grad_()
    output = decoder(random(B, Q, C), random(B, Q, C, seed=1), references, features.tokens, features)
    return decoder, output, references


def test_a_layer_starts_from_the_boxes_of_the_layer_before():
    """Mistake 39: the answer moved twice, so that it differs from what the next layer starts from."""
    _, output, references = decode(refine_boxes=True)
    assert torch.equal(output.references[0], references)
    for layer, start in zip(output.layers, output.references[1:], strict=False):
        assert torch.equal(layer.boxes, start)


def test_without_refinement_every_layer_starts_from_the_same_points():
    _, output, references = decode(refine_boxes=False)
    assert all(start is references for start in output.references)


@pytest.mark.parametrize("layer", [1, 2])
def test_the_boxes_of_a_layer_teach_no_earlier_head(layer: int):
    """Mistake 38: references of later layers that carry gradients."""
    decoder, output, _ = decode(refine_boxes=True)
    boxes = output.layers[layer].boxes.square().sum()
    for head in range(3):
        parameters = list(decoder.box_heads[head].parameters())
        gradients = torch.autograd.grad(boxes, parameters, retain_graph=True, allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [head == layer] * len(parameters)


def test_the_first_references_learn_from_every_layer():
    """Mistake 38: references cut off from the start."""
    for refine_boxes in (True, False):
        _, output, references = decode(refine_boxes)
        for index, layer in enumerate(output.layers):
            (direct,) = torch.autograd.grad(layer.boxes.square().sum(), references, retain_graph=True)
            assert direct.abs().max() > 1e-3, index


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_inverse_sigmoid_is_finite_at_zero_and_one(dtype: torch.dtype):
    """Mistake 40: no epsilon, or one whose inverse is more than a float16 can hold."""
    logits = inverse_sigmoid(torch.tensor([-0.5, 0.0, 1.0, 1.5], dtype=dtype))
    limit = math.log(1e5)
    assert_close(logits.double(), torch.tensor([-limit, -limit, limit, limit]).double(), atol=1e-3, rtol=0)
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    edge = torch.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
    (gradient,) = torch.autograd.grad(inverse_sigmoid(edge).sum(), edge)
    assert torch.isfinite(gradient).all()


@FEW
@given(st.floats(-8, 8))
def test_the_inverse_sigmoid_undoes_the_sigmoid(logit: float):
    number = torch.tensor(logit, dtype=torch.float64)
    assert_close(inverse_sigmoid(number.sigmoid()), number)


@pytest.mark.parametrize("numbers", [2, 4])
def test_moving_boxes_changes_neither_references_nor_deltas(numbers: int):
    """Mistake 49: an addition in place, on a tensor that others still need."""
    references, deltas = torch.rand(B, Q, numbers), random(B, Q, 4)
    before = references.clone(), deltas.clone()
    boxes = move_boxes(references, deltas)
    assert torch.equal(references, before[0])
    assert torch.equal(deltas, before[1])
    logits = torch.logit(references.double())
    for column in range(4):
        expected = deltas[..., column].double() + (logits[..., column] if column < numbers else 0)
        assert_close(boxes[..., column].double(), expected.sigmoid(), atol=1e-6, rtol=0)


# Two stages ------------------------------------------------------------------------------------------------


def propose(features: FlattenedFeatures, num_queries: int = Q):
    torch.manual_seed(0)
    stage = ProposalStage(C, num_queries, CLASSES)
    disturb(stage)
    memory = features.tokens.clone().requires_grad_()
    return stage, stage(memory, features), memory


def test_the_number_of_valid_proposals_on_every_level():
    """Mistake 43: sizes double from level to level and are parts of the image, so a sixth level has none.

    On a map of more than 50 rows, the first and the last row lie closer to the border than 0.01.
    """
    shapes = ((64, 48), (5, 6), (4, 3), (2, 3), (1, 2), (1, 1))
    boxes, valid = grid_proposals(flattened(padded=False, shapes=shapes))
    sizes = [height * width for height, width in shapes]
    assert [int(part[0].sum()) for part in valid.split(sizes, dim=1)] == [62 * 48, 30, 12, 6, 2, 0]
    for level, part in enumerate(boxes.split(sizes, dim=1)):
        assert_close(part[..., 2:], torch.full_like(part[..., 2:], min(0.05 * 2**level, 1.0)))


def test_padding_proposes_nothing_and_all_numbers_are_finite():
    """Mistake 44: infinity in logits or boxes of padded tokens, which turns into NaN in the losses."""
    features = flattened()
    _, first, memory = propose(features)
    logits, boxes, valid = first.proposals
    assert features.mask.any()
    assert not (valid & features.mask).any()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(boxes).all()
    assert (logits[~valid] == -100).all()
    detections = Detections(logits[:, :Q], boxes[:, :Q], [], first.proposals)
    criterion = SetCriterion(CLASSES)
    target = {"labels": torch.tensor([1, 3]), "boxes": torch.tensor([[0.3, 0.4, 0.2, 0.1]] * 2)}
    losses = criterion(detections, [target] * B)
    (gradient,) = torch.autograd.grad(criterion.total(losses), memory)
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert torch.isfinite(gradient).all()
    assert gradient[valid].any()


def test_tokens_of_padding_are_chosen_last():
    features = flattened()
    _, first, _ = propose(features, num_queries=S)
    for image in range(B):
        valid = int(first.proposals.valid[image].sum())
        order = [
            (first.proposals.boxes[image] == box).all(dim=1).nonzero()[0].item()
            for box in first.references[image]
        ]
        assert first.proposals.valid[image, order[:valid]].all()


def test_more_queries_than_tokens_give_as_many_as_there_are():
    """Mistake 45: asking for the best 300 of 85."""
    _, first, _ = propose(flattened(), num_queries=S + 5)
    assert first.queries.shape == first.query_positions.shape == (B, S, C)
    assert first.references.shape == (B, S, 4)


def test_the_best_tokens_by_the_first_class_become_references_with_all_four_numbers():
    """Mistakes 46 and 47: another class decides, or a gather that repeats one number of a box."""
    _, first, memory = propose(flattened())
    for image in range(B):
        scores = first.proposals.logits[image, :, 0].tolist()
        best = sorted(range(S), key=lambda token: -scores[token])[:Q]
        assert torch.equal(first.references[image], first.proposals.boxes[image, best])
    other_best = first.proposals.logits.amax(dim=-1).topk(Q, dim=1).indices
    assert not torch.equal(other_best, first.proposals.logits[..., 0].topk(Q, dim=1).indices)
    assert not first.references.requires_grad  # mistake 47
    (gradient,) = torch.autograd.grad(
        first.queries.sum() + first.query_positions.sum(), memory, allow_unused=True
    )
    assert gradient is None


def test_the_first_half_of_an_encoded_proposal_says_where_and_the_second_what():
    """Mistake 28: the two halves swapped."""
    stage, first, _ = propose(flattened())
    halves = stage.query_norm(stage.query_projection(encode_boxes(first.references, C // 2)))
    assert_close(first.query_positions, halves[..., :C])
    assert_close(first.queries, halves[..., C:])


def test_a_box_is_encoded_as_x_y_width_height():
    """Mistake 7: y first, as in the encoding of positions."""
    boxes = torch.rand(B, Q, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoded = encode_boxes(boxes, 6)
    for channel in range(24):
        number, pair, wave = channel // 6, channel % 6 // 2, (torch.sin, torch.cos)[channel % 2]
        expected = wave(boxes[..., number] * 2 * math.pi / 10000 ** (2 * pair / 6))
        assert_close(encoded[..., channel], expected)


# Backbone and evaluation -----------------------------------------------------------------------------------


def test_the_first_imagenet_weights_of_torchvision_are_asked_for(monkeypatch):
    """Mistake 69: the second ones are from another training, and other numbers come out."""
    weights = torchvision.models.ResNet50_Weights
    stand_in = torchvision.models.resnet50(weights=None).state_dict()
    asked = []

    def get_state_dict(self, *_: object, **__: object) -> dict[str, Tensor]:
        asked.append(self)
        return stand_in

    monkeypatch.setattr(weights, "get_state_dict", get_state_dict)
    ResNet50Backbone(weights="IMAGENET1K_V1")
    assert asked == [weights.IMAGENET1K_V1]


class Remembering(nn.Module):
    """Answers nothing, and remembers the masks."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def forward(self, batch: PaddedBatch) -> Detections:
        self.masks.append(batch.mask)
        count = len(batch.pixels)
        return Detections(torch.zeros(count, 1, 1), torch.full((count, 1, 4), 0.5), [])


def test_evaluation_tells_the_model_what_is_padding():
    """Mistake 26: the mask is dropped when numbers are measured."""

    class TwoSizes:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
            target = {"labels": torch.tensor([0]), "boxes": torch.full((1, 4), 0.5)}
            return torch.rand(3, 8 + 4 * index, 10 - 3 * index), target

    model = Remembering()
    evaluate(model, TwoSizes(), batch_size=2)
    (mask,) = model.masks
    assert torch.equal(mask, pad_images([torch.zeros(3, 8, 10), torch.zeros(3, 12, 7)]).mask)


# Weights ---------------------------------------------------------------------------------------------------

NARROW: dict[str, Any] = {
    "d_model": 32,
    "num_heads": 4,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "ffn_dim": FFN,
}


def official_weights(config: DETRConfig | DeformableDETRConfig) -> dict[str, Tensor]:
    """Return zeros in the names and shapes of an official file."""
    with torch.device("meta"):
        model = DETR(config) if isinstance(config, DETRConfig) else DeformableDETR(config)
    return {key: torch.zeros(value.shape) for key, value in to_official(model).items()}


def test_counters_of_batch_norms_in_a_file_are_no_weights():
    """Mistake 69: files from before batch norms were frozen count batches, which no frozen one does."""
    config = DETRConfig(**NARROW)
    state = official_weights(config)
    counters = {
        key.replace("running_var", "num_batches_tracked"): torch.tensor(3)
        for key in state
        if key.endswith("running_var")
    }
    assert len(counters) == 53
    assert set(from_official({**state, **counters}, config)) == set(from_official(state, config))


def test_weights_of_another_variant_are_refused():
    """Mistake 71: what does not fit is left out, and the rest stays at its random start."""
    dense, pre_norm = DETRConfig(**NARROW), DETRConfig(**NARROW, pre_norm=True)
    base, refined = DeformableDETRConfig.base(**NARROW), DeformableDETRConfig.refined(**NARROW)
    two_stage = DeformableDETRConfig.two_stage_refined(**NARROW)
    for one, other in ((dense, pre_norm), (base, refined), (refined, two_stage)):
        for here, there in ((one, other), (other, one)):
            with pytest.raises(ValueError, match=r"is missing|is unexpected"):
                from_official(official_weights(here), there)
