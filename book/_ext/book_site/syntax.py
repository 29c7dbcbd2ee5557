"""One stylesheet for code in both themes; every token has at least 4.5:1 contrast on the code background."""

import re
from typing import ClassVar

from pygments.style import Style
from pygments.token import (
    Comment,
    Error,
    Generic,
    Keyword,
    Literal,
    Name,
    Number,
    Operator,
    String,
    Token,
)
from sphinx.application import Sphinx

from .generated import static_folder

# token: (light, dark), on #f6f7f9 and #14181f
PALETTE = {
    Token: ("#1f2630", "#dde3ec"),
    Comment: ("italic #5a6572", "italic #98a4b3"),
    Keyword: ("#8a2f7f", "#dd9bd5"),
    Keyword.Constant: ("#0b5cad", "#7cc0f5"),
    Operator: ("#444d59", "#b7c1ce"),
    Operator.Word: ("#8a2f7f", "#dd9bd5"),
    Name.Function: ("#0a5a9c", "#79c0ff"),
    Name.Class: ("#0a5a9c", "#79c0ff"),
    Name.Decorator: ("#7a5200", "#e8b95b"),
    Name.Builtin: ("#00665a", "#63d3b8"),
    Name.Builtin.Pseudo: ("#00665a", "#63d3b8"),
    Name.Exception: ("#a3330f", "#ff9e80"),
    String: ("#23682b", "#9bd39a"),
    String.Doc: ("italic #5a6572", "italic #98a4b3"),
    String.Interpol: ("#7a5200", "#e8b95b"),
    String.Escape: ("#7a5200", "#e8b95b"),
    Number: ("#a3330f", "#ffab85"),
    Literal: ("#a3330f", "#ffab85"),
    Generic.Deleted: ("#a3330f", "#ff9e80"),
    Generic.Inserted: ("#23682b", "#9bd39a"),
    Generic.Error: ("#a3330f", "#ff9e80"),
    Generic.Prompt: ("#5a6572", "#98a4b3"),
    Error: ("#a3330f", "#ff9e80"),
}


class LightStyle(Style):
    background_color = "#f6f7f9"
    styles: ClassVar = {token: light for token, (light, _) in PALETTE.items()}


class DarkStyle(Style):
    background_color = "#14181f"
    styles: ClassVar = {token: dark for token, (_, dark) in PALETTE.items()}


def rules(style: type[Style]) -> dict[str, tuple[str, bool]]:
    """Return {short class name: (color, italic)} of every token that is styled."""
    from pygments.token import STANDARD_TYPES

    found = {}
    for token, short in STANDARD_TYPES.items():
        look = style.style_for_token(token)
        if look["color"]:
            found[short] = ("#" + look["color"], bool(look["italic"]))
    return found


def stylesheet() -> str:
    light, dark = rules(LightStyle), rules(DarkStyle)
    groups: dict[str, list[str]] = {}
    for short, (color, italic) in light.items():
        if not short:
            continue
        look = f"color:light-dark({color},{dark[short][0]})" + (";font-style:italic" if italic else "")
        groups.setdefault(look, []).append(f".highlight .{short}")
    base = ".highlight{color:light-dark(#1f2630,#dde3ec)}\n"
    return base + "\n".join(",".join(names) + "{" + look + "}" for look, names in groups.items()) + "\n"


UNBROKEN = re.compile(r'<span class="pre">([^<]*)</span>')
PLAIN = re.compile(r'<span class="(?:n|p|w)">([^<]*)</span>')


def without_plain_spans(body: str) -> str:
    """Return the body without spans around names, punctuation and space, which look like the rest anyway.

    They are more than half of what a page of code weighs.
    """
    return PLAIN.sub(r"\1", UNBROKEN.sub(r"\1", body))


def write_style(app: Sphinx) -> None:
    if app.builder.format == "html":
        (static_folder(app) / "code.css").write_text(stylesheet(), encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("builder-inited", write_style)
