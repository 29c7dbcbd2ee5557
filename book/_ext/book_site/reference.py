"""The API reference, from the docstrings and signatures in the source of the package.

Signatures are shown as they are written, with shapes: `Float[Tensor, "B Q C"]`. Docstrings are turned into
what Sphinx reads: chapters and papers become links, names of the package too.
"""

import ast
import inspect
import re
import textwrap
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

PACKAGE = "detr_tutorial"
CHAPTER = re.compile(r"notebooks/(\d\d)_\w+\.ipynb")
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
QUOTED = re.compile(r"(?<![`:])`([^`]+)`(?!`)")
FIELD = re.compile(r"\s+(\w+): [^#]*?(?:#\s*(.*))?$")


def source_of(documented: Any) -> ast.AST | None:
    """Return the definition of a function or class as it is written, or None where there is none."""
    try:
        lines, _ = inspect.getsourcelines(inspect.unwrap(documented))
        return ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None


def written_signature(function: ast.FunctionDef, drop_first: bool) -> tuple[str, str | None]:
    """Return arguments and result of a function as strings that Sphinx can parse."""
    arguments = function.args
    if drop_first:
        arguments.args = arguments.args[1:]
    result = ast.unparse(function.returns) if function.returns else None
    return f"({ast.unparse(arguments)})", result


def show_signature(app: Sphinx, what: str, name: str, documented: Any, options, signature, result):
    """Give a signature with the names of types as the source has them, not with their full paths."""
    if what in ("function", "method"):
        function = source_of(getattr(documented, "__func__", documented))
        if isinstance(function, ast.FunctionDef):
            is_static = any(ast.unparse(line) == "staticmethod" for line in function.decorator_list)
            return written_signature(function, drop_first=what == "method" and not is_static)
    if what == "class":
        start = documented.__dict__.get("__init__")
        function = source_of(start) if inspect.isfunction(start) else None
        if isinstance(function, ast.FunctionDef):
            return written_signature(function, drop_first=True)[0], None
        return "", None  # records and configurations list their fields below
    return None


def fields_of(record: type) -> list[str]:
    """Return the fields of a named tuple, each with the remark beside it, as a section of a docstring."""
    body = inspect.getsource(record).split('"""', 2)[-1]
    lines = []
    for line in body.splitlines():
        if match := FIELD.match(line):
            if match[1] not in getattr(record, "_fields", ()):
                continue
            kind = line.strip().removeprefix(f"{match[1]}: ").split("  #")[0].split(" = ")[0]
            lines.append(f"    {match[1]}: ``{kind}``" + (f" {match[2]}" if match[2] else ""))
    return ["", "Fields:", *lines] if lines else []


def is_record(documented: Any) -> bool:
    return inspect.isclass(documented) and issubclass(documented, tuple) and hasattr(documented, "_fields")


def read_docstring(app: Sphinx, what: str, name: str, documented: Any, options, lines: list[str]) -> None:
    if what == "class" and is_record(documented) and "Fields:" not in lines:
        lines += fields_of(documented)
    text = "\n".join(lines)
    text = re.sub(r"^(Source|Taught in)", r"\n\1", text, flags=re.M)
    text = re.sub(r"\|(?=\w)|(?<=\w)\|", r"\\|", text)
    text = QUOTED.sub(lambda quoted: linked(app, quoted[1]), text)
    text = CHAPTER.sub(r":chapter:`\1`", text)
    text = ARXIV.sub(r"`arXiv \1 <https://arxiv.org/abs/\1>`__", text)
    lines[:] = text.split("\n")


def linked(app: Sphinx, quoted: str) -> str:
    """Return a link to what is quoted when exactly one thing of the package has this name."""
    names = public_names(app)
    found = [full for full in names if full.endswith(f".{quoted}")]
    return f":py:obj:`{quoted} <{found[0]}>`" if len(found) == 1 else f"``{quoted}``"


def public_names(app: Sphinx) -> list[str]:
    """Return the full names of all public functions and classes in the modules of the reference."""
    if not hasattr(app, "book_public_names"):
        import importlib

        names = []
        for module_name in re.findall(r"automodule:: (\S+)", api_page(app)):
            module = importlib.import_module(module_name)
            names += [
                f"{module_name}.{key}"
                for key, value in vars(module).items()
                if not key.startswith("_")
                and (inspect.isfunction(value) or inspect.isclass(value))
                and value.__module__ == module_name
                and value.__doc__
            ]
        app.book_public_names = names  # type: ignore[attr-defined]
    return app.book_public_names  # type: ignore[attr-defined]


def api_page(app: Sphinx) -> str:
    with open(app.env.doc2path("book/api"), encoding="utf-8") as file:
        return file.read()


def skip_fields(app: Sphinx, what: str, name: str, documented: Any, skip: bool, options) -> bool | None:
    """Leave out the fields of named tuples, which are listed with their class, and what has no docstring."""
    return True if type(documented).__name__ == "_tuplegetter" else None


def configure(app: Sphinx, config: Config) -> None:
    # The types in signatures are those of other packages, or stand on the same page.
    config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, (r"py:(class|exc|data)", r".*")]
    config.autodoc_default_options = {"members": True, "member-order": "bysource"}
    config.napoleon_use_param = False  # type: ignore[attr-defined]
    config.napoleon_use_rtype = False  # type: ignore[attr-defined]
    config.napoleon_custom_sections = [("Fields", "params_style")]  # type: ignore[attr-defined]
    config.python_maximum_signature_line_length = 40  # type: ignore[attr-defined]
    config.python_display_short_literal_types = True  # type: ignore[attr-defined]
    config.add_module_names = False  # type: ignore[attr-defined]
    config.toc_object_entries = False


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("config-inited", configure)
    app.connect("autodoc-process-docstring", read_docstring, priority=300)  # before napoleon
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-skip-member", skip_fields)
