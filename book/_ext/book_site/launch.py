"""Where a chapter can be run besides on its page."""

from urllib.parse import urlsplit

from sphinx.application import Sphinx


def colab_address(app: Sphinx, source: str) -> str:
    """Return where Colab opens a notebook of the repository, or nothing while the book has none."""
    repository = app.config.book_repository or {}
    name = urlsplit(repository.get("url") or "").path.strip("/")
    branch = repository.get("branch") or "main"
    return f"https://colab.research.google.com/github/{name}/blob/{branch}/{source}" if name else ""


def setup(app: Sphinx) -> None:
    app.add_config_value("book_repository", {}, "html")
