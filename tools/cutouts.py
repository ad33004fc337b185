"""Make the bundled cut-outs that scenes are composed of: steering/cutouts.

    python tools/cutouts.py NotoColorEmoji.ttf FLUENT_EMOJI_3D CLIP_ART STAMPS

writes one sheet a look and the names of what is on it. tools/cutouts.txt says which pictures are taken, a kind a line;
each was looked at. The sources are needed only to make the sheets again, which are committed: Debian's packages
fonts-noto-color-emoji (fonts/truetype/noto/NotoColorEmoji.ttf), openclipart-png (openclipart/png) and
tuxpaint-stamps-default (tuxpaint/stamps), and the folder assets of the npm package @lobehub/fluent-emoji-3d. Their
licences, which lie beside the sheets, are kept by hand.
"""

import json
from collections.abc import Callable
from pathlib import Path

from paths import ROOT, arguments
from PIL import Image, ImageDraw, ImageFont

CUTOUTS = Path("steering", "cutouts")
TABLE = ROOT / "tools" / "cutouts.txt"
SIDE = 136  # px, of a cell: what Noto's bitmaps have
COLUMNS = 16
VISIBLE = 64  # of 255: what is more transparent is no part of a thing, as a soft shadow
LOOKS = ("drawn", "rendered", "clipart", "photographed")


def table(text: str) -> dict[str, list[tuple[str, str]]]:
    """Of each look the kinds with their pictures, as the sources name these."""
    taken: dict[str, list[tuple[str, str]]] = {look: [] for look in LOOKS}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        kind, *cells = (cell.strip() for cell in line.split("|"))
        for look, cell in zip(LOOKS, cells, strict=False):
            taken[look] += [(kind, name.strip()) for name in cell.split(",") if name.strip()]
    return taken


def fitted(picture: Image.Image) -> Image.Image:
    """What is visible of the picture, as large as a cell."""
    picture = picture.convert("RGBA")
    picture = picture.crop(picture.getchannel("A").point(lambda alpha: 255 * (alpha >= VISIBLE)).getbbox())
    scale = SIDE / max(picture.size)
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.resize(size, Image.Resampling.LANCZOS)


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """A picture a cell, row by row, each in its cell's upper left corner."""
    made = Image.new("RGBA", (COLUMNS * SIDE, -(-len(pictures) // COLUMNS) * SIDE))
    for cell, picture in enumerate(pictures):
        made.paste(picture, (cell % COLUMNS * SIDE, cell // COLUMNS * SIDE))
    return made


def emoji(font: ImageFont.FreeTypeFont, code: str) -> Image.Image:
    glyph = Image.new("RGBA", (136, 128))
    ImageDraw.Draw(glyph).text((0, 0), chr(int(code, 16)), font=font, embedded_color=True)
    return glyph


def rendered(folder: Path, code: str) -> Image.Image:
    name = code.lower()
    path = folder / f"{name}.webp"
    return Image.open(path if path.exists() else folder / f"{name}-fe0f.webp")


def main(given: list[str] | None = None) -> None:
    parser = arguments(__doc__)
    for name in ("font", "fluent", "clipart", "stamps"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args(given)
    font = ImageFont.truetype(args.font, 109)  # the one size the bitmap font has
    opened: dict[str, Callable[[str], Image.Image]] = {
        "drawn": lambda code: emoji(font, code),
        "rendered": lambda code: rendered(args.fluent, code),
        "clipart": lambda name: Image.open(args.clipart / f"{name}.png"),
        "photographed": lambda name: Image.open(args.stamps / f"{name}.png"),
    }
    into = args.into / CUTOUTS
    names = {}
    for look, taken in table(TABLE.read_text()).items():
        (into / look).mkdir(parents=True, exist_ok=True)
        pictures = [fitted(opened[look](name)) for _, name in taken]
        sheet(pictures).save(into / look / "sheet.webp", quality=75, method=6)
        names[look] = [kind for kind, _ in taken]
    index = {"side": SIDE, "columns": COLUMNS, "names": names}
    (into / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
