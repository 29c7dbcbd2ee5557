"""Every public docstring names the notebook that teaches it; every chapter names the module it teaches."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "detr_tutorial"
NOTEBOOKS = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}

# The module that each chapter teaches.
TEACHES = {
    "01_set_prediction": ["matching", "boxes"],
    "02_images_boxes_padding": ["padding", "boxes"],
    "03_backbone": ["backbone", "padding", "detr"],
    "04_position_encoding": ["position", "detr"],
    "05_detr": ["detr", "detections", "refinement"],
    "06_cost_of_dense_attention": ["complexity"],
    "07_deformable_convolution": ["sampling"],
    "08_feature_flattening": ["features"],
    "09_level_embeddings": ["features"],
    "10_reference_points": ["reference_points", "padding"],
    "11_sampling_offsets": ["deformable_attention", "reference_points"],
    "12_grid_sample_attention": ["deformable_attention"],
    "13_encoder": ["encoder", "deformable_detr"],
    "14_decoder": ["decoder", "deformable_detr"],
    "15_box_refinement": ["refinement", "decoder", "detections", "deformable_detr"],
    "16_two_stage": ["two_stage", "deformable_detr"],
    "17_matching_and_losses": ["matching", "losses", "detections", "detr"],
    "18_training": ["training", "data/shapes", "data/coco", "data/transforms"],
    "19_inference_and_evaluation": ["inference", "evaluation", "data/coco"],
    "20_sampling_points_on_images": ["checkpoints", "plots/recording", "data/sampling_statistics"],
}
TAUGHT = sorted({module for modules in TEACHES.values() for module in modules})
NOTEBOOK = re.compile(r"notebooks/(\d\d_\w+)\.ipynb")


def is_record(node: ast.stmt) -> bool:
    return isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "NamedTuple" for base in node.bases)


def public_definitions(module: str) -> list[tuple[str, str]]:
    """Return (name, docstring) of what a module makes public: its functions and classes.

    A record of plain fields is taught with its module: the docstring of the module counts as part of its own.
    """
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    about_module = ast.get_docstring(tree) or ""
    return [
        (node.name, (ast.get_docstring(node) or "") + (about_module if is_record(node) else ""))
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("module", [module for module in TAUGHT if (PACKAGE / f"{module}.py").exists()])
def test_every_public_docstring_names_its_notebook(module):
    for name, docstring in public_definitions(module):
        named = NOTEBOOK.findall(docstring)
        assert named, f"{module}.{name} does not say which notebook teaches it"
        for chapter in named:
            assert module in TEACHES.get(chapter, []), f"{module}.{name} names {chapter}"


@pytest.mark.parametrize("chapter", [chapter for chapter in TEACHES if f"{chapter}.ipynb" in NOTEBOOKS])
def test_every_chapter_names_and_imports_its_module(chapter):
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    main = TEACHES[chapter][0]
    assert re.search(rf"detr_tutorial[./]{main}", prose), f"the text does not name detr_tutorial.{main}"
    assert re.search(rf"detr_tutorial\.{main}\b|from detr_tutorial import\b", code)


def test_every_notebook_is_in_the_book():
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    for name in NOTEBOOKS:
        assert f"notebooks/{name.removesuffix('.ipynb')}" in toc
