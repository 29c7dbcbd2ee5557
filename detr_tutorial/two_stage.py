"""The first stage of a two-stage detector: every token proposes a box, the best become object queries.

Taught in notebooks/16_two_stage.ipynb.
"""

import math
from typing import NamedTuple

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from detr_tutorial._validation import require_divisible, require_int, require_tensor
from detr_tutorial.detections import Proposals
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.reference_points import cell_centers
from detr_tutorial.refinement import BoxHead, move_boxes

FINEST_SIZE = 0.05  # width and height of a proposal on the finest level; they double with each level
MARGIN = 0.01  # a proposal counts when its center and size lie in (MARGIN, 1 - MARGIN)
EXCLUDED_LOGIT = -100.0  # of a token that may not become a proposal; finite in half precision too


class FirstStage(NamedTuple):
    """What the decoder starts from, and what the proposals are trained by."""

    queries: Float[Tensor, "B Q C"]  # content
    query_positions: Float[Tensor, "B Q C"]
    references: Float[Tensor, "B Q 4"]  # (cx, cy, w, h), without gradient
    proposals: Proposals  # of all tokens


def grid_proposals(
    flattened: FlattenedFeatures,
) -> tuple[Float[Tensor, "B S 4"], Bool[Tensor, "B S"]]:
    """Give every token a box around its cell.

    Args:
        flattened: its mask, shapes and valid ratios are used.
    Returns:
        (B, S, 4) as (cx, cy, w, h) in [0, 1] of the image without its padding, the sizes 0.05, 0.1, 0.2, ...
        from level to level; and (B, S), True where the token is no padding and all four numbers lie in
        (0.01, 0.99). Boxes that do not count are finite too.
    Source: the official `gen_encoder_output_proposals`; taught in notebooks/16_two_stage.ipynb.
    """
    centers = cell_centers(flattened.spatial_shapes, flattened.valid_ratios)
    sizes = [
        centers.new_full((height * width, 2), FINEST_SIZE * 2.0**level)
        for level, (height, width) in enumerate(flattened.spatial_shapes)
    ]
    boxes = torch.cat([centers, repeat(torch.cat(sizes), "S wh -> B S wh", B=len(centers))], dim=-1)
    margin = MARGIN + 1e-6  # a number on the margin does not count, however it is rounded
    inside = ((boxes > margin) & (boxes < 1 - margin)).all(dim=-1)
    return boxes.clamp(0, 1), inside & ~flattened.mask


def encode_boxes(boxes: Float[Tensor, "B Q 4"], num_features_per_coordinate: int) -> Float[Tensor, "B Q F"]:
    """Encode the four numbers of a box with sines and cosines, as positions are.

    Args:
        boxes: (cx, cy, w, h) in [0, 1].
        num_features_per_coordinate: channels for each number; even.
    Returns:
        (B, Q, 4 * num_features_per_coordinate), in the order cx, cy, w, h; sine and cosine alternate.
    Raises:
        TypeError, ValueError: if `boxes` is not such a tensor, or the number of features is not even.
    Source: the official `get_proposal_pos_embed`; taught in notebooks/16_two_stage.ipynb.
    """
    require_tensor("boxes", boxes, "B Q 4")
    require_int("num_features_per_coordinate", num_features_per_coordinate)
    require_divisible(
        "num_features_per_coordinate", num_features_per_coordinate, "channels in a sine and cosine pair", 2
    )
    exact = torch.promote_types(boxes.dtype, torch.float32)
    pair = torch.arange(num_features_per_coordinate // 2, dtype=exact, device=boxes.device)
    angles = boxes.to(exact)[..., None] * 2 * math.pi / 10000 ** (2 * pair / num_features_per_coordinate)
    waves = rearrange([angles.sin(), angles.cos()], "two B Q four half -> B Q (four half two)")
    return waves.to(boxes.dtype)


class ProposalStage(nn.Module):
    """Score every token, correct its box, and turn the best into object queries.

    Args:
        d_model: channels C; divisible by 4.
        num_queries: proposals N_q that become object queries; fewer when there are fewer tokens.
        num_classes: columns of the class head. Only the first is used, and says "an object"; the others are
            there because the official code clones the decoder's head.
    Raises:
        TypeError, ValueError: if a size is not a positive int, or `d_model` is not divisible by 4.
    Source: Deformable DETR (arXiv 2010.04159), section 4.3 and appendix A.4; taught in
    notebooks/16_two_stage.ipynb.
    """

    def __init__(self, d_model: int, num_queries: int, num_classes: int) -> None:
        super().__init__()
        require_divisible("d_model", require_int("d_model", d_model), "channels in a pair", 4)
        self.num_queries = require_int("num_queries", num_queries)
        self.memory_projection = nn.Linear(d_model, d_model)
        self.memory_norm = nn.LayerNorm(d_model)
        self.class_head = nn.Linear(d_model, require_int("num_classes", num_classes))
        self.box_head = BoxHead(d_model)
        self.query_projection = nn.Linear(2 * d_model, 2 * d_model)
        self.query_norm = nn.LayerNorm(2 * d_model)

    def forward(self, memory: Float[Tensor, "B S C"], flattened: FlattenedFeatures) -> FirstStage:
        """Propose boxes and choose the best.

        Args:
            memory: what the encoder gave.
            flattened: what the encoder read; its mask, shapes and valid ratios are used.
        Returns:
            min(N_q, S) object queries an image, and the proposals of all tokens.
        """
        grid, valid = grid_proposals(flattened)
        candidates = memory.masked_fill(~valid[..., None], 0.0)
        candidates = self.memory_norm(self.memory_projection(candidates))
        logits = self.class_head(candidates).masked_fill(~valid[..., None], EXCLUDED_LOGIT)
        boxes = move_boxes(grid, self.box_head(candidates))
        best = logits[..., 0].topk(min(self.num_queries, logits.shape[1]), dim=1).indices
        references = boxes.gather(1, repeat(best, "B Q -> B Q 4")).detach()
        encoded = encode_boxes(references, memory.shape[-1] // 2).to(memory.dtype)
        halves = self.query_norm(self.query_projection(encoded))
        query_positions, queries = rearrange(halves, "B Q (two C) -> two B Q C", two=2)
        return FirstStage(queries, query_positions, references, Proposals(logits, boxes, valid))
