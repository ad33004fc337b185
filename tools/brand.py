"""Draw the pictures that the registry shows of this pack: tools/icon.png and tools/banner.png.

    python tools/brand.py

The icon is a map of attention whose bright place is moved. The banner's two pictures are the demo model's own, cut out
of a workflow's thumbnail. pyproject.toml names both; they are no part of what is published.
"""

import math

from paths import ROOT, arguments
from PIL import Image, ImageDraw, ImageFont

THUMBNAIL = ROOT / "workflows" / "Steered against plain (emoji demo).jpg"
ICON = 400  # px, the most that the registry takes
BANNER = (1260, 540)  # px, 21:9
FINER = 4  # drawn so much larger first, for smooth edges
NIGHT, DUSK, PALE = "#1d1740", "#4a35a8", "#c9c2f2"
DARK, OLD, WARM, BRIGHT = "#372b7c", "#7c6be8", "#c4803a", "#ffc93c"
GREEN, RED = "#2e9e4f", "#d03a3a"


def ground(size: tuple[int, int]) -> Image.Image:
    """A soft gradient, dark at the lower left."""
    night, dusk = (tuple(bytes.fromhex(colour[1:])) for colour in (NIGHT, DUSK))
    small = Image.new("RGB", (64, 64))
    for x in range(64):
        for y in range(64):
            share = (x + 63 - y) / 126
            colour = (round(a + (b - a) * share) for a, b in zip(night, dusk, strict=True))
            small.putpixel((x, y), tuple(colour))
    return small.resize(size, Image.Resampling.BICUBIC)


def rounded(picture: Image.Image, radius: float) -> Image.Image:
    """With round corners; nothing lies outside of them."""
    large = Image.new("L", [side * FINER for side in picture.size])
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius * FINER, 255)
    picture = picture.convert("RGBA")
    picture.putalpha(large.resize(picture.size, Image.Resampling.LANCZOS))
    return picture


def arrow(draw: ImageDraw.ImageDraw, points: list, width: float, head: float) -> None:
    """A line through the points, with a head at the last of them."""
    for x, y in points:
        draw.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), "white")
    (x0, y0), (x1, y1) = points[-2:]
    angle = math.atan2(y1 - y0, x1 - x0)
    draw.polygon(
        [(x1 + head * math.cos(angle + turn), y1 + head * math.sin(angle + turn)) for turn in (0, 2.2, -2.2)], "white"
    )


def icon() -> Image.Image:
    """The bright place moves from where it was, at the lower right, to where it should be."""
    side = ICON * FINER
    sheet = ground((side, side))
    draw = ImageDraw.Draw(sheet)
    edge, gap = side * 0.11, side * 0.035
    cell = (side - 2 * edge - 2 * gap) / 3
    colours = {(0, 0): BRIGHT, (1, 0): WARM, (0, 1): WARM, (2, 2): OLD}
    for row in range(3):
        for column in range(3):
            x, y = edge + column * (cell + gap), edge + row * (cell + gap)
            colour = colours.get((column, row), DARK)
            draw.rounded_rectangle((x, y, x + cell, y + cell), cell * 0.24, colour)
    bend = [math.radians(degrees / 4) for degrees in range(4 * 62)]
    points = [(side * (0.40 + 0.37 * math.cos(a)), side * (0.78 - 0.37 * math.sin(a))) for a in bend]
    arrow(draw, points, side * 0.07, side * 0.12)
    return rounded(sheet.resize((ICON, ICON), Image.Resampling.LANCZOS), ICON * 0.18)


def verdict(right: bool) -> Image.Image:
    """A tick on green or a cross on red, 56 px."""
    side = 56 * FINER
    sheet = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(sheet)
    draw.ellipse((0, 0, side - 1, side - 1), GREEN if right else RED, "white", side // 14)
    strokes = (
        [((0.28, 0.53), (0.44, 0.68), (0.73, 0.35))]
        if right
        else [((0.32, 0.32), (0.68, 0.68)), ((0.68, 0.32), (0.32, 0.68))]
    )
    for stroke in strokes:
        draw.line([(side * x, side * y) for x, y in stroke], "white", side // 9, joint="curve")
    return sheet.resize((56, 56), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    """The name, and one prompt's picture without and with steering."""
    sheet = ground(BANNER)
    draw = ImageDraw.Draw(sheet)
    mark = icon().resize((104, 104), Image.Resampling.LANCZOS)
    sheet.paste(mark, (60, 92), mark)

    def write(x, y, text, size, colour, bold=0, anchor="lm"):
        font = ImageFont.load_default(size)
        draw.text((x, y), text, colour, font, anchor, stroke_width=bold, stroke_fill=colour)

    write(60, 258, "Learn-to-Steer", 74, "white", 2)
    write(60, 336, "Put things where", 40, PALE)
    write(60, 386, "the prompt says.", 40, PALE)

    side, top = 290, 92
    both = Image.open(THUMBNAIL).convert("RGB")
    half = both.width // 2
    for at, name in enumerate(("plain", "steered")):
        picture = both.crop((at * half, 0, (at + 1) * half, half))
        picture = picture.resize((128, 128), Image.Resampling.BOX)  # as the model drew it
        picture = rounded(picture.resize((side, side), Image.Resampling.LANCZOS), 22)
        x = 596 + at * (side + 28)
        sheet.paste(picture, (x, top), picture)
        tick = verdict(right=name == "steered")
        sheet.paste(tick, (x + side - 40, top - 16), tick)
        write(x + side / 2, top + side + 34, name, 32, "white", anchor="mm")
    prompt = "\u201ca giraffe above an airplane\u201d"
    write(596 + side + 14, top + side + 88, prompt, 30, PALE, anchor="mm")
    return sheet


def main(given: list[str] | None = None) -> None:
    folder = arguments(__doc__).parse_args(given).into / "tools"
    folder.mkdir(parents=True, exist_ok=True)
    icon().save(folder / "icon.png", optimize=True)
    banner().save(folder / "banner.png", optimize=True)


if __name__ == "__main__":
    main()
