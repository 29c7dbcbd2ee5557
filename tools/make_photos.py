"""Make the photographs in detr_tutorial/data/photos from scikit-image's bundled images.

Run once, with scikit-image installed: python tools/make_photos.py. The package does not need it.
Sources and licenses are those given in scikit-image's docstrings (skimage.data.coffee and so on).
"""

import json
from pathlib import Path

import skimage.data  # pyright: ignore[reportMissingImports]
from PIL import Image

FOLDER = Path(__file__).parent.parent / "detr_tutorial" / "data" / "photos"
MAX_BYTES = 150 * 1024

# name: (image, crop as (left, top, right, bottom) or None, title, author, source, license)
PHOTOS = {
    "coffee": (
        skimage.data.coffee,
        None,
        "Coffee cup, courtesy of Pikolo Espresso Bar",
        "Rachel Michetti",
        "scikit-image, skimage.data.coffee",
        "CC0",
    ),
    "astronaut": (
        skimage.data.astronaut,
        (20, 0, 420, 512),
        "Eileen Collins, astronaut (cropped to a portrait)",
        "NASA",
        "scikit-image, skimage.data.astronaut; NASA Great Images, https://flic.kr/p/r9qvLn",
        "Public domain",
    ),
    "cat": (
        skimage.data.chelsea,
        None,
        "Chelsea the cat",
        "Stefan van der Walt",
        "scikit-image, skimage.data.chelsea",
        "CC0",
    ),
    "galaxies": (
        skimage.data.hubble_deep_field,
        (0, 120, 900, 720),
        "Hubble eXtreme Deep Field (cropped)",
        "NASA",
        "scikit-image, skimage.data.hubble_deep_field; "
        "HubbleSite, http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        "Public domain",
    ),
}


def main() -> None:
    entries = []
    for name, (image, crop, title, author, source, license_name) in PHOTOS.items():
        picture = Image.fromarray(image()).crop(crop) if crop else Image.fromarray(image())
        path = FOLDER / f"{name}.jpg"
        for quality in range(92, 40, -2):
            picture.save(path, quality=quality, optimize=True)
            if path.stat().st_size <= MAX_BYTES:
                break
        entry = {"name": name, "file": path.name, "title": title, "author": author}
        entries.append(entry | {"source": source, "license": license_name})
        print(name, picture.size, f"quality {quality}", f"{path.stat().st_size} bytes")
    (FOLDER / "credits.json").write_text(json.dumps(entries, indent=2) + "\n")
    rows = [
        f"| `{c['file']}` | {c['title']} | {c['author']} | {c['source']} | {c['license']} |" for c in entries
    ]
    (FOLDER / "CREDITS.md").write_text(
        "# Photographs\n\nMade by `tools/make_photos.py`. Anyone may use, change and share them.\n\n"
        "| file | picture | author | source | license |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
