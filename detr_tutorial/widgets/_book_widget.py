"""What every widget of the book does besides its own: be shown live by Jupyter, and as HTML by a page."""

from pathlib import Path
from typing import Any

import anywidget

from detr_tutorial.widgets._static_page import static_only, widget_html

STATIC = Path(__file__).parent / "static"


class BookWidget(anywidget.AnyWidget):
    """A widget that also lives on a page without a kernel.

    A subclass names its bundle (`class MyWidget(BookWidget, bundle="my_widget")`, as in js/build.mjs). It
    says with `_page_state` what its front-end starts from, and with `_fallback` what is shown where scripts
    are off.
    """

    _bundle: tuple[Path, Path]

    def __init_subclass__(cls, *, bundle: str | None = None, **kwargs: Any) -> None:
        if bundle is not None:  # traitlets makes subclasses of its own
            cls._esm, cls._css = cls._bundle = (STATIC / f"{bundle}.js", STATIC / f"{bundle}.css")
        super().__init_subclass__(**kwargs)

    def _page_state(self) -> dict[str, Any]:
        """The state that the page's model holds at the start; JSON types only."""
        raise NotImplementedError

    def _fallback(self) -> str:
        """HTML of the size of the live widget, with a root of class "dw"."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return widget_html(type(self).__name__, self._page_state(), self._fallback(), *self._bundle)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data: dict[str, Any] = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if static_only():
            return data, {}
        live, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**live, **data}, metadata
