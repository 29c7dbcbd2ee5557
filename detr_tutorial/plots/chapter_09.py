"""The figures of notebooks/09_level_embeddings.ipynb: who is alike, three starts, where levels look."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.plots._style import (
    INK,
    LEVEL_COLORS,
    WRONG_COLOR,
    draw_reference_point,
    new_figure,
    styled,
)


@styled
def alike(rows: Mapping[str, Sequence[Tensor]], marked: tuple[int, int, int]) -> Figure:
    """How alike one token and all others are, level by level, in several forms.

    Args:
        rows: title of each form, and one map (H_l, W_l) of cosines a level; NaN where it is padding.
        marked: (level, row, column) of the token.
    """
    forms = list(rows.items())
    levels = len(forms[0][1])
    figure, grid = new_figure(7.2, 1.62 * len(forms) + 0.5, rows=len(forms), columns=levels)
    shown = None
    for line, (title, maps) in zip(grid, forms, strict=True):
        for level, (axes, cosines) in enumerate(zip(line, maps, strict=True)):
            height, width = cosines.shape
            axes.set_facecolor("#E4E4E4")
            shown = axes.imshow(
                cosines.numpy(),
                cmap="viridis",
                vmin=0,
                vmax=1,
                extent=(0, width, height, 0),
                aspect=0.8 * width / height,  # all levels cover one canvas
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set(visible=True, color=LEVEL_COLORS[level], linewidth=2.5)
            axes.set_title(f"level {level}: {height} × {width}", fontsize=9.5)
            axes.set_xlabel(f"largest {np.nanmax(cosines.numpy()):.2f}", fontsize=9)
            if level == marked[0]:
                draw_reference_point(axes, marked[2] + 0.5, marked[1] + 0.5, size=10)
        line[0].set_ylabel(title)
    assert shown is not None
    figure.colorbar(shown, ax=grid, pad=0.02, shrink=0.7, label="cosine with the marked token")
    return figure


@styled
def three_starts(losses: Mapping[str, Sequence[float]]) -> Figure:
    """How fast a layer learns to tell levels apart, for several starts of the embedding.

    Args:
        losses: name of each start, and its loss after every step.
    """
    figure, grid = new_figure(6.4, 2.6)
    axes = grid[0, 0]
    styles = (("#0072B2", "-"), (WRONG_COLOR, "--"), ("#444444", ":"))
    for (name, curve), (color, line) in zip(losses.items(), styles, strict=False):
        axes.plot(list(curve), color=color, linestyle=line, linewidth=2.2, label=name)
    axes.axhline(np.log(4), color="#AAAAAA", linewidth=1, zorder=0)
    axes.annotate("guessing: ln 4", (len(curve) - 1, np.log(4)), ha="right", va="bottom", fontsize=9)
    axes.set(xlabel="step", ylabel="loss", xlim=(0, len(curve) - 1), ylim=(0, None))
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.86))
    return figure


@styled
def where_levels_look(tables: Mapping[str, Tensor]) -> Figure:
    """The share of its attention that a query of each level gives to each level.

    Args:
        tables: title, and (L, L) shares: row is the level of the query, column the level it looks at.
    """
    figure, grid = new_figure(7.2, 2.75, columns=len(tables))
    for axes, (title, table) in zip(grid[0], tables.items(), strict=True):
        axes.imshow(table.numpy(), cmap="Blues", vmin=0, vmax=0.8)
        for row in range(len(table)):
            for column in range(len(table)):
                share = float(table[row, column])
                color = "white" if share > 0.45 else INK
                axes.text(column, row, f"{share:.0%}", ha="center", va="center", fontsize=9, color=color)
        axes.set_xticks(range(len(table)))
        axes.set_yticks(range(len(table)))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(title, fontsize=10.5)
        axes.set_xlabel("looks at level")
    grid[0, 0].set_ylabel("query of level")
    return figure
