"""Pictures of what happened: words' attention in colours over a picture, and probabilities over the steps."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..steering.guidance import Report

# One a word and one a relation, over and over; told apart by colour-blind eyes too.
WORDS = ("#ff9f1c", "#35b6ff", "#e05cff", "#4ddb6d", "#ff5c5c", "#ffe14d")
RELATIONS = ("#2fbf71", "#b18cff", "#ff8552", "#00b8d4", "#d4a600", "#f06595")
BACKGROUND, FRAME, TEXT, FAINT, STEERED = "#1f2023", "#4a4c52", "#e8e8ea", "#9a9ca3", "#2a2d33"


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32)


def relative(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (words, R, R) at a picture's size (height, width), each from 0 at its median to 1 at its highest."""
    middle = maps.flatten(1).median(1).values[:, None, None]
    large = F.interpolate((maps - middle)[None], size, mode="bicubic", align_corners=False)[0]
    return large.clamp_min(0) / large.amax((1, 2), keepdim=True).clamp_min(1e-12)


def overlay(picture: Image.Image, maps: Tensor, names: list[str], first: int = 0) -> Image.Image:
    """The picture, dimmed, under each word's attention in the word's colour, with its name at the brightest place.

    maps: (words, R, R) of at least 0; words without a name are left out; first: the first word's colour.
    """
    width, height = picture.size
    seen = np.asarray(picture.convert("RGB"), np.float32)
    ground = 0.35 * seen + 0.25 * seen.mean(-1, keepdims=True)
    weights = relative(maps.float(), (height, width)).numpy()
    labels, covered, colours = [], np.zeros((height, width, 1), np.float32), np.zeros_like(ground)
    for word, (name, weight) in enumerate(zip(names, weights, strict=True)):
        if not name:
            continue
        weight, colour = 0.8 * weight[..., None], WORDS[(first + word) % len(WORDS)]
        covered += weight
        colours += weight * rgb(colour)
        labels.append((word, name, colour))
    cover = np.minimum(covered, 0.8)  # where words overlap, their colours mix
    mixed = ground * (1 - cover) + colours * cover / np.maximum(covered, 1e-6)
    result = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
    draw, size, taken = ImageDraw.Draw(result), max(11, height // 16), []
    for word, name, colour in labels:
        peak = int(maps[word].flatten().argmax())
        rows, columns = maps.shape[1:]
        at = ((peak % columns + 0.5) / columns * width, (peak // columns + 0.5) / rows * height)
        taken.append(_label(draw, at, _drawable(name, word), colour, size, taken, result.size))
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
        if (
            x - wide < other[2]
            and x + wide > other[0]
            and y - high < other[3]
            and y + high > other[1]
        ):
            y = other[3] + high if other[3] + 2 * high <= picture[1] else other[1] - high
    box = (x - wide, y - high, x + wide, y + high)
    draw.rounded_rectangle(box, size / 4, colour)
    draw.text((x, y), text, "black", font, anchor="mm")
    return box


def chart(report: Report, picture: int = 0, size: tuple[int, int] = (768, 432)) -> Image.Image:
    """Each relation's probability over the sampling steps, before and after every look, for one picture of a batch."""
    scale, (width, height) = 2, size  # drawn twice as large, for smooth lines
    sheet = Image.new("RGB", (width * scale, height * scale), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16 * scale)
    left, top, right, line = 56, 20, 20, 24
    bottom = 44 + line * max(1, len(report.relations))
    across, down = width - left - right, height - top - bottom

    def place(step: float, probability: float) -> tuple[float, float]:
        x = left + across * step / max(1, report.steps)
        return x * scale, (top + down * (1 - probability)) * scale

    steered = report.steered
    if len(steered):
        draw.rectangle((*place(steered.start, 1), *place(steered.stop, 0)), STEERED)
    for level in (0.0, 0.5, 1.0):
        draw.line([place(0, level), place(report.steps, level)], FRAME, scale)
        x, y = place(0, level)
        draw.text((x - 10 * scale, y), f"{level:g}", FAINT, font, anchor="rm")
    for step in sorted({0, steered.start, steered.stop, report.steps}):
        x, y = place(step, 0)
        draw.text((x, y + 14 * scale), str(step), FAINT, font, anchor="mm")
    y = place(0, report.target)[1]
    for x in range(left, width - right, 12):
        draw.line([(x * scale, y), ((x + 6) * scale, y)], TEXT, scale)
    for relation, name in enumerate(report.relations):
        colour = RELATIONS[relation % len(RELATIONS)]
        points = [
            place(look.step + late, float(probabilities[picture, relation]))
            for look in report.looks
            for late, probabilities in ((0, look.before), (0.5, look.after))
        ]
        if len(points) > 1:
            draw.line(points, colour, 3 * scale, "curve")
        for x, y in points[1::2]:
            draw.circle((x, y), 4 * scale, colour)
        text = name.replace(" | ", " ")
        if report.looks:
            text += f"   {float(report.looks[-1].after[picture, relation]):.2f}"
        y = (height - bottom + 44 + line * relation) * scale
        draw.line([(left * scale, y), ((left + 24) * scale, y)], colour, 4 * scale)
        draw.text(((left + 34) * scale, y), text, TEXT, font, anchor="lm")
    if not report.looks:
        draw.text(place(report.steps / 2, 0.75), "Not steered", FAINT, font, anchor="mm")
    return sheet.resize(size, Image.Resampling.LANCZOS)


def as_images(pictures: list[Image.Image]) -> Tensor:
    """Pictures of one size -> the host's IMAGE, (B, H, W, 3) in 0..1."""
    return torch.stack([torch.from_numpy(np.array(p.convert("RGB"))) for p in pictures]) / 255


def as_pictures(images: Tensor) -> list[Image.Image]:
    """The host's IMAGE, (B, H, W, channels) in 0..1 -> pictures."""
    images = images[..., :3].clamp(0, 1).mul(255).round().to("cpu", torch.uint8)
    return [Image.fromarray(image.numpy()) for image in images]
