"""The picture that stands for a page where its link is shared: the title, and the page's first figure."""

import hashlib
from pathlib import Path
from urllib.parse import unquote

import matplotlib
from docutils import nodes
from PIL import Image, ImageDraw, ImageFont
from sphinx.application import Sphinx

SIZE = (1200, 630)
MOST_BYTES = 100_000
INK, SOFT, LINE = "#1f2328", "#57606a", "#d0d7de"
MARGIN = 56
FRONT = Path(__file__).resolve().parents[2] / "_static" / "front.webp"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
# The mark of the book, as in theme/icons.html: circles of a 32 x 32 drawing, and a cross.
CIRCLES = [(6, 8, 4, "#0072B2"), (25, 6, 3, "#E69F00"), (26, 24, 4.5, "#CC79A7"), (7, 25, 2.5, "#009E73")]


def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf"), size)


def draw_mark(draw: ImageDraw.ImageDraw, x: float, y: float, side: float) -> None:
    unit = side / 32
    for cx, cy, r, color in CIRCLES:
        draw.ellipse(
            [x + (cx - r) * unit, y + (cy - r) * unit, x + (cx + r) * unit, y + (cy + r) * unit], fill=color
        )
    for left, top, right, bottom in [(11, 14.5, 21, 17.5), (14.5, 11, 17.5, 21)]:
        box = [x + left * unit, y + top * unit, x + right * unit, y + bottom * unit]
        draw.rectangle(box, fill="#009E73")


def first_figure(app: Sphinx, doctree: nodes.document | None) -> tuple[Path, str] | None:
    """Return the file and the alternative text of a page's first picture, if it has one."""
    files = {name: Path(app.srcdir, source) for source, name in app.builder.images.items()}
    for image in doctree.findall(nodes.image) if doctree is not None else ():
        file = files.get(unquote(image["uri"]).rsplit("/", 1)[-1])
        if file is not None and file.suffix in (".png", ".jpg", ".jpeg", ".webp"):
            return file, image.get("alt", "")
    return None


def wrap(text: str, face: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return the text in lines that are at most that many pixels wide, where its words allow."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def draw_card(book: str, number: str, title: str, figure: Path) -> Image.Image:
    """Return the picture of a page: its title beside its figure, or above a wide one."""
    card = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(card)
    draw_mark(draw, MARGIN, 32, 48)
    draw.text((MARGIN + 64, 56), book, font=font(26, bold=True), fill=INK, anchor="lm")
    if number:
        draw.text((SIZE[0] - MARGIN, 56), f"Chapter {number}", font=font(26), fill=SOFT, anchor="rm")
    draw.line([(0, 104), (SIZE[0], 104)], fill=LINE, width=2)

    with Image.open(figure) as opened:
        picture = opened.convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    face = font(50, bold=True)
    if picture.width > 1.8 * picture.height:
        lines = wrap(title, face, SIZE[0] - 2 * MARGIN)
        left, top, width = MARGIN, 144 + 62 * len(lines), SIZE[0] - 2 * MARGIN
        y = 124
    else:
        lines = wrap(title, face, 430)
        if max(face.getlength(line) for line in lines) > 430:  # one long word
            face = font(43, bold=True)
        left, top, width = 516, 128, SIZE[0] - 516 - MARGIN // 2
        y = (SIZE[1] + 104 - 62 * len(lines)) // 2
    for line in lines:
        draw.text((MARGIN, y), line, font=face, fill=INK)
        y += 62
    height = SIZE[1] - top - 24
    scale = min(width / picture.width, height / picture.height)
    size = (round(picture.width * scale), round(picture.height * scale))
    place = (left + (width - size[0]) // 2, top + (height - size[1]) // 2)
    card.paste(picture.resize(size, Image.Resampling.LANCZOS), place)
    return card


def save_card(card: Image.Image, file: Path) -> None:
    """Save as JPEG, at the best quality that stays below 100 KB."""
    for quality in range(85, 20, -10):
        card.save(file, "JPEG", quality=quality, optimize=True)
        if file.stat().st_size < MOST_BYTES:
            return
    raise ValueError(f"the picture {file.name} does not fit into {MOST_BYTES} bytes")


def write_card(app: Sphinx, docname: str, number: str, title: str, figure: Path | None) -> str:
    """Write the picture of a page into the site, drawn anew only when it changed; return its place there."""
    figure = figure or FRONT
    content = [Path(__file__).read_bytes(), str(app.config.html_title).encode(), number.encode()]
    content += [title.encode(), figure.read_bytes()]
    kept = Path(app.doctreedir) / "cards" / f"{hashlib.sha256(bytes(1).join(content)).hexdigest()[:24]}.jpg"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_card(draw_card(str(app.config.html_title), number, title, figure), kept)
    place = f"cards/{docname.replace('/', '-')}.jpg"
    file = Path(app.outdir) / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(kept.read_bytes())
    return place
