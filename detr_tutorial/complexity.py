"""What attention costs: multiply-adds and memory of dense and of deformable attention, from the sizes alone.

A multiply-add is one product that is added to a sum; two floating-point operations. All counts are for one
image, and leave out what is linear in the channels only (biases, softmax, normalization). Taught in
notebooks/06_cost_of_dense_attention.ipynb, which asserts every formula against a count.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from detr_tutorial._validation import (
    require_divisible,
    require_int,
    require_list,
    require_size,
    require_spatial_shapes,
)

BYTES = 4  # of a number in float32
STRIDES = (8, 16, 32, 64)  # of the levels of Deformable DETR


class AttentionCost(NamedTuple):
    """Multiply-adds of one attention, and how many numbers it holds between its projections."""

    projections: int  # C x C layers: queries, keys, values and output; deformable: values and output
    predictions: int  # layers that give offsets and scores; 0 in dense attention
    reading: int  # dense: scores and weighted means; deformable: bilinear samples and weighted sums
    weights: int  # attention weights held
    locations: int  # coordinates of sampling points held; 0 in dense attention
    samples: int  # sampled values held; 0 in dense attention

    @property
    def multiply_adds(self) -> int:
        """All multiply-adds."""
        return self.projections + self.predictions + self.reading

    @property
    def held_bytes(self) -> int:
        """Memory for weights, locations and samples together, in bytes of float32."""
        return BYTES * (self.weights + self.locations + self.samples)


class LayerCosts(NamedTuple):
    """The attentions of one encoder layer and one decoder layer."""

    encoder: AttentionCost  # tokens look at tokens
    decoder_self: AttentionCost  # queries look at queries, always dense
    decoder_cross: AttentionCost  # queries look at tokens


def level_shapes(height: int, width: int, strides: Sequence[int] = STRIDES) -> tuple[tuple[int, int], ...]:
    """Give the sizes of the feature maps of an image.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        strides: of the levels, in pixels, finest first.
    Returns:
        (height, width) of each level, in cells; a side that does not divide is rounded up.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or `strides` is empty.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.2; taught in
    notebooks/06_cost_of_dense_attention.ipynb.
    """
    height, width = require_size("(height, width)", (height, width))
    sides = [
        require_int(f"strides[{level}]", stride)
        for level, stride in enumerate(require_list("strides", strides, "ints"))
    ]
    return tuple((-(-height // stride), -(-width // stride)) for stride in sides)


def dense_attention_cost(num_queries: int, num_keys: int, d_model: int, num_heads: int) -> AttentionCost:
    """Count attention in which every query looks at every key.

    2 N_q C^2 + 2 N_k C^2 for the four projections, 2 N_q N_k C for scores and weighted means; M N_q N_k
    attention weights.

    Args:
        num_queries: N_q.
        num_keys: N_k.
        d_model: channels C.
        num_heads: heads M; they change the number of weights, not the multiply-adds.
    Returns:
        The cost of one image.
    Raises:
        TypeError, ValueError: if an argument is not a positive int, or d_model not divisible by num_heads.
    Source: Deformable DETR (arXiv 2010.04159), section 3, equation 1; taught in
    notebooks/06_cost_of_dense_attention.ipynb.
    """
    _require_sizes(num_queries=num_queries, num_keys=num_keys, d_model=d_model, num_heads=num_heads)
    require_divisible("d_model", d_model, "num_heads", num_heads)
    return AttentionCost(
        projections=2 * (num_queries + num_keys) * d_model**2,
        predictions=0,
        reading=2 * num_queries * num_keys * d_model,
        weights=num_heads * num_queries * num_keys,
        locations=0,
        samples=0,
    )


def deformable_attention_cost(
    num_queries: int,
    num_tokens: int,
    d_model: int,
    num_heads: int,
    num_levels: int,
    num_points: int,
    project: Literal["tokens", "sums"] = "tokens",
) -> AttentionCost:
    """Count attention in which every query reads K points on each level.

    (N_q + S) C^2 for output and values, 3 N_q C M L K for offsets and scores, 5 N_q L K C for reading (four
    neighbors and one weight a sample); M N_q L K weights, twice as many coordinates, and N_q L K C samples.

    Args:
        num_queries: N_q.
        num_tokens: S, the cells of all levels.
        d_model: channels C.
        num_heads: heads M.
        num_levels: levels L; 1 is single-scale.
        num_points: points K for each head and level.
        project: "tokens" projects all tokens before reading, S C^2, as the official code does. "sums" reads
            first and projects the weighted sum of each head, N_q C^2, but then every head reads all C
            channels: M times the reading and the samples. `MSDeformAttn` takes the cheaper.
    Returns:
        The cost of one image.
    Raises:
        TypeError, ValueError: if a size is not a positive int, d_model is not divisible by num_heads, or
            `project` is unknown.
    Source: Deformable DETR (arXiv 2010.04159), section 4.1 and appendix A.1; taught in
    notebooks/06_cost_of_dense_attention.ipynb.
    """
    _require_sizes(num_queries=num_queries, num_tokens=num_tokens, d_model=d_model, num_heads=num_heads)
    _require_sizes(num_levels=num_levels, num_points=num_points)
    require_divisible("d_model", d_model, "num_heads", num_heads)
    if project not in ("tokens", "sums"):
        raise ValueError(f'project must be "tokens" or "sums", got {project!r}')
    points = num_queries * num_levels * num_points  # of one head
    projected, reads = (num_tokens, 1) if project == "tokens" else (num_queries, num_heads)
    return AttentionCost(
        projections=(num_queries + projected) * d_model**2,
        predictions=3 * points * num_heads * d_model,
        reading=5 * points * d_model * reads,
        weights=num_heads * points,
        locations=2 * num_heads * points,
        samples=points * d_model * reads,
    )


def layer_costs(
    spatial_shapes: Sequence[tuple[int, int]],
    attention: Literal["dense", "deformable"],
    num_queries: int = 300,
    d_model: int = 256,
    num_heads: int = 8,
    num_points: int = 4,
) -> LayerCosts:
    """Count the three attentions of a detector with one design.

    Args:
        spatial_shapes: (height, width) of each level.
        attention: "dense" as in DETR, or "deformable"; queries look at each other densely in both.
        num_queries: object queries N_q.
        d_model: channels C.
        num_heads: heads M.
        num_points: points K for each head and level; not used by "dense".
    Returns:
        The costs of one image in one encoder layer and one decoder layer.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or `attention` is unknown.
    Source: Deformable DETR (arXiv 2010.04159), sections 3 and 4.1; taught in
    notebooks/06_cost_of_dense_attention.ipynb.
    """
    shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
    tokens = sum(height * width for height, width in shapes)
    among_queries = dense_attention_cost(num_queries, num_queries, d_model, num_heads)
    if attention == "dense":
        encoder, cross = (
            dense_attention_cost(number, tokens, d_model, num_heads) for number in (tokens, num_queries)
        )
    elif attention == "deformable":
        encoder, cross = (
            deformable_attention_cost(number, tokens, d_model, num_heads, len(shapes), num_points)
            for number in (tokens, num_queries)
        )
    else:
        raise ValueError(f'attention must be "dense" or "deformable", got {attention!r}')
    return LayerCosts(encoder, among_queries, cross)


def feed_forward_cost(num_tokens: int, d_model: int, ffn_dim: int) -> int:
    """Count the multiply-adds of the two layers that treat every token alone: 2 N C F.

    Args:
        num_tokens: tokens or queries N.
        d_model: channels C.
        ffn_dim: hidden channels F.
    Returns:
        Multiply-adds of one image.
    Raises:
        TypeError, ValueError: if an argument is not a positive int.
    Source: Attention Is All You Need (arXiv 1706.03762), section 3.3; taught in
    notebooks/06_cost_of_dense_attention.ipynb.
    """
    _require_sizes(num_tokens=num_tokens, d_model=d_model, ffn_dim=ffn_dim)
    return 2 * num_tokens * d_model * ffn_dim


def _require_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        require_int(name, size)
