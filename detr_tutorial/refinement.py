"""Boxes as corrections: a head says how to move and stretch a reference, in logits.

A decoder layer does not predict a box from nothing. Its head gives four numbers that are added to the
reference after an inverse sigmoid; a sigmoid then brings the sum back into [0, 1]. Taught in
notebooks/15_box_refinement.ipynb.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from detr_tutorial._validation import require_int, require_number, require_references, require_tensor

EPSILON = 1e-5
SIZE_BIAS = -2.0  # sigmoid(-2) = 0.119: the width and height of every box at the start


def inverse_sigmoid(x: Float[Tensor, "*n"], eps: float = EPSILON) -> Float[Tensor, "*n"]:
    """Turn numbers in [0, 1] into logits, finite at 0 and 1 too.

    Args:
        x: any shape; values outside [0, 1] are clamped.
        eps: both x and 1 - x are raised to at least this, so that the answer stays within
            log(eps) = -11.5 and 11.5.
    Returns:
        log(x / (1 - x)), in float32 for half precision input: 1 / eps is more than a float16 can hold.
    Raises:
        TypeError, ValueError: if `x` is not a floating point tensor, or `eps` is not positive.
    Source: Deformable DETR, `inverse_sigmoid` in the official `misc.py`; taught in
    notebooks/15_box_refinement.ipynb.
    """
    require_number("eps", eps, above=0)
    x = require_tensor("x", x, "...")
    x = x.to(torch.promote_types(x.dtype, torch.float32)).clamp(0, 1)
    return torch.log(x.clamp(min=eps) / (1 - x).clamp(min=eps))


def move_boxes(references: Float[Tensor, "*n refs"], deltas: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
    """Add a head's four numbers to references, in logits.

    Args:
        references: (..., 2) as (x, y) or (..., 4) as (cx, cy, w, h), in [0, 1].
        deltas: (..., 4), logits.
    Returns:
        (..., 4) as (cx, cy, w, h) in (0, 1), at least float32. Around a point, width and height come from the
        deltas alone.
    Raises:
        TypeError, ValueError: if a tensor is not floating point, or the last axes are others.
    Source: Deformable DETR (arXiv 2010.04159), appendix A.4; taught in notebooks/15_box_refinement.ipynb.
    """
    require_tensor("deltas", deltas, "... 4")
    require_tensor("references", references, "... refs")
    require_references("references", references)
    logits = inverse_sigmoid(references)
    if references.shape[-1] == 2:
        return torch.cat([logits + deltas[..., :2], deltas[..., 2:].to(logits.dtype)], dim=-1).sigmoid()
    return (logits + deltas).sigmoid()


class BoxHead(nn.Module):
    """Three linear layers from a query to four numbers.

    Args:
        d_model: channels C of a query.
    Raises:
        TypeError, ValueError: if `d_model` is not a positive int.
    Source: DETR (arXiv 2005.12872), `MLP`; taught in notebooks/05_detr.ipynb.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        require_int("d_model", d_model)
        self.layers = nn.Sequential(
            nn.Linear(d_model, d_model),
            nn.ReLU(),
            nn.Linear(d_model, d_model),
            nn.ReLU(),
            nn.Linear(d_model, 4),
        )

    def forward(self, queries: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q 4"]:
        """Give four numbers a query, logits of (cx, cy, w, h) or corrections of such."""
        return self.layers(queries)

    @torch.no_grad()
    def start_at_reference(self, size_bias: float) -> None:
        """Make the first answers the references themselves: zero weights, and a bias for width and height.

        Args:
            size_bias: logit of the first width and height around a point; 0 keeps the size of a box.
        Source: the official `DeformableDETR.__init__`; taught in notebooks/15_box_refinement.ipynb.
        """
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        last.weight.zero_()
        last.bias.copy_(last.bias.new_tensor([0.0, 0.0, size_bias, size_bias]))
