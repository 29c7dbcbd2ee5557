"""A widget of the package in the middle of a page of text.

    ```{widget} trained_points_on_shapes
    :name: fig-front

    A caption, which says what there is to see and to try.
    ```

The name is that of a function below, which makes the widget's HTML while the page is read. It is what stands
below a notebook's cell too: the live widget, with a picture of the same size in its place until the scripts
have run, and for good where there are none. The package is imported only where it is used: most books that
are built with this extension, such as those of its tests, do not need it.
"""

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def trained_points_on_shapes() -> str:
    """What the shipped detector finds in a picture that it has never seen, and where it looks for it."""
    from detr_tutorial.checkpoints import load_pretrained
    from detr_tutorial.data.shapes import CLASSES, ShapesDataset
    from detr_tutorial.deformable_detr import DeformableDETR
    from detr_tutorial.training import HELD_OUT_SEED
    from detr_tutorial.widgets import TrainedPointsExplorer

    image, _ = ShapesDataset(36, seed=HELD_OUT_SEED)[35]
    model = load_pretrained("deformable_detr_shapes")
    assert isinstance(model, DeformableDETR)
    return TrainedPointsExplorer(model, image, CLASSES)._repr_html_()


WIDGETS = {function.__name__: function for function in (trained_points_on_shapes,)}


class WidgetDirective(SphinxDirective):
    """A numbered figure whose picture is a widget."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in WIDGETS:
            raise self.error(f"there is no widget {name!r}; there are: {', '.join(sorted(WIDGETS))}")
        if not self.content:
            raise self.error(f"the widget {name!r} needs a caption that says what there is to see")
        live = nodes.raw("", WIDGETS[name](), format="html")
        picture = nodes.container("", live, classes=["output", "text_html"], is_div=True)
        figure = nodes.figure("", picture, classes=["page-widget"])
        self.set_source_info(figure)
        caption, messages = self.parse_inline(" ".join(self.content), lineno=self.content_offset)
        figure += nodes.caption("", "", *caption)
        self.add_name(figure)
        return [figure, *messages]


def setup(app: Sphinx) -> None:
    app.add_directive("widget", WidgetDirective)
