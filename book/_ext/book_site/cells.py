"""Folded notebook cells and admonitions as plain <details> elements that say what they hold."""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx

DEFAULTS = {"content": "Code", "source": "Code", "output": "Output", "outputs": "Output"}


def name_folds(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give every fold its name: the cell's own prompt, else its place and tags."""
    cells = [node for node in doctree.findall(nodes.container) if node.get("nb_element") == "cell_code"]
    for position, cell in enumerate(cells):
        for fold in cell.children:
            if not isinstance(fold, HideCodeCellNode):
                continue
            prompt = str(fold["prompt_show"])
            for kind, default in DEFAULTS.items():
                if prompt == f"Show code cell {kind}":
                    prompt = "Solution" if "tag_solution" in cell["classes"] else default
                    if position == 0:
                        prompt = "Setup"
            fold["summary"] = prompt
            fold["kind"] = "solution" if "tag_solution" in cell["classes"] else "fold"


def visit_hidden(self, node: HideCodeCellNode) -> None:
    classes = " ".join([node.get("kind", "fold"), *node["classes"]])
    summary = node.get("summary", node["prompt_show"])
    self.body.append(f'<details class="{classes}">\n<summary>{escape(summary)}</summary>\n')


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
    for admonition in list(doctree.findall(nodes.Element)):
        if not isinstance(admonition, nodes.Admonition) or "dropdown" not in admonition["classes"]:
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
    app.connect("doctree-resolved", name_folds)
    app.connect("doctree-resolved", fold_dropdowns)
