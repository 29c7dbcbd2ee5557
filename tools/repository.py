"""Write the repository's address everywhere it must stand, or take it away again.

Usage: python tools/repository.py owner/name     (or: make repository REPO=owner/name)
       python tools/repository.py ""             (or: make repository REPO=)

The address itself stands in _config.yml. The notebooks' first cell, CITATION.cff, pyproject.toml, README and
the page on citing follow it. The branch or tag that Colab opens and installs is `branch` in _config.yml:
after a change of it, run this again. A site at an address of its own keeps it: `baseurl` in _config.yml.

Needs nothing but Python, so that it works before anything is installed.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}(?<!\.git)")
GITHUB = "https://github.com/"
# A block that this tool writes: a line that says so, the text, and a line that ends it.
BLOCK = re.compile(
    r"^(\S{1,4} repository: written by make repository.*\n)(?:.*\n)*?(?=\S{1,4} end of repository)", re.M
)


class Address(NamedTuple):
    """Where the project is: `repository` is owner/name or empty, `site` the address of the built pages."""

    repository: str
    branch: str
    site: str

    @property
    def url(self) -> str:
        return GITHUB + self.repository if self.repository else ""


def pages_site(repository: str) -> str:
    """Return the address that GitHub gives to the pages of owner/name."""
    if not repository:
        return ""
    owner, name = repository.split("/")
    host = f"{owner.lower()}.github.io"
    return f"https://{host}/" if name.lower() == host else f"https://{host}/{name}/"


def config_value(config: str, key: str) -> str:
    match = re.search(rf'^  {key}: "?([^"\n]*)"?$', config, flags=re.M)
    if match is None:
        raise SystemExit(f"_config.yml has no line with {key}")
    return match[1]


def address_in(root: Path) -> Address:
    """Return the address that _config.yml holds."""
    config = (root / "_config.yml").read_text(encoding="utf-8")
    repository = config_value(config, "url").removeprefix(GITHUB)
    return Address(repository, config_value(config, "branch"), config_value(config, "baseurl"))


def bootstrap_source(address: Address) -> str:
    """Return the code of the notebooks' first cell, which does nothing where the package is there."""
    lines = [
        "# @title Install the book's package where it is missing, as in Colab",
        "from importlib.util import find_spec",
        "",
        'if find_spec("detr_tutorial") is None:',
    ]
    if address.repository:
        package = f"detr-tutorial @ git+{address.url}@{address.branch}"
        lines += [
            "    get_ipython().run_line_magic(",
            '        "pip",',
            f"        'install -q \"{package}\"',",
            "    )",
        ]
    else:
        lines += [
            "    raise ModuleNotFoundError(",
            '        "detr_tutorial is not installed here: open this notebook with make lab, or first run "',
            "        \"%pip install FOLDER, with the book's folder, or git+ADDRESS, with its repository's\"",
            "    )",
        ]
    return "\n".join(lines)


def bootstrap_cell(number: str, address: Address) -> dict[str, Any]:
    """Return the first code cell of a chapter's notebook: folded in JupyterLab and Colab, not on the page."""
    return {
        "cell_type": "code",
        "execution_count": 1,
        "id": f"ch{number}-bootstrap",
        "metadata": {
            "cellView": "form",
            "jupyter": {"source_hidden": True},
            "tags": ["bootstrap", "remove-cell"],
        },
        "outputs": [],
        "source": bootstrap_source(address).splitlines(keepends=True),
    }


def with_bootstrap(text: str, number: str, address: Address) -> str:
    """Return a notebook's text with its bootstrap cell as it must be, before every other code cell."""
    notebook = json.loads(text)
    cell = bootstrap_cell(number, address)
    cells = [other for other in notebook["cells"] if other["id"] != cell["id"]]
    first = next((i for i, other in enumerate(cells) if other["cell_type"] == "code"), len(cells))
    notebook["cells"] = [*cells[:first], cell, *cells[first:]]
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def with_config(text: str, address: Address) -> str:
    text = re.sub(r"^  url: .*$", f'  url: "{address.url}"', text, count=1, flags=re.M)
    return re.sub(r"^  baseurl: .*$", f'  baseurl: "{address.site}"', text, count=1, flags=re.M)


def with_block(text: str, lines: list[str]) -> str:
    new, count = BLOCK.subn(lambda block: block[1] + "".join(line + "\n" for line in lines), text)
    if count != 1:
        raise SystemExit(f"expected one block 'repository: written by make repository', found {count}")
    return new


def with_citation(text: str, address: Address) -> str:
    lines = [f'repository-code: "{address.url}"', f'url: "{address.site}"']
    return with_block(text, lines if address.repository else [])


def with_project_urls(text: str, address: Address) -> str:
    lines = [
        "[project.urls]",
        f'Documentation = "{address.site}"',
        f'Repository = "{address.url}"',
        f'Issues = "{address.url}/issues"',
        f'Changelog = "{address.url}/blob/{address.branch}/CHANGELOG.md"',
    ]
    return with_block(text, lines if address.repository else [])


def with_links(text: str, address: Address) -> str:
    workflows = f"{address.url}/actions/workflows"
    lines = [
        f"**[Read the book]({address.site})**",
        f"· [![test]({workflows}/test.yml/badge.svg)]({workflows}/test.yml)",
    ]
    return with_block(text, lines if address.repository else [])


def with_entry(text: str, address: Address) -> str:
    """Return the page on citing with the site's address in the book's own BibTeX entry."""
    text = re.sub(r"(@software\{.*?)(  url +=[^\n]*\n)(?=.*?^\}$)", r"\1", text, flags=re.M | re.S)
    line = f"  url     = {{{address.site}}},\n" if address.repository else ""
    return re.sub(r"(@software\{[^`]*?)(^\}$)", lambda m: m[1] + line + m[2], text, count=1, flags=re.M)


PLACES = {
    "_config.yml": with_config,
    "CITATION.cff": with_citation,
    "pyproject.toml": with_project_urls,
    "README.md": with_links,
    "book/citing.md": with_entry,
}


def write_address(root: Path, repository: str) -> list[str]:
    """Make every place name this repository ("" for none); return the files that changed."""
    old = address_in(root)
    derived = old.site in ("", pages_site(old.repository))
    new = Address(repository, old.branch, pages_site(repository) if derived else old.site)
    texts = {root / place: change for place, change in PLACES.items()}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        number = path.name.split("_")[0]
        texts[path] = lambda text, address, number=number: with_bootstrap(text, number, address)
    changed = []
    for path, change in texts.items():
        before = path.read_text(encoding="utf-8")
        after = change(before, new)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path.relative_to(root).as_posix())
    return changed


def main() -> int:
    if len(sys.argv) != 2:
        print("Say which repository: make repository REPO=owner/name (REPO= for none)", file=sys.stderr)
        return 2
    repository = sys.argv[1].strip()
    if repository and not NAME.fullmatch(repository):
        print(f"REPO must be owner/name, as in octocat/hello-world; got {repository!r}", file=sys.stderr)
        return 2
    changed = write_address(ROOT, repository)
    print(f"{repository or 'No repository'}: {len(changed)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
