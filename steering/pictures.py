"""Pictures of what happened: words' attention over a picture, satisfaction over the steps, and verdicts with boxes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageColor, ImageDraw, ImageFont
from torch import Tensor

from .judge import Found, Verdict
from .relations import Box
from .report import Report

if TYPE_CHECKING:
    from .train import Curve

# One a word and one a wish, over and over; web/steering.js has the wishes' too.
WORDS = ("#ff9f1c", "#35b6ff", "#e05cff", "#4ddb6d", "#ff5c5c", "#ffe14d")
WISHES = ("#2fbf71", "#b18cff", "#ff8552", "#00b8d4", "#d4a600", "#f06595")
BACKGROUND, FRAME, TEXT, FAINT, STEERED = "#1f2023", "#4a4c52", "#e8e8ea", "#9a9ca3", "#2a2d33"
RIGHT, WRONG = "#2fbf71", "#ff5c5c"
LEAST = 512  # px, the longer side of a picture with verdicts, whose words must be readable


def relative(maps: Tensor) -> Tensor:
    """Maps (words, R, R), each from 0 at its median and below to 1 at its highest."""
    above = (maps - maps.flatten(1).median(1).values[:, None, None]).clamp_min(0)
    return above / above.amax((1, 2), keepdim=True).clamp_min(1e-12)


def overlay(picture: Image.Image, maps: Tensor, names: list[str], first: int = 0) -> Image.Image:
    """The picture, dimmed, under each word's attention in the word's colour, with its name at the brightest place.

    maps: (words, R, R) of at least 0; words without a name are left out; first: the first word's colour.
    """
    seen = picture.convert("RGB")
    result = Image.blend(seen.convert("L").convert("RGB"), seen, 0.6).point(lambda v: 0.6 * v)
    named = [word for word, name in enumerate(names) if name]
    smooth = F.avg_pool2d(maps.float(), 3, 1, 1, count_include_pad=False)  # single cells are noise
    shares = 0.85 * relative(smooth[named]) ** 1.5
    shares = shares / (shares.sum(0) / 0.85).clamp_min(1)  # where words overlap, their colours mix
    left = 1 - shares.sum(0)  # of what lies below
    for word, share in zip(named, shares, strict=True):
        left = left + share
        mask = Image.fromarray((share / left * 255).round().to(torch.uint8).numpy())
        sheet = Image.new("RGB", seen.size, WORDS[(first + word) % len(WORDS)])
        result.paste(sheet, mask=mask.resize(seen.size, Image.Resampling.BICUBIC))
    draw, size = ImageDraw.Draw(result), max(11, seen.height // 16)
    taken: list[tuple] = []
    rows, columns = maps.shape[1:]
    for word in named:
        peak = int(smooth[word].flatten().argmax())
        x = (peak % columns + 0.5) / columns * seen.width
        y = (peak // columns + 0.5) / rows * seen.height
        colour = WORDS[(first + word) % len(WORDS)]
        text = _drawable(names[word], word)
        taken.append(_label(draw, (x, y), text, colour, size, taken, seen.size))
    return result


def _drawable(name: str, word: int) -> str:
    """Pillow's own font has Latin letters only: words of other scripts are numbered."""
    return name if name.encode("latin-1", "ignore").decode("latin-1") == name else f"{word + 1}"


def _label(draw, at, text: str, colour: str, size: int, taken: list[tuple], picture) -> tuple:
    """A name in a box of the word's colour, near `at`, inside the picture and off the boxes that are there."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = draw.textbbox((0, 0), text, font, anchor="mm")
    wide, high = (right - left) / 2 + size / 3, (bottom - top) / 2 + size / 4
    x = min(max(at[0], wide), max(picture[0] - wide, wide))
    y = min(max(at[1], high), max(picture[1] - high, high))
    for other in taken:
        if x - wide < other[2] and x + wide > other[0] and y - high < other[3] and y + high > other[1]:
            below = other[3] + high + 2
            y = below if below + high <= picture[1] else other[1] - high - 2
    box = (x - wide, y - high, x + wide, y + high)
    draw.rounded_rectangle(box, size / 4, colour)
    draw.text((x, y), text, "black", font, anchor="mm")
    return box


def chart(report: Report, picture: int = 0, size: tuple[int, int] = (640, 480)) -> Image.Image:
    """One picture of a batch: each wish's satisfaction over the sampling steps, before and after every steered one."""
    scale, (width, height) = 2, size  # drawn twice as large, for smooth lines
    sheet = Image.new("RGB", (width * scale, height * scale), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(21 * scale)  # readable on a node, which shows it at half its size
    left, top, right, line = 56, 20, 20, 32
    bottom = 56 + line * max(1, len(report.wishes))
    across, down = width - left - right, height - top - bottom

    def place(step: float, satisfaction: float) -> tuple[float, float]:
        x = left + across * step / max(1, report.steps)
        return x * scale, (top + down * (1 - satisfaction)) * scale

    steered = report.steered
    if len(steered):
        draw.rectangle((*place(steered.start, 1), *place(steered.stop, 0)), STEERED)
    for level in (0.0, 0.5, 1.0):
        draw.line([place(0, level), place(report.steps, level)], FRAME, scale)
        x, y = place(0, level)
        draw.text((x - 10 * scale, y), f"{level:g}", FAINT, font, anchor="rm")
    for step in sorted({0, steered.start, steered.stop, report.steps}):
        x, y = place(step, 0)
        draw.text((x, y + 18 * scale), str(step), FAINT, font, anchor="mm")
    y = place(0, report.target)[1]
    for x in range(left, width - right, 12):
        draw.line([(x * scale, y), ((x + 6) * scale, y)], TEXT, scale)
    for wish, name in enumerate(report.wishes):
        colour = WISHES[wish % len(WISHES)]
        points = [
            place(seen.step + late, float(score.satisfaction[picture, wish]))
            for seen in report.seen
            for late, score in ((0, seen.before), (0.5, seen.after))
        ]
        if len(points) > 1:
            draw.line(points, colour, 3 * scale, "curve")
        for x, y in points[1::2]:
            draw.circle((x, y), 4 * scale, colour)
        text = name.replace(" | ", " ")
        if report.seen:
            text += f"   {float(report.seen[-1].after.satisfaction[picture, wish]):.2f}"
        y = (height - bottom + 58 + line * wish) * scale
        draw.line([(left * scale, y), ((left + 24) * scale, y)], colour, 4 * scale)
        draw.text(((left + 34) * scale, y), text, TEXT, font, anchor="lm")
    if not report.seen:
        draw.text(place(report.steps / 2, 0.75), "Not steered", FAINT, font, anchor="mm")
    return sheet.resize(size, Image.Resampling.LANCZOS)


def judged(picture: Image.Image, found: Sequence[Found], verdicts: Sequence[Verdict]) -> Image.Image:
    """The picture with the boxes of all that was found, and below it a line a wish. Green is right, red is wrong, grey
    was not judged."""
    scale = max(1, LEAST // max(picture.size))
    width, height = (side * scale for side in picture.size)
    size = max(width, height) // 22
    sheet = Image.new("RGB", (width, height + round(1.6 * size * len(verdicts))), BACKGROUND)
    sheet.paste(picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS), (0, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size)
    taken: list[tuple] = []
    for number, thing in enumerate(found):
        colour = _colour([verdict.granted for verdict in verdicts if thing in verdict.things])
        left, top, right, bottom = (side * scale for side in thing.box)
        draw.rectangle((left, top, right, bottom), outline=colour, width=max(2, size // 6))
        name = f"{_drawable(thing.name, number)} {thing.confidence:.2f}"
        taken.append(_label(draw, (left, top), name, colour, size, taken, (width, height)))
    for number, verdict in enumerate(verdicts):
        y = height + (0.8 + 1.6 * number) * size
        draw.circle((size, y), 0.4 * size, _colour([verdict.granted]))
        draw.text((2 * size, y), _drawable(verdict.reason, number), TEXT, font, anchor="lm")
    return sheet


def boxed(picture: Image.Image, found: Sequence[Found]) -> Image.Image:
    """The picture with its things' boxes and names, each thing in a colour of its own."""
    scale = max(1, LEAST // max(picture.size))
    sheet = picture.convert("RGB").resize([side * scale for side in picture.size], Image.Resampling.LANCZOS)
    draw, size = ImageDraw.Draw(sheet), max(sheet.size) // 28
    taken: list[tuple] = []
    for number, thing in enumerate(found):
        colour = WORDS[number % len(WORDS)]
        left, top, right, bottom = (side * scale for side in thing.box)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=max(2, size // 6))
        taken.append(_label(draw, (left, top), _drawable(thing.name, number), colour, size, taken, sheet.size))
    return sheet


def planned(places: Sequence[Box], names: Sequence[str], size: tuple[int, int]) -> Image.Image:
    """Places, in shares of the picture's sides, as areas of their words' colours."""
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    taken: list[tuple] = []
    scaled = [tuple(edge * size[at % 2] for at, edge in enumerate(place)) for place in places]
    large_first = sorted(enumerate(scaled), key=lambda one: -(one[1][2] - one[1][0]) * (one[1][3] - one[1][1]))
    for word, (left, top, right, bottom) in large_first:
        colour = WORDS[word % len(WORDS)]
        dimmed = tuple(round(0.4 * share) for share in ImageColor.getrgb(colour))
        draw.rectangle((left, top, right - 1, bottom - 1), dimmed, colour, max(2, max(size) // 128))
    for word, (left, top, right, bottom) in enumerate(scaled):
        middle, name = ((left + right) / 2, (top + bottom) / 2), _drawable(names[word], word)
        taken.append(_label(draw, middle, name, WORDS[word % len(WORDS)], max(11, size[1] // 16), taken, size))
    return sheet


def _colour(granted: list[bool | None]) -> str:
    return WRONG if False in granted else RIGHT if True in granted else FAINT


def bars(scores: list[float], chosen: range, size: tuple[int, int] = (640, 320)) -> Image.Image:
    """A bar a layer, from 0 to 1, counted from 1 below them; the chosen ones (from 0) in colour."""
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    left, right, top, bottom = 44, size[0] - 16, 16, size[1] - 36
    _levels(draw, font, (left, top, right, bottom))
    width = (right - left) / len(scores)
    for layer, score in enumerate(scores):
        x, y = left + layer * width, bottom - max(0.0, min(1.0, score)) * (bottom - top)
        colour = WISHES[0] if layer in chosen else FAINT
        draw.rectangle((x + 0.1 * width, min(y, bottom - 1), x + 0.9 * width, bottom), colour)
    for layer in sorted({0, chosen.start, chosen.stop - 1, len(scores) - 1}):
        draw.text((left + (layer + 0.5) * width, bottom + 16), str(layer + 1), FAINT, font, anchor="mm")
    return sheet


def _levels(draw, font, area: Box) -> None:
    """Lines at 0, a half and 1, from the area's bottom to its top."""
    left, top, right, bottom = area
    for level in (0.0, 0.5, 1.0):
        y = bottom - level * (bottom - top)
        draw.line([(left, y), (right, y)], FRAME)
        draw.text((left - 8, y), f"{level:g}", FAINT, font, anchor="rm")


def learning(curve: "Curve", steps: int, size: tuple[int, int] = (640, 400)) -> Image.Image:
    """How a training went: what it read rightly, from 0 to 1, and its loss beside its highest, over the steps."""
    sheet = Image.new("RGB", size, BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    left, right, top, bottom = 44, size[0] - 20, 16, size[1] - 116
    _levels(draw, font, (left, top, right, bottom))
    for step in (0, steps):
        draw.text((left + (right - left) * step / steps, bottom + 16), str(step), FAINT, font, anchor="mm")
    highest = max([*curve.learnt, *curve.checked, 1e-9])
    lines = (
        ("read rightly under true prompts", curve.true, 1.0),
        ("read rightly under wrong prompts", curve.wrong, 1.0),
        ("loss, learnt with", curve.learnt, highest),
        ("loss, on looks not learnt from", curve.checked, highest),
    )
    for number, (name, values, most) in enumerate(lines):
        colour, y = WISHES[number], bottom + 38 + 20 * number
        points = [
            (left + (right - left) * step / steps, bottom - value / most * (bottom - top))
            for step, value in zip(curve.steps, values, strict=True)
            if value == value  # no look of that kind: nothing to draw
        ]
        if len(points) > 1:
            draw.line(points, colour, 2, "curve")
        draw.line([(left, y), (left + 24, y)], colour, 4)
        last = f"   {values[-1]:.2f}" if values else ""
        draw.text((left + 34, y), name + last, TEXT, font, anchor="lm")
    return sheet


def as_images(pictures: list[Image.Image]) -> Tensor:
    """Pictures of one size -> the host's IMAGE, (B, H, W, 3) in 0..1."""
    return torch.stack([torch.from_numpy(np.array(p.convert("RGB"))) for p in pictures]) / 255


def as_pictures(images: Tensor) -> list[Image.Image]:
    """The host's IMAGE, (B, H, W, channels) in 0..1 -> pictures."""
    images = images[..., :3].clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return [Image.fromarray(image.numpy()) for image in images]
