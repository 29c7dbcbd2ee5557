"""A token of the flattened list: its cell on the map of its level, and its patch on the photograph.

Taught in notebooks/08_feature_flattening.ipynb.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial._validation import require_int, require_size, require_spatial_shapes, require_tensor
from detr_tutorial.padding import resize_mask
from detr_tutorial.plots._style import LEVEL_COLORS
from detr_tutorial.plots.chapter_08 import tokens_on_photograph
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._scene import photo_uri

# As in js/src/tokens/index.js
MAPS_WIDTH, MAPS_GAP, MAPS_LABEL = 400, 20, 26
LIST_WIDTH, LIST_HEIGHT, LIST_TOP, LIST_BOTTOM = 640, 34, 5, 29
ZOOM_WIDTH, ZOOM_HEIGHT, ZOOM_TOKENS = 640, 44, 13


class TokenExplorer(BookWidget, bundle="token_explorer"):
    """Choose a token in the list, on its map or on the photograph, and see it in the other two.

    Nothing is computed in Python while the reader plays.

    Args:
        image: the photograph, (3, H, W) in [0, 1]; it lies in the top left corner of the canvas.
        canvas: (height, width) of the padded batch, in pixels.
        spatial_shapes: (height, width) of the levels, finest first; at most 4.
        token: index into the list that is chosen at the start.
    Attributes:
        token: index of the chosen token.
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: ours; taught in notebooks/08_feature_flattening.ipynb.
    """

    token = traitlets.Int(0, help="Index of the chosen token in the list.").tag(sync=True)
    shapes = traitlets.List(help="[height, width] of the levels, finest first.").tag(sync=True)
    canvas = traitlets.List(help="[height, width] of the padded batch, in pixels.").tag(sync=True)
    size = traitlets.List(help="[height, width] of the photograph, in pixels.").tag(sync=True)
    picture = traitlets.Unicode(help="The photograph, as a data URI.").tag(sync=True)

    def __init__(
        self,
        image: Float[Tensor, "3 H W"],
        canvas: tuple[int, int],
        spatial_shapes: Sequence[tuple[int, int]],
        token: int = 0,
    ) -> None:
        require_tensor("image", image, "3 H W")
        if not bool(((image >= 0) & (image <= 1)).all()):
            raise ValueError("image must lie in [0, 1], got values outside it (or NaN)")
        height, width = require_size("canvas", canvas)
        if image.shape[1] > height or image.shape[2] > width:
            size = tuple(image.shape[1:])
            raise ValueError(f"canvas must be at least as large as the image, {size}, got {(height, width)}")
        shapes = require_spatial_shapes("spatial_shapes", spatial_shapes)
        if len(shapes) > len(LEVEL_COLORS):
            raise ValueError(
                f"spatial_shapes must hold at most {len(LEVEL_COLORS)} levels, got {len(shapes)}"
            )
        count = sum(rows * columns for rows, columns in shapes)
        if require_int("token", token, minimum=0) >= count:
            raise ValueError(f"token={token} is not one of the {count} tokens")
        self._image = image
        super().__init__(
            shapes=[list(shape) for shape in shapes],
            canvas=[height, width],
            size=list(image.shape[1:]),
            token=token,
            picture=photo_uri(image),
        )

    @traitlets.validate("token")
    def _token_in_the_list(self, proposal: dict[str, Any]) -> int:
        count = sum(rows * columns for rows, columns in self.shapes)
        if self.shapes and not 0 <= proposal["value"] < count:
            raise traitlets.TraitError(f"token must be 0 to {count - 1}, got {proposal['value']}")
        return proposal["value"]

    def address(self) -> tuple[int, int, int]:
        """Level, row and column of the chosen token."""
        return self._address(self.token)

    def patch(self) -> tuple[float, float, float, float]:
        """The patch of the chosen token, (x1, y1, x2, y2) in pixels of the canvas."""
        level, row, column = self.address()
        rows, columns = self.shapes[level]
        x, y = self.canvas[1] / columns, self.canvas[0] / rows
        return column * x, row * y, (column + 1) * x, (row + 1) * y

    def is_padding(self) -> bool:
        """Whether the chosen token belongs to the padding."""
        level, row, column = self.address()
        return row >= self._valid(level)[0] or column >= self._valid(level)[1]

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        height, width = self.canvas
        shapes = [(rows, columns) for rows, columns in self.shapes]
        title = f"token {self.token}: level {self.address()[0]}"
        return tokens_on_photograph(self._image, (height, width), shapes, [self.token], title)

    def __repr__(self) -> str:
        return f"TokenExplorer(token={self.token})"

    def _page_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("token", "shapes", "canvas", "size")}

    def _starts(self) -> list[int]:
        starts = [0]
        for rows, columns in self.shapes:
            starts.append(starts[-1] + rows * columns)
        return starts

    def _address(self, token: int) -> tuple[int, int, int]:
        starts = self._starts()
        level = sum(start <= token for start in starts[1:])
        row, column = divmod(token - starts[level], self.shapes[level][1])
        return level, row, column

    def _valid(self, level: int) -> tuple[int, int]:
        """Rows and columns of a level that belong to the photograph."""
        mask = torch.ones(1, *self.canvas, dtype=torch.bool)
        mask[:, : self.size[0], : self.size[1]] = False
        rows, columns = self.shapes[level]
        valid = ~resize_mask(mask, (rows, columns))[0]
        return int(valid.any(1).sum()), int(valid.any(0).sum())

    def _fallback(self) -> str:
        height, width = self.canvas
        level, row, column = self.address()
        x1, y1, x2, y2 = self.patch()
        color = LEVEL_COLORS[level]
        frame = f'x="{x1:.2f}" y="{y1:.2f}" width="{x2 - x1:.2f}" height="{y2 - y1:.2f}"'
        label = escape(f"The photograph on its canvas, with the patch of token {self.token}")
        chips = "".join(
            f'<span class="dw-chip"><span class="dw-swatch"></span><span>{number}</span></span>'
            for number in range(len(self.shapes))
        )
        return (
            '<div class="dw toe"><div class="dw-body">'
            '<div class="toe-controls toe-asleep" aria-hidden="true">'
            f'<fieldset class="dw-chips"><legend>Level</legend>{chips}</fieldset>'
            '<div class="dw-slider"><label>Token</label><span class="dw-slider-value">0</span>'
            '<input type="range" tabindex="-1"></div></div><div class="toe-views">'
            f'<svg class="toe-stage" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
            f'<rect class="dw-hatch-ground" width="{width}" height="{height}"/>'
            f'<image href="{self.picture}" width="{self.size[1]}" height="{self.size[0]}" '
            f'preserveAspectRatio="none"/><rect class="toe-halo" {frame}/>'
            f'<rect class="toe-patch" stroke="{color}" {frame}/></svg>{self._maps()}</div>{self._list()}'
            f'{self._zoom()}<p class="toe-status">Token {self.token} is row {row}, column {column} of level '
            f"{level}. Another one can be chosen by hand where scripts are on.</p></div></div>"
        )

    def _maps(self) -> str:
        half = (MAPS_WIDTH - MAPS_GAP) / 2
        map_height = half * self.canvas[0] / self.canvas[1]
        line = map_height + MAPS_LABEL + MAPS_GAP / 2
        parts = ""
        chosen, row, column = self.address()
        for level, ((rows, columns), start) in enumerate(zip(self.shapes, self._starts(), strict=False)):
            x, y = level % 2 * (half + MAPS_GAP), level // 2 * line + MAPS_LABEL
            color = LEVEL_COLORS[level]
            own = (self._valid(level)[0] / rows * map_height, self._valid(level)[1] / columns * half)
            parts += (
                f'<rect x="{x}" y="{y - MAPS_LABEL + 4:.2f}" width="12" height="12" fill="{color}"/>'
                f'<text class="toe-label" x="{x + 17}" y="{y - MAPS_LABEL + 15:.2f}">'
                f"{level}: {rows} × {columns}, from {start}</text>"
                f'<rect class="dw-hatch-ground" x="{x}" y="{y:.2f}" width="{half}" '
                f'height="{map_height:.2f}"/>'
                f'<rect class="toe-own" x="{x}" y="{y:.2f}" width="{own[1]:.2f}" height="{own[0]:.2f}" '
                f'fill="{color}"/>'
            )
            if level == chosen:
                cell = (half / columns, map_height / rows)
                parts += (
                    f'<rect class="toe-cell" x="{x + column * cell[0]:.2f}" y="{y + row * cell[1]:.2f}" '
                    f'width="{cell[0]:.2f}" height="{cell[1]:.2f}"/>'
                )
        lines = -(-len(self.shapes) // 2)
        return (
            f'<svg class="toe-maps" viewBox="0 0 {MAPS_WIDTH} {lines * line}" role="img" '
            f'aria-label="The maps of all levels">{parts}</svg>'
        )

    def _list(self) -> str:
        starts = self._starts()
        scale = LIST_WIDTH / starts[-1]
        parts = "".join(
            f'<rect class="toe-level" x="{start * scale:.2f}" y="{LIST_TOP}" '
            f'width="{(starts[level + 1] - start) * scale:.2f}" height="{LIST_BOTTOM - LIST_TOP}" '
            f'fill="{LEVEL_COLORS[level]}"/>'
            for level, start in enumerate(starts[:-1])
        )
        tick = f"M{(self.token + 0.5) * scale:.2f} 0V{LIST_HEIGHT}"
        return (
            f'<svg class="toe-list" viewBox="0 0 {LIST_WIDTH} {LIST_HEIGHT}" preserveAspectRatio="none" '
            f'role="img" aria-label="The list of all {starts[-1]} tokens">{parts}'
            f'<path class="toe-tick" d="{tick}"/></svg>'
        )

    def _zoom(self) -> str:
        slot, count = ZOOM_WIDTH / ZOOM_TOKENS, self._starts()[-1]
        first = self.token - ZOOM_TOKENS // 2
        parts = ""
        for index in range(ZOOM_TOKENS):
            token = first + index
            if 0 <= token < count:
                color = LEVEL_COLORS[self._address(token)[0]]
                here = " toe-here" if token == self.token else ""
                parts += (
                    f'<rect class="toe-slot{here}" x="{index * slot:.2f}" y="1" width="{slot:.2f}" '
                    f'height="{ZOOM_HEIGHT - 2}" fill="{color}" fill-opacity="0.4"/>'
                    f'<text class="toe-number{here}" x="{(index + 0.5) * slot:.2f}" y="{ZOOM_HEIGHT / 2}">'
                    f"{token}</text>"
                )
        return (
            f'<svg class="toe-zoom" viewBox="0 0 {ZOOM_WIDTH} {ZOOM_HEIGHT}" role="img" '
            f'aria-label="The tokens before and after the chosen one">{parts}</svg>'
        )
