"""Cut the emoji of the demo world out of Noto Color Emoji and write them as one sheet.

    python demo/sprites.py /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf

writes demo/sprites.png (SIL Open Font License 1.1, see demo/weights/README.md). The font is Debian's package
fonts-noto-color-emoji; it is needed only to make the sheet again, which is committed.
"""

from pathlib import Path

import paths
from PIL import Image, ImageDraw, ImageFont

SHEET = paths.ROOT / "demo" / "sprites.png"
CELL = 80  # px, one square a kind
CODEPOINTS = {
    "dog": 0x1F415, "cat": 0x1F408, "teddy bear": 0x1F9F8, "giraffe": 0x1F992, "airplane": 0x2708,
    "bus": 0x1F68C, "elephant": 0x1F418, "zebra": 0x1F993, "toothbrush": 0x1FAA5, "bicycle": 0x1F6B2,
    "car": 0x1F697, "boat": 0x26F5, "horse": 0x1F40E, "cow": 0x1F404, "sheep": 0x1F411,
    "bird": 0x1F426, "banana": 0x1F34C, "apple": 0x1F34E, "pizza": 0x1F355, "cake": 0x1F382,
    "chair": 0x1FA91, "clock": 0x23F0, "book": 0x1F4D5, "umbrella": 0x2602, "laptop": 0x1F4BB,
}  # fmt: skip


def main(given: list[str] | None = None) -> None:
    parser = paths.arguments(__doc__)
    parser.add_argument("font", type=Path)
    args = parser.parse_args(given)
    font = ImageFont.truetype(args.font, 109)  # the one size the bitmap font has
    sheet = Image.new("RGBA", (CELL * len(CODEPOINTS), CELL))
    for column, code in enumerate(CODEPOINTS.values()):
        glyph = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(glyph).text((0, 0), chr(code), font=font, embedded_color=True)
        glyph = glyph.crop(glyph.getbbox())
        scale = CELL / max(glyph.size)
        glyph = glyph.resize([max(1, round(side * scale)) for side in glyph.size], Image.LANCZOS)
        sheet.paste(glyph, (column * CELL + (CELL - glyph.width) // 2, (CELL - glyph.height) // 2))
    path = args.into / SHEET.relative_to(paths.ROOT)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
