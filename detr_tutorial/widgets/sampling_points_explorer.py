"""Where one query of a deformable attention looks, on the photograph and on every level.

Taught in notebooks/11_sampling_offsets.ipynb and notebooks/12_grid_sample_attention.ipynb.
"""

from typing import Any

import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from detr_tutorial.deformable_attention import MSDeformAttn
from detr_tutorial.features import FlattenedFeatures
from detr_tutorial.widgets import _picture, _scene
from detr_tutorial.widgets._book_widget import BookWidget
from detr_tutorial.widgets._packing import pack
from detr_tutorial.widgets._scene import ALL


class SamplingPointsExplorer(BookWidget, bundle="sampling_points_explorer"):
    """Move a query over a photograph and see where each head samples, what it reads and how it is added up.

    With a kernel, moving the query runs `attention` again in Python. On a page without one, the widget draws
    records that were computed when it was made, and everything else is computed by the page. A value shown
    belongs to the weights that `attention` had when the widget was made: make a new one after training.

    Args:
        attention: the module to look into; its records are drawn as they are.
        flattened: tokens (B, S, C), positions, mask, spatial shapes and valid ratios of a batch. Queries are
            the tokens plus their positions, values are the tokens, references are the encoder's.
        image: the photograph, (3, H, W) in [0, 1], before padding.
        image_index: which image of the batch it is.
        query_level: the level on whose grid the query moves; 0 is the finest.
    Attributes:
        query: flat index of the query among the S tokens; starts in the middle of the photograph.
        head: the head that is drawn, -1 for all.
        level: the level that is drawn, -1 for all.
        record: what the attention gave for `query`: packed locations (M, L, K, 2) and weights (M, L, K).
    Raises:
        TypeError, ValueError: if an argument is not what is described above, the arguments do not fit
            together, or the page would grow past 250 KB.
    Source: figures 6 and 8 of Deformable DETR (arXiv 2010.04159) draw the same points; taught in
        notebooks/11_sampling_offsets.ipynb and notebooks/12_grid_sample_attention.ipynb.
    """

    query = traitlets.Int(0, help="Flat index of the query among the tokens.").tag(sync=True)
    head = traitlets.Int(ALL, help="The head that is drawn, -1 for all.").tag(sync=True)
    level = traitlets.Int(ALL, help="The level that is drawn, -1 for all.").tag(sync=True)
    record = traitlets.Dict(help="Packed locations and weights of the query.").tag(sync=True)
    scene = traitlets.Dict(help="The part of the picture that never changes.").tag(sync=True)

    def __init__(
        self,
        attention: MSDeformAttn,
        flattened: FlattenedFeatures,
        image: Tensor,
        image_index: int = 0,
        query_level: int = 1,
    ) -> None:
        self._inputs = _scene.check_inputs(attention, flattened, image, image_index, query_level)
        tokens = _scene.grid_tokens(self._inputs)
        middle = int(tokens[len(tokens) // 2, tokens.shape[1] // 2])
        super().__init__(
            query=middle,
            scene={**_scene.build_scene(self._inputs), "photo": _scene.photo_uri(image), "query": middle},
            record=self._record(middle),
        )

    def _record(self, query: int) -> dict[str, Any]:
        record = _scene.query_record(self._inputs, query)
        return {
            "query": query,
            "locations": pack(record.locations, "float32"),
            "weights": pack(record.weights, "float32"),
        }

    @traitlets.validate("query", "head", "level")
    def _in_range(self, proposal: dict[str, Any]) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, count = {
            "query": (0, self._inputs.flattened.tokens.shape[1]),
            "head": (ALL, self._inputs.attention.num_heads),
            "level": (ALL, self._inputs.attention.num_levels),
        }[name]
        if not low <= value < count:
            raise traitlets.TraitError(f"{name}={value} is outside {low} to {count - 1}")
        return value

    @traitlets.observe("query")
    def _recompute(self, change: dict[str, Any]) -> None:
        if self.record.get("query") != change["new"]:
            self.record = self._record(change["new"])

    def figure(self) -> Figure:
        """Draw the same picture with matplotlib, for print: photograph and levels of the present query."""
        return _picture.explorer_figure(self._inputs, self.query, self.head, self.level)

    def __repr__(self) -> str:
        return f"SamplingPointsExplorer(query={self.query}, head={self.head}, level={self.level})"

    def _page_state(self) -> dict[str, Any]:
        state = {name: getattr(self, name) for name in ("query", "head", "level", "record")}
        # the photograph travels once, in the picture that is shown without scripts
        return {**state, "scene": {name: part for name, part in self.scene.items() if name != "photo"}}

    def _fallback(self) -> str:
        return _picture.explorer_svg(self._inputs, self.query, self.head, self.level, self.scene["photo"])
