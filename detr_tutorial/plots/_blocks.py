"""The parts of block diagrams of layers: blocks, lines, shortcuts, and the doors of an attention."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from detr_tutorial.plots._style import INK, Number

MUTED = "#666666"
POSITION_COLOR = "#B35900"  # positions, and the arrows they come in by
BLOCK_COLOR, NORM_COLOR = "#DCEAF5", "#F3E9D8"


def draw_block(
    axes: Axes, x: Number, y: Number, text: str, *, color: str = BLOCK_COLOR, width: Number = 3.6
) -> None:
    """A rounded block with its name, centered at (x, y)."""
    look: dict[str, Any] = {"boxstyle": "round,pad=0.02,rounding_size=0.12", "linewidth": 1.2}
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.36), width, 0.72, facecolor=color, edgecolor=INK, zorder=3, **look
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=9.5, zorder=4)


def draw_line(axes: Axes, *points: tuple[Number, Number], color: str = INK, head: bool = True) -> None:
    """A line through these points, with an arrow's head at its end."""
    line: dict[str, Any] = {"color": color, "linewidth": 1.3}
    for start, end in pairwise(points[:-1]):
        axes.plot(*zip(start, end, strict=True), zorder=2, solid_capstyle="round", **line)
    style = {"arrowstyle": "-|>" if head else "-", "shrinkA": 0, "shrinkB": 0, **line}
    axes.annotate("", points[-1], points[-2], arrowprops=style, zorder=2)


def draw_plus(axes: Axes, x: Number, y: Number) -> None:
    """The small orange plus where positions are added."""
    axes.plot(
        [x], [y], marker="o", markersize=12, markerfacecolor="white", markeredgecolor=POSITION_COLOR, zorder=4
    )
    axes.text(x, y - 0.02, "+", ha="center", va="center", fontsize=11, color=POSITION_COLOR, zorder=5)


def draw_attention(axes: Axes, x: Number, y: Number, name: str, doors: Sequence[str] = "qkv") -> None:
    """A box of an attention with its three doors; arrows end at (x - 1.1, x, x + 1.1; y + 0.62)."""
    draw_block(axes, x, y, name)
    for door, letter in zip((x - 1.1, x, x + 1.1), doors, strict=True):
        axes.text(door + 0.13, y + 0.55, letter, fontsize=9, fontstyle="italic", color=MUTED, va="center")
        draw_line(axes, (door, y + 0.8), (door, y + 0.38))


def draw_residual(axes: Axes, x: Number, start: Number, end: Number) -> None:
    """The shortcut around a sublayer, on its right, from height `start` down to `end`."""
    side = x + 2.15
    draw_line(axes, (x, start), (side, start), (side, end), (x + 1.82, end))


def draw_self_attention(axes: Axes, x: Number, y: Number, name: str, positions: str) -> None:
    """An attention whose queries, keys and values all come from (x, y + 1.9) above it."""
    top = y + 1.75
    draw_line(axes, (x, top + 0.35), (x, top), head=False)
    axes.plot([x - 1.1, x + 1.1], [top, top], color=INK, linewidth=1.3, zorder=2)
    for door in (x - 1.1, x, x + 1.1):
        draw_line(axes, (door, top), (door, y + 0.75), head=False)
    for door in (x - 1.1, x):
        draw_plus(axes, door, y + 1.25)
    axes.plot([x - 2.0, x - 0.2], [y + 1.25, y + 1.25], color=POSITION_COLOR, linewidth=1.3, zorder=1)
    axes.text(x - 2.08, y + 1.25, positions, ha="right", va="center", fontsize=9, color=POSITION_COLOR)
    draw_attention(axes, x, y, name)


def draw_positions(axes: Axes, x: Number, y: Number, text: str) -> None:
    """What is added at (x, y), from the left."""
    draw_plus(axes, x, y)
    axes.plot([x - 0.9, x - 0.2], [y, y], color=POSITION_COLOR, linewidth=1.3, zorder=1)
    axes.text(x - 0.98, y, text, ha="right", va="center", fontsize=9, color=POSITION_COLOR)
