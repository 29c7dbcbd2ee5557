"""A folder beside the site for static files that the build makes."""

from pathlib import Path

from sphinx.application import Sphinx


def static_folder(app: Sphinx) -> Path:
    """Return the folder of generated static files; Sphinx copies it to _static."""
    folder = Path(app.outdir).parent / "generated_static"
    folder.mkdir(parents=True, exist_ok=True)
    if str(folder) not in app.config.html_static_path:
        app.config.html_static_path.append(str(folder))
    return folder
