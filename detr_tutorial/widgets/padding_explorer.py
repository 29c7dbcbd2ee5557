"""Pictures of different size in one batch: who pays for whom, and what the mask says on a feature map.

Taught in notebooks/02_images_boxes_padding.ipynb.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn.functional import interpolate

from detr_tutorial._validation import require_int, require_list, require_size, require_tensor
from detr_tutorial.padding import PaddedBatch, pad_images, resize_mask, valid_ratios
from detr_tutorial.plots._style import LEVEL_COLORS, PADDING_COLOR, draw_picture, new_figure, styled
from detr_tutorial.plots.chapter_02 import cut_to_size
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._scene import photo_uri

STRIDES = (1, 8, 16, 32, 64)  # 1: the mask of the pixels themselves
MOST_PICTURES = 4
SIDE, RIM = 400, 22  # of a panel, as in js/src/padding/panel.js
LONGEST_SHOWN = 320  # pixels of a photograph that travel to the page
Size = tuple[int, int]
COLUMNS = ("picture", "sets", "right", "below", "valid cells", "ratio x", "ratio y")


class PaddingExplorer(BookWidget, bundle="padding_explorer"):
    """Change the size of the pictures of a batch, and see canvas, padding, mask and valid ratios.

    A picture is cut to its size, not stretched. Nothing is computed in Python while the reader plays.

    Args:
        images: two to four photographs, (3, H, W) in [0, 1]; their sizes are where the explorer starts.
        max_side: the longest side that a picture may get, in pixels; by default somewhat more than the
            longest there is.
    Attributes:
        sizes: [height, width] of each picture, in pixels, 1 to `max_side`.
        stride: the feature map on which the mask is drawn: 1 (pixels), 8, 16, 32 or 64.
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: DETR (arXiv 2005.12872), `nested_tensor_from_tensor_list`; taught in
        notebooks/02_images_boxes_padding.ipynb.
    """

    sizes = traitlets.List(help="[height, width] of each picture, in pixels.").tag(sync=True)
    stride = traitlets.Int(1, help="Stride of the feature map whose mask is drawn, 1 for pixels.").tag(
        sync=True
    )
    start = traitlets.List(help="The sizes at the beginning.").tag(sync=True)
    maxSide = traitlets.Int(help="The longest side of a picture.").tag(sync=True)  # noqa: N815 - JavaScript's name
    pictures = traitlets.List(help="The photographs, as data URIs.").tag(sync=True)

    def __init__(self, images: Sequence[Float[Tensor, "3 _ _"]], max_side: int | None = None) -> None:
        listed = require_list("images", images, "(3, H, W) tensors", minimum=2)
        if len(listed) > MOST_PICTURES:
            raise ValueError(f"images must hold at most {MOST_PICTURES} pictures, got {len(listed)}")
        for index, image in enumerate(listed):
            require_tensor(f"images[{index}]", image, "3 H W")
            if not bool(((image >= 0) & (image <= 1)).all()):
                raise ValueError(f"images[{index}] must lie in [0, 1], got values outside it (or NaN)")
        sizes = [[image.shape[1], image.shape[2]] for image in listed]
        longest = max(side for size in sizes for side in size)
        if max_side is None:
            max_side = -(-longest * 9 // 512) * 64  # an eighth more, in whole cells of the coarsest map
        elif require_int("max_side", max_side) < longest:
            raise ValueError(f"max_side must be at least the longest side {longest}, got {max_side}")
        self._images = tuple(listed)
        pictures = [photo_uri(_shrunk(image, LONGEST_SHOWN)) for image in listed]
        super().__init__(sizes=sizes, start=sizes, maxSide=max_side, pictures=pictures)

    @traitlets.validate("sizes")
    def _sizes_in_range(self, proposal: dict[str, Any]) -> list[list[int]]:
        value = proposal["value"]
        try:
            sizes = [list(require_size(f"sizes[{index}]", size)) for index, size in enumerate(value)]
        except (TypeError, ValueError) as error:
            raise traitlets.TraitError(str(error)) from None
        if len(sizes) != len(self._images):
            raise traitlets.TraitError(f"sizes must hold {len(self._images)} pairs, got {len(sizes)}")
        if self.maxSide and any(side > self.maxSide for size in sizes for side in size):
            raise traitlets.TraitError(f"sizes must be at most {self.maxSide}, got {sizes}")
        return sizes

    @traitlets.validate("stride")
    def _known_stride(self, proposal: dict[str, Any]) -> int:
        if proposal["value"] not in STRIDES:
            raise traitlets.TraitError(f"stride must be one of {STRIDES}, got {proposal['value']}")
        return proposal["value"]

    def padding_share(self) -> float:
        """The part of the batch's pixels that is padding, in [0, 1)."""
        return self._batch().mask.double().mean().item()

    def _batch(self) -> PaddedBatch:
        return pad_images([torch.zeros(3, height, width) for height, width in self.sizes])

    def _mask(self) -> Tensor:
        """The mask of the batch on the chosen feature map, (B, H_l, W_l)."""
        mask = self._batch().mask
        return resize_mask(mask, map_size((mask.shape[1], mask.shape[2]), self.stride))

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print."""
        canvas = self._batch().mask.shape[1:]
        return _figure(self._images, self.sizes, (canvas[0], canvas[1]), self._mask(), self.stride)

    def __repr__(self) -> str:
        return f"PaddingExplorer(sizes={[tuple(size) for size in self.sizes]}, stride={self.stride})"

    def _page_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("sizes", "stride", "start", "maxSide")}

    def _fallback(self) -> str:
        mask = self._mask()
        batch = self._batch().mask
        canvas = (batch.shape[1], batch.shape[2])
        panels = "".join(
            _panel_svg(index, (height, width), canvas, picture, SIDE / self.maxSide)
            for index, ((height, width), picture) in enumerate(zip(self.sizes, self.pictures, strict=True))
        )
        unit = "pixels" if self.stride == 1 else f"cells at stride {self.stride}"
        status = (
            f"Canvas: {canvas[0]} × {canvas[1]} pixels. {self.padding_share() * 100:.1f} % of the batch is "
            f"padding. Each mask has {mask.shape[1]} × {mask.shape[2]} {unit}."
        )
        chips = "".join(
            '<span class="dw-chip">'
            + ("" if stride == 1 else '<span class="dw-swatch"></span>')
            + f"<span>{'pixels' if stride == 1 else f'stride {stride}'}</span></span>"
            for stride in STRIDES
        )
        return (
            '<div class="dw pde"><div class="dw-body">'
            '<div class="pde-controls pde-asleep" aria-hidden="true">'
            f'<fieldset class="dw-chips"><legend>Mask of</legend>{chips}</fieldset>'
            '<button type="button" class="dw-button" tabindex="-1">Reset</button></div>'
            f'<div class="pde-panels">{panels}</div><p class="pde-status">{escape(status)}</p>'
            f"{self._table(canvas, mask)}"
            '<p class="dw-muted pde-key">Hatched: padding. The pictures can be resized by hand where scripts '
            "are on, and the mask of every feature map is drawn.</p></div></div>"
        )

    def _table(self, canvas: Size, mask: Tensor) -> str:
        ratios = valid_ratios([mask])[:, 0].tolist()
        rows = ""
        for index, (height, width) in enumerate(self.sizes):
            sets = [
                name
                for name, own, whole in (("height", height, canvas[0]), ("width", width, canvas[1]))
                if own == whole
            ]
            cells = (int((~mask[index]).any(1).sum()), int((~mask[index]).any(0).sum()))
            texts = (
                "both" if len(sets) == 2 else "".join(sets) or "–",
                canvas[1] - width,
                canvas[0] - height,
                f"{cells[0]} × {cells[1]}",
                *(f"{ratio:.3f}" for ratio in ratios[index]),
            )
            rows += (
                f'<tr><th scope="row">{index}</th>' + "".join(f"<td>{text}</td>" for text in texts) + "</tr>"
            )
        head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
        return (
            '<table class="dw-table pde-table"><caption>Padding in pixels, and what the mask leaves</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def map_size(size: Size, stride: int) -> Size:
    """The cells of a feature map: each halving rounds up, as the padded convolutions of the backbone do."""
    height, width = size
    while stride > 1:
        height, width, stride = -(-height // 2), -(-width // 2), stride // 2
    return height, width


def _shrunk(image: Tensor, longest: int) -> Tensor:
    scale = longest / max(image.shape[1:])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[2] * scale)))
    return interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _panel_svg(index: int, size: Size, canvas: Size, picture: str, unit: float) -> str:
    """A panel in the place and size of the live one."""
    (height, width), (canvas_height, canvas_width) = (
        tuple(side * unit for side in sides) for sides in (size, canvas)
    )
    box = f"{-RIM} {-RIM} {SIDE + 2 * RIM} {SIDE + 2 * RIM}"
    return (
        f'<figure class="pde-panel"><figcaption>Picture {index}: {size[0]} × {size[1]}</figcaption>'
        f'<svg class="pde-stage" viewBox="{box}" role="img" '
        f'aria-label="Picture {index} on the canvas of the batch">'
        f'<rect class="pde-field" width="{SIDE}" height="{SIDE}"/>'
        f'<rect class="dw-hatch-ground" width="{canvas_width:.6g}" height="{canvas_height:.6g}"/>'
        f'<image href="{picture}" width="{width:.6g}" height="{height:.6g}" '
        'preserveAspectRatio="xMidYMid slice"/>'
        f'<rect class="pde-frame" width="{canvas_width:.6g}" height="{canvas_height:.6g}"/></svg></figure>'
    )


@styled
def _figure(images: Sequence[Tensor], sizes: list, canvas: Size, mask: Tensor, stride: int) -> Figure:
    """Every picture on its canvas, with the cells of its mask."""
    figure, grid = new_figure(3.6 * len(images), 3.6, columns=len(images), image_format="jpeg")
    rows, columns = mask.shape[1:]
    cell_height, cell_width = canvas[0] / rows, canvas[1] / columns
    color = LEVEL_COLORS[max(STRIDES.index(stride) - 1, 0)]
    for index, (axes, image, (height, width)) in enumerate(zip(grid[0], images, sizes, strict=True)):
        hatched = Rectangle((0, 0), canvas[1], canvas[0], facecolor=PADDING_COLOR, zorder=-1)
        axes.add_patch(hatched)
        hatched.set(hatch="///", edgecolor="#BDBDBD", linewidth=0)
        draw_picture(axes, cut_to_size(image, (height, width)))
        axes.images[-1].set_extent((0, width, height, 0))
        valid_rows, valid_columns = int((~mask[index]).any(1).sum()), int((~mask[index]).any(0).sum())
        for x, y, w, h in (
            (valid_columns, 0, columns - valid_columns, rows),
            (0, valid_rows, valid_columns, rows - valid_rows),
        ):
            axes.add_patch(
                Rectangle(
                    (x * cell_width, y * cell_height),
                    w * cell_width,
                    h * cell_height,
                    color="#57606a",
                    alpha=0.55,
                    linewidth=0,
                )
            )
        if stride > 1:
            lines = {"color": color, "linewidth": 0.7}
            axes.vlines([i * cell_width for i in range(columns + 1)], 0, canvas[0], **lines)
            axes.hlines([i * cell_height for i in range(rows + 1)], 0, canvas[1], **lines)
        axes.set_xlim(-0.01 * canvas[1], canvas[1] * 1.01)
        axes.set_ylim(canvas[0] * 1.01, -0.01 * canvas[0])
        axes.set_title(f"picture {index}: {height} x {width}")
    return figure
