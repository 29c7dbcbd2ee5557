"""Folded notebook cells and admonitions as plain <details> elements that say what they hold."""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx

SUMMARIES = {
    "tag_solution": "Solution",
    "tag_setup": "Setup: imports and seed",
}
DEFAULTS = {"content": "Code", "source": "Code", "output": "Output", "outputs": "Output"}


def summary_of(node: HideCodeCellNode) -> str:
    """Return what the fold is called: the cell's own prompt, else what its tags say."""
    prompt = str(node["prompt_show"])
    for kind, default in DEFAULTS.items():
        if prompt == f"Show code cell {kind}":
            classes = node.parent["classes"] if node.parent is not None else []
            return next((text for tag, text in SUMMARIES.items() if tag in classes), default)
    return prompt


def visit_hidden(self, node: HideCodeCellNode) -> None:
    summary = summary_of(node)
    kind = "solution" if summary == "Solution" else "fold"
    self.body.append(f'<details class="{kind} {" ".join(node["classes"])}">\n')
    self.body.append(f"<summary>{escape(summary)}</summary>\n")


def depart_hidden(self, node: HideCodeCellNode) -> None:
    self.body.append("</details>\n")


class Dropdown(nodes.Element):
    """An admonition with the class `dropdown`."""


def visit_dropdown(self, node: Dropdown) -> None:
    self.body.append(self.starttag(node, "details", CLASS="fold admonition"))
    self.body.append(f"<summary>{escape(node['summary'])}</summary>\n")


def depart_dropdown(self, node: Dropdown) -> None:
    self.body.append("</details>\n")


def fold_dropdowns(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if app.builder.format != "html":
        return
    for admonition in list(doctree.findall(nodes.Admonition)):
        if not isinstance(admonition, nodes.Element) or "dropdown" not in admonition["classes"]:
            continue
        children = list(admonition.children)
        title = children.pop(0).astext() if children and isinstance(children[0], nodes.title) else "More"
        classes = [name for name in admonition["classes"] if name != "dropdown"]
        admonition.replace_self(
            Dropdown("", *children, summary=title, classes=classes, ids=admonition["ids"])
        )


def setup(app: Sphinx) -> None:
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden, depart_hidden))
    app.add_node(Dropdown, html=(visit_dropdown, depart_dropdown))
    app.connect("doctree-resolved", fold_dropdowns)
