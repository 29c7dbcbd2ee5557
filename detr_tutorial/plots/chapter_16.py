"""The figures of notebooks/16_two_stage.ipynb: boxes around cells, scores of tokens, proposals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from detr_tutorial.plots._style import (
    GRID_COLOR,
    INK,
    LEVEL_COLORS,
    RIGHT_COLOR,
    WRONG_COLOR,
    Number,
    draw_picture,
    new_figure,
    styled,
)

STYLES = ("-", "--", "-.", ":")


def _draw_box(axes: Axes, box: Tensor, size: tuple[int, int], **style: Any) -> None:
    """A box (cx, cy, w, h) in [0, 1] over a picture of (height, width) pixels."""
    (cx, cy, w, h), (height, width) = box.tolist(), size
    corner = ((cx - w / 2) * width - 0.5, (cy - h / 2) * height - 0.5)
    look: dict[str, Any] = {"fill": False, "zorder": 4, **style}
    axes.add_patch(Rectangle(corner, w * width, h * height, **look))


@styled
def grid_boxes(image: Tensor, levels: Sequence[tuple[Tensor, int]]) -> Figure:
    """The boxes around a few cells of each level, and the centers of all.

    Args:
        image: (3, H, W) in [0, 1].
        levels: for each level its (N, 4) boxes in [0, 1], and every how many-th to draw.
    """
    size = (image.shape[1], image.shape[2])
    panel = 7.2 / len(levels)
    figure, grid = new_figure(7.2, panel * size[0] / size[1] + 0.3, columns=len(levels), image_format="jpeg")
    for level, (axes, (boxes, every)) in enumerate(zip(grid[0], levels, strict=True)):
        draw_picture(axes, image * 0.4 + 0.6)
        color = LEVEL_COLORS[level % len(LEVEL_COLORS)]
        x, y = (boxes[:, 0] * size[1] - 0.5).tolist(), (boxes[:, 1] * size[0] - 0.5).tolist()
        axes.scatter(x, y, s=1.2 if len(boxes) > 500 else 5, color=color, linewidths=0, zorder=3)
        for number, box in enumerate(boxes[every // 2 :: every]):
            _draw_box(axes, box, size, edgecolor=INK, linewidth=1.3, linestyle=STYLES[number % len(STYLES)])
        axes.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
        axes.set_title(f"level {level}: {len(boxes)} cells", fontsize=9.5, loc="center", color=color)
    return figure


@styled
def scores_of_tokens(image: Tensor, maps: Sequence[Tensor]) -> Figure:
    """How sure each token is that it stands on an object, level by level.

    Args:
        image: (3, H, W) in [0, 1].
        maps: for each level (H_l, W_l) probabilities.
    """
    figure, grid = new_figure(7.2, 1.75, columns=len(maps) + 1, image_format="jpeg")
    size = (image.shape[1], image.shape[2])
    draw_picture(grid[0, 0], image)
    grid[0, 0].set_title("the picture", fontsize=9.5, loc="center")
    for level, (axes, scores) in enumerate(zip(grid[0, 1:], maps, strict=True)):
        draw_picture(axes, image.mean(0, keepdim=True).expand(3, -1, -1) * 0.4 + 0.6)
        color = LEVEL_COLORS[level % len(LEVEL_COLORS)]
        layer = np.zeros((*scores.shape, 4))
        layer[..., :3] = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        layer[..., 3] = scores.clamp(0, 1).numpy()
        axes.imshow(layer, extent=(-0.5, size[1] - 0.5, size[0] - 0.5, -0.5), zorder=2)
        axes.set_title(f"level {level}", fontsize=9.5, loc="center", color=color)
        axes.set_xlabel(f"best {scores.max():.2f}", fontsize=8.5)
    return figure


@styled
def proposals_on_picture(
    image: Tensor, grid_of: Tensor, proposals: Tensor, scores: Tensor, levels: Tensor, objects: Tensor
) -> Figure:
    """The boxes around the best tokens, and the proposals that they became.

    Args:
        image: (3, H, W) in [0, 1].
        grid_of: (N, 4) boxes around the cells of the best tokens.
        proposals: (N, 4) what the head made of them.
        scores: (N,) probabilities; a sure box is opaque.
        levels: (N,) level of each token.
        objects: (n, 4) what there is, drawn as thin white lines.
    """
    figure, grid = new_figure(7.2, 3.9, columns=2, image_format="jpeg")
    figure.image_quality = 70
    size = (image.shape[1], image.shape[2])
    for axes, boxes, title in (
        (grid[0, 0], grid_of, "boxes around the cells"),
        (grid[0, 1], proposals, "proposals"),
    ):
        draw_picture(axes, image)
        for box in objects:
            _draw_box(axes, box, size, edgecolor="black", linewidth=2.4)
            _draw_box(axes, box, size, edgecolor="white", linewidth=1.2)
        for box, score, level in zip(boxes, scores.tolist(), levels.tolist(), strict=True):
            look = {"edgecolor": LEVEL_COLORS[level], "linestyle": STYLES[level], "linewidth": 2.0}
            _draw_box(axes, box, size, **look, alpha=max(score, 0.25), zorder=5)
        axes.set(xlim=(-0.5, size[1] - 0.5), ylim=(size[0] - 0.5, -0.5))
        axes.set_title(title, fontsize=10, loc="center")
    handles = [Line2D([], [], color="#888888", linewidth=1.4, label="object")]
    handles += [
        Line2D([], [], color=LEVEL_COLORS[level], linestyle=STYLES[level], label=f"from level {level}")
        for level in sorted(set(levels.tolist()))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@styled
def found_by_count(counts: Sequence[int], before: Sequence[Number], after: Sequence[Number]) -> Figure:
    """Which part of the objects the k best proposals hold.

    Args:
        counts: how many proposals are taken.
        before: part of the objects that one of the boxes around their cells overlaps by half.
        after: the same for the proposals.
    """
    figure, grid = new_figure(6.0, 2.8)
    axes = grid[0, 0]
    axes.plot(counts, after, color=RIGHT_COLOR, marker="o", label="proposals")
    axes.plot(counts, before, color=WRONG_COLOR, marker="x", linestyle="--", label="boxes around their cells")
    axes.set(xscale="log", ylim=(-0.04, 1.04), ylabel="objects found")
    axes.set_xlabel("number of proposals taken, best first (logarithmic)")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_xticks(list(counts), [str(count) for count in counts])
    axes.minorticks_off()
    axes.grid(axis="y", color=GRID_COLOR, linewidth=0.6)
    axes.legend(loc="center right")
    return figure


# ---------------------------------------------------------------- a reader's answer against the target


@styled
def boxes_against_target(yours: Tensor, target: Tensor) -> Figure:
    """Up to eight boxes (N, 4) as (cx, cy, w, h): yours dashed, the target's solid."""
    figure, grid = new_figure(4.6, 4.2)
    axes = grid[0, 0]
    for mine, right in zip(yours[:8], target[:8], strict=True):
        _draw_box(axes, right, (1, 1), edgecolor=RIGHT_COLOR, linewidth=2.6)
        _draw_box(axes, mine, (1, 1), edgecolor=WRONG_COLOR, linewidth=1.5, linestyle="--", zorder=5)
    axes.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor=GRID_COLOR, linewidth=1))
    axes.set(xlim=(-0.8, 0.8), ylim=(0.8, -0.8), aspect="equal", xticks=[], yticks=[])
    handles = [
        Line2D([], [], color=WRONG_COLOR, linestyle="--", label="yours"),
        Line2D([], [], color=RIGHT_COLOR, linewidth=3, label="target"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure
