"""The one example that goes through the whole book, up to any stage.

Two photographs of different size, a fixed seed and a small model (C = 64, M = 8, D = 8, L = 4, K = 4). Every
chapter begins by checking that its input is what the chapter before ended with. Built by the package's own
functions; begins in notebooks/02_images_boxes_padding.ipynb.
"""

from typing import NamedTuple

import torch
from einops import repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial.backbone import SmallBackbone
from detr_tutorial.data import photos
from detr_tutorial.decoder import DeformableDecoder, to_padded_levels
from detr_tutorial.deformable_attention import MSDeformAttn, SamplingRecord
from detr_tutorial.encoder import DeformableEncoder
from detr_tutorial.features import FeatureProjection, FlattenedFeatures, flatten_levels
from detr_tutorial.padding import PaddedBatch, normalize_image, pad_images, resize_mask
from detr_tutorial.position import SinePositionEncoding
from detr_tutorial.reference_points import encoder_reference_points
from detr_tutorial.refinement import SIZE_BIAS, BoxHead
from detr_tutorial.two_stage import FirstStage, ProposalStage

STAGES = (
    "images",
    "batch",
    "backbone",
    "positions",
    "flattened",
    "reference_points",
    "sampling",
    "attention",
    "encoder",
    "decoder",
    "boxes",
    "proposals",
)
# The first is wider than it is high and gets padding below, the second is higher than it is wide and gets
# padding to the right. The padded batch is 264 x 328, and no level is square.
PHOTOGRAPHS = (("coffee", 328), ("astronaut", 264))  # name, longer side in pixels
D_MODEL, NUM_LEVELS, NUM_HEADS, NUM_POINTS = 64, 4, 8, 4
NUM_LAYERS, FFN_DIM, NUM_QUERIES, NUM_CLASSES = 6, 128, 30, 6
SEED = 1  # with this seed, no printed digit of a fingerprint is near a rounding edge


class RunningExample(NamedTuple):
    """Everything that is known at a stage; later fields are None before it is reached."""

    images: tuple[Float[Tensor, "3 _ _"], ...]  # two photographs in [0, 1], of different size
    batch: PaddedBatch | None = None  # normalized and padded
    features: list[Float[Tensor, "B _ _ _"]] | None = None  # of the small backbone, strides 8, 16, 32
    masks: list[Bool[Tensor, "B _ _"]] | None = None  # of the 4 projected levels, True is padding
    positions: list[Float[Tensor, "B C _ _"]] | None = None  # of the 4 projected levels
    flattened: FlattenedFeatures | None = None  # what chapter 9 ends with
    reference_points: Float[Tensor, "B S L 2"] | None = None  # what chapter 10 ends with
    attention: MSDeformAttn | None = None  # with the official initialization
    sampling: SamplingRecord | None = None  # what chapter 11 ends with
    output: Float[Tensor, "B S C"] | None = None  # what chapter 12 ends with
    encoder: DeformableEncoder | None = None  # `attention` is that of its first layer
    memory: Float[Tensor, "B S C"] | None = None  # what chapter 13 ends with
    decoder: DeformableDecoder | None = None  # without box refinement
    query_embedding: Float[Tensor, "Q 2*C"] | None = None  # N(0, 1); the first half says where
    to_references: nn.Linear | None = None  # a sigmoid makes its two numbers a reference
    references: Float[Tensor, "B Q 2"] | None = None  # of the object queries, in [0, 1] of the picture
    queries: Float[Tensor, "B Q C"] | None = None  # after the last decoder layer: what chapter 14 ends with
    refiner: DeformableDecoder | None = None  # the same layers, each with heads of its own
    boxes: Float[Tensor, "B Q 4"] | None = None  # after refinement, in [0, 1]: what chapter 15 ends with
    proposal_stage: ProposalStage | None = None
    first_stage: FirstStage | None = None  # what chapter 16 ends with


@torch.no_grad()
def running_example(until: str = "attention") -> RunningExample:
    """Compute the running example up to a stage.

    Every call computes it afresh (well under a second), so that nobody can change another's copy. The global
    random state stays as it is.

    Args:
        until: one of STAGES. "images": the photographs; "batch": normalized and padded; "backbone": features
            and masks of strides 8, 16, 32, and the mask of the extra level; "positions": sine encodings;
            "flattened": tokens; "reference_points": of the encoder; "sampling": the attention module, and
            where it samples; "attention": its output; "encoder": six layers and their memory; "decoder": six
            layers, the object queries they begin with, and what these are in the end; "boxes": the same
            layers with box refinement; "proposals": a first stage on the memory, which replaces learned
            object queries.
    Returns:
        A RunningExample; fields of later stages are None.
    Raises:
        ValueError: if `until` is not one of STAGES.
    Source: ours; begins in notebooks/02_images_boxes_padding.ipynb.
    """
    if until not in STAGES:
        raise ValueError(f"until must be one of {', '.join(STAGES)}, got {until!r}")
    last = STAGES.index(until)
    images = tuple(photos.load(name, max_side=side) for name, side in PHOTOGRAPHS)
    example = RunningExample(images)
    if last < STAGES.index("batch"):
        return example
    batch = pad_images([normalize_image(image) for image in images])
    example = example._replace(batch=batch)
    if last < STAGES.index("backbone"):
        return example
    backbone, projection, level_embedding, attention = _modules()
    features, _ = backbone(batch)
    levels = projection(features)  # 4 of them
    masks = [resize_mask(batch.mask, (level.shape[2], level.shape[3])) for level in levels]
    example = example._replace(features=features, masks=masks)
    if last < STAGES.index("positions"):
        return example
    encode = SinePositionEncoding(num_features_per_axis=D_MODEL // 2)
    positions = [encode(mask) for mask in masks]
    example = example._replace(positions=positions)
    if last < STAGES.index("flattened"):
        return example
    flattened = flatten_levels(levels, positions, masks, level_embedding)
    example = example._replace(flattened=flattened)
    if last < STAGES.index("reference_points"):
        return example
    references = encoder_reference_points(flattened.spatial_shapes, flattened.valid_ratios)
    example = example._replace(reference_points=references)
    if last < STAGES.index("sampling"):
        return example
    output, record = attention(
        flattened.tokens + flattened.positions,  # the query knows where it is and on which level
        references,
        flattened.tokens,  # the value does not
        flattened.spatial_shapes,
        flattened.mask,
    )
    example = example._replace(attention=attention, sampling=record)
    if last < STAGES.index("attention"):
        return example
    example = example._replace(output=output)
    if last < STAGES.index("encoder"):
        return example
    encoder, decoder, query_embedding, to_references = _layers(attention)
    memory, _ = encoder(flattened)
    example = example._replace(encoder=encoder, memory=memory)
    if last < STAGES.index("decoder"):
        return example
    halves = repeat(query_embedding, "Q (two C) -> two B Q C", two=2, B=len(memory))
    query_positions, content = halves.unbind()
    references = to_references(query_positions).sigmoid()
    on_levels = to_padded_levels(references, flattened.valid_ratios)
    queries = content
    for layer in decoder.layers:
        queries, _ = layer(
            queries, query_positions, on_levels, memory, flattened.spatial_shapes, flattened.mask
        )
    example = example._replace(
        decoder=decoder,
        query_embedding=query_embedding,
        to_references=to_references,
        references=references,
        queries=queries,
    )
    if last < STAGES.index("boxes"):
        return example
    refiner, proposal_stage = _stages(decoder)
    refined = refiner(content, query_positions, references, memory, flattened)
    example = example._replace(refiner=refiner, boxes=refined.layers[-1].boxes)
    if last < STAGES.index("proposals"):
        return example
    return example._replace(proposal_stage=proposal_stage, first_stage=proposal_stage(memory, flattened))


def _modules() -> tuple[SmallBackbone, FeatureProjection, Tensor, MSDeformAttn]:
    """Make the modules with a fixed seed, and put the global random state back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        backbone = SmallBackbone()
        projection = FeatureProjection(backbone.channels, D_MODEL, NUM_LEVELS)
        level_embedding = torch.randn(NUM_LEVELS, D_MODEL)
        attention = MSDeformAttn(D_MODEL, NUM_LEVELS, NUM_HEADS, NUM_POINTS)
    return backbone, projection, level_embedding, attention


def _layers(attention: MSDeformAttn) -> tuple[DeformableEncoder, DeformableDecoder, Tensor, nn.Linear]:
    """Make the layers around the attention; what comes before them stays as it is."""
    sizes = (D_MODEL, NUM_LEVELS, NUM_HEADS, NUM_POINTS, FFN_DIM, 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        encoder = DeformableEncoder(NUM_LAYERS, *sizes)
        encoder.layers[0].self_attention = attention
        decoder = DeformableDecoder(NUM_LAYERS, *sizes, num_classes=NUM_CLASSES, refine_boxes=False)
        query_embedding = torch.randn(NUM_QUERIES, 2 * D_MODEL)
        to_references = nn.Linear(D_MODEL, 2)
        nn.init.xavier_uniform_(to_references.weight)
        nn.init.zeros_(to_references.bias)
    return encoder, decoder, query_embedding, to_references


def _stages(decoder: DeformableDecoder) -> tuple[DeformableDecoder, ProposalStage]:
    """Make what chapters 15 and 16 add: heads for every layer and the first stage.

    The heads do not start at zero, so that there is something to see; the first has the bias of the sizes.
    """
    sizes = (D_MODEL, NUM_LEVELS, NUM_HEADS, NUM_POINTS, FFN_DIM, 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        refiner = DeformableDecoder(NUM_LAYERS, *sizes, num_classes=NUM_CLASSES, refine_boxes=True)
        refiner.layers = decoder.layers
        first_head = refiner.box_heads[0]
        assert isinstance(first_head, BoxHead)
        last = first_head.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias[2:] += SIZE_BIAS
        proposal_stage = ProposalStage(D_MODEL, NUM_QUERIES, NUM_CLASSES)
    return refiner, proposal_stage


def fingerprint(tensor: Tensor) -> str:
    """Describe a tensor in one line that is the same on every machine.

    Args:
        tensor: any tensor with at least one element; bool counts as 0 and 1.
    Returns:
        Its shape, mean and standard deviation, e.g. "(2, 1839, 64)  mean 0.0123  std 0.987".
    Raises:
        TypeError, ValueError: if `tensor` is not a tensor, or empty.
    Source: ours; first used in notebooks/02_images_boxes_padding.ipynb.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"tensor must be a tensor, got {type(tensor).__name__}")
    if tensor.numel() == 0:
        raise ValueError(f"tensor must have at least one element, got shape {tuple(tensor.shape)}")
    values = tensor.detach().double()
    mean = values.mean().item()
    digits = 4 if abs(mean) < 0.1 else 3
    mean = round(mean, digits) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{tuple(tensor.shape)}  mean {mean:.{digits}f}  std {values.std(correction=0).item():.3f}"
