"""Pack the built site into one zip that can be read from a folder, without a network or a server.

Usage: python tools/archive.py [SITE] [ZIP]

The same site gives the same bytes: names in order, no dates.
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "deformable-detr-book"
FOREVER = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can hold
PACKED_ALREADY = {".webp", ".jpg", ".png", ".woff2"}


def files_of(site: Path) -> list[Path]:
    """Return what readers need: everything but the builder's own hidden files."""
    files = (file for file in site.rglob("*") if file.is_file())
    return sorted(file for file in files if not any(p.startswith(".") for p in file.relative_to(site).parts))


def make_archive(site: Path, target: Path) -> int:
    """Write the zip, with all files in one folder; return how many there are."""
    files = files_of(site)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for file in files:
            entry = zipfile.ZipInfo(f"{NAME}/{file.relative_to(site).as_posix()}", FOREVER)
            entry.external_attr = 0o644 << 16
            packed = file.suffix.lower() in PACKED_ALREADY
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())
    return len(files)


def main() -> int:
    site = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "_build" / "html"
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "_build" / f"{NAME}.zip"
    if not (site / "index.html").exists():
        print("There is no site yet. Build it with: make book", file=sys.stderr)
        return 1
    count = make_archive(site, target)
    print(
        f"{target}: {count} files, {target.stat().st_size / 1e6:.1f} MB. Unpack it and open {NAME}/index.html"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
