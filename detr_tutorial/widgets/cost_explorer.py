"""Memory and work of dense and of deformable attention, for an image, levels, points and queries.

Taught in notebooks/06_cost_of_dense_attention.ipynb.
"""

import math
from collections.abc import Sequence
from typing import Any

import traitlets
from matplotlib.figure import Figure

from detr_tutorial._validation import require_divisible, require_int, require_list
from detr_tutorial.complexity import STRIDES, AttentionCost, layer_costs, level_shapes
from detr_tutorial.plots._style import LEVEL_COLORS
from detr_tutorial.plots.chapter_06 import growth
from detr_tutorial.widgets._book_widget import BookWidget

# As in js/src/cost/
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 250, 48, 18, 10, 34
SIDES, SIDE_TICKS, SAMPLES = (128, 2048), (128, 256, 512, 1024, 2048), 49
MEMORY, MEMORY_TICKS = (2**12, 2**43), ((2**20, "1 MiB"), (2**30, "1 GiB"), (2**40, "1 TiB"))
WORK, WORK_TICKS = (4e5, 2e14), ((1e6, "1 M"), (1e9, "1 G"), (1e12, "1 T"))
COLUMNS = ("one layer", "project", "predict", "read", "all", "held")
KINDS = ("dense", "deformable")
PARTS = {"encoder": "encoder", "decoder": "decoder_cross"}
MOST_POINTS, MOST_QUERIES = 16, 1000
Number = int | float  # the tests check types exactly as they are written
Ticks = Sequence[tuple[Number, str]]


class CostExplorer(BookWidget, bundle="cost_explorer"):
    """Change the image, the levels, the points and the queries, and see what one layer of attention costs.

    Nothing is computed in Python while the reader plays; the formulas are those of `complexity`.

    Args:
        height: shorter side of the image at the start, in pixels.
        width: longer side; the shape of the image stays while its size changes.
        strides: of the levels, out of 8, 16, 32, 64.
        num_queries: object queries of the decoder.
        num_points: points K for each head and level.
        d_model: channels C.
        num_heads: heads M.
    Attributes:
        height: shorter side, in pixels, 128 to 2048.
        strides: of the levels, ascending.
        points: K, 1 to 16.
        queries: 1 to 1000.
        part: "encoder" or "decoder" (from object queries to tokens).
    Raises:
        TypeError, ValueError: if an argument is not what is described above.
    Source: Deformable DETR (arXiv 2010.04159), sections 3 and 4.1; taught in
        notebooks/06_cost_of_dense_attention.ipynb.
    """

    height = traitlets.Int(800, min=SIDES[0], max=SIDES[1], help="Shorter side, pixels.").tag(sync=True)
    strides = traitlets.List(help="Strides of the levels, ascending.").tag(sync=True)
    points = traitlets.Int(4, min=1, max=MOST_POINTS, help="Points K.").tag(sync=True)
    queries = traitlets.Int(300, min=1, max=MOST_QUERIES, help="Object queries.").tag(sync=True)
    part = traitlets.Enum(tuple(PARTS), "encoder", help="Encoder or decoder.").tag(sync=True)
    ratio = traitlets.Float(help="Width of the image over its height.").tag(sync=True)
    channels = traitlets.Int(256, help="Channels C.").tag(sync=True)
    heads = traitlets.Int(8, help="Heads M.").tag(sync=True)

    def __init__(
        self,
        height: int = 800,
        width: int = 1066,
        strides: Sequence[int] = STRIDES,
        num_queries: int = 300,
        num_points: int = 4,
        d_model: int = 256,
        num_heads: int = 8,
    ) -> None:
        for name, value, low, high in (
            ("height", height, *SIDES),
            ("num_queries", num_queries, 1, MOST_QUERIES),
            ("num_points", num_points, 1, MOST_POINTS),
        ):
            if require_int(name, value, low) > high:
                raise ValueError(f"{name} must be at most {high}, got {value}")
        require_int("width", width)
        if width < height:
            raise ValueError(
                f"width={width} must not be smaller than height={height}: the height is what grows"
            )
        require_divisible(
            "d_model", require_int("d_model", d_model), "num_heads", require_int("num_heads", num_heads)
        )
        chosen = require_list("strides", strides, "ints")
        if chosen != [stride for stride in STRIDES if stride in chosen]:
            raise ValueError(f"strides must be out of {STRIDES}, ascending, got {tuple(chosen)}")
        super().__init__(
            height=height,
            ratio=width / height,
            strides=chosen,
            queries=num_queries,
            points=num_points,
            channels=d_model,
            heads=num_heads,
        )

    @traitlets.validate("strides")
    def _known_strides(self, proposal: dict[str, Any]) -> list[int]:
        value = proposal["value"]
        if not value or value != [stride for stride in STRIDES if stride in value]:
            raise traitlets.TraitError(f"strides must be out of {STRIDES}, ascending, got {value}")
        return value

    def costs(self, height: int | None = None) -> dict[str, AttentionCost]:
        """The costs of one layer by "dense" and "deformable", at `height` or at the chosen one."""
        shorter = self.height if height is None else height
        shapes = level_shapes(shorter, math.floor(shorter * self.ratio + 0.5), self.strides)
        sizes = (self.queries, self.channels, self.heads, self.points)
        both = {
            "dense": layer_costs(shapes, "dense", *sizes),
            "deformable": layer_costs(shapes, "deformable", *sizes),
        }
        return {kind: getattr(layer, PARTS[self.part]) for kind, layer in both.items()}

    def figure(self) -> Figure:
        """Draw the same charts with matplotlib, for print."""
        sides = list(range(SIDES[0], SIDES[1] + 1, 64))
        along = [self.costs(side) for side in sides]
        memory = {kind: [cost[kind].held_bytes / 2**30 for cost in along] for kind in KINDS}
        work = {kind: [cost[kind].multiply_adds / 1e9 for cost in along] for kind in KINDS}
        panels = [("GiB held by a layer", memory), ("billion multiply-adds of a layer", work)]
        return growth(sides, panels, xlabel="shorter side of the image, pixels")

    def __repr__(self) -> str:
        state = f"height={self.height}, strides={tuple(self.strides)}, points={self.points}"
        return f"CostExplorer({state}, queries={self.queries}, part={self.part!r})"

    def _page_state(self) -> dict[str, Any]:
        names = ("height", "ratio", "strides", "points", "queries", "part", "channels", "heads")
        return {name: getattr(self, name) for name in names}

    def _fallback(self) -> str:
        costs = self.costs()
        width = math.floor(self.height * self.ratio + 0.5)
        chips = "".join(f'<span class="dw-chip"><span>{part}</span></span>' for part in PARTS)
        levels = "".join(
            f'<span class="dw-chip"><span class="dw-swatch" style="background:{color}"></span>'
            f"<span>{stride}</span></span>"
            for stride, color in zip(STRIDES, LEVEL_COLORS, strict=True)
        )
        sliders = "".join(
            f'<div class="dw-slider"><label>{name}</label><span class="dw-slider-value">0</span>'
            '<input type="range" tabindex="-1"></div>'
            for name in ("Image", "Points K", "Queries")
        )
        rows = ""
        for kind, cost in costs.items():
            amounts = (cost.projections, cost.predictions, cost.reading, cost.multiply_adds)
            texts = [*(_with_unit(amount, 1000, " KMGTP") for amount in amounts), bytes_text(cost.held_bytes)]
            rows += f'<tr><th scope="row"><span class="ce-key ce-key-{kind}"></span><span>{kind}</span></th>'
            rows += "".join(f"<td>{text}</td>" for text in texts) + "</tr>"
        head = "".join(f'<th scope="col">{column}</th>' for column in COLUMNS)
        charts = self._chart("Memory held by one layer", MEMORY, MEMORY_TICKS, "held_bytes")
        charts += self._chart("Multiply-adds of one layer", WORK, WORK_TICKS, "multiply_adds")
        status = (
            f"Dense attention in one {self.part} layer holds {bytes_text(costs['dense'].held_bytes)} for "
            f"{self.height} × {width} pixels. The sizes can be changed by hand where scripts are on."
        )
        return (
            '<div class="dw ce"><div class="dw-body">'
            '<div class="ce-choices ce-asleep" aria-hidden="true">'
            f'<fieldset class="dw-chips"><legend>In the</legend>{chips}</fieldset>'
            f'<fieldset class="dw-chips"><legend>Strides</legend>{levels}</fieldset></div>'
            f'<div class="ce-sliders ce-asleep" aria-hidden="true">{sliders}</div>'
            f'<div class="ce-panels">{charts}</div>'
            f'<table class="dw-table ce-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
            f'<p class="ce-status">{status}</p></div></div>'
        )

    def _chart(self, title: str, domain: tuple[Number, Number], ticks: Ticks, field: str) -> str:
        """A chart in the place and size of the live one."""
        low, high = SIDES
        sides = [round(low * (high / low) ** (i / (SAMPLES - 1))) for i in range(SAMPLES)]

        def x(side: Number) -> float:
            return LEFT + _share(side, SIDES) * (WIDTH - RIGHT - LEFT)

        def y(value: Number) -> float:
            return HEIGHT - BOTTOM + _share(value, domain) * (TOP - HEIGHT + BOTTOM)

        parts = []
        for side in SIDE_TICKS:
            parts.append(f'<path class="ce-grid" d="M{x(side):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
            place = f'x="{x(side):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle"'
            parts.append(f'<text class="ce-tick" {place}>{side}</text>')
        for value, text in ticks:
            parts.append(f'<path class="ce-grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
            place = f'x="{LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end"'
            parts.append(f'<text class="ce-tick" {place}>{text}</text>')
        along = [self.costs(side) for side in sides]
        for kind in KINDS:
            line = "L".join(
                f"{x(side):.1f} {y(getattr(costs[kind], field)):.1f}"
                for side, costs in zip(sides, along, strict=True)
            )
            parts.append(f'<path class="ce-line ce-{kind}" d="M{line}"/>')
        label = f"{title}, dense and deformable, over the side of the image"
        return (
            f'<figure class="ce-panel"><figcaption>{title}</figcaption><svg class="ce-chart" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
        )


def bytes_text(number: Number) -> str:
    """Bytes with three digits and a unit, such as "9.46 GiB"."""
    return _with_unit(number, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def _with_unit(number: Number, base: int, units: Sequence[str]) -> str:
    step = 0
    while number >= 999.5 and step < len(units) - 1:
        number, step = number / base, step + 1
    text = str(math.floor(number + 0.5)) if number >= 100 else f"{float(f'{number:.3g}'):g}"
    return f"{text} {units[step]}".strip()


def _share(value: Number, limits: tuple[Number, Number]) -> float:
    """Where a value lies between two limits on a logarithmic axis, in [0, 1]."""
    low, high = limits
    return math.log(min(max(value, low), high) / low) / math.log(high / low)
