"""What is printed on, laid on and left on a film: text, letters, arrows, rulers, dust, hairs and scratches."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .anatomy import open_curve

WORDS = ("AP", "PA", "PORTABLE", "SUPINE", "ERECT", "SITTING", "CHEST", "MOBILE", "BEDSIDE", "INSP", "ICU", "WARD")
LETTERS = np.array(list("ABCDEFGHIJKLMNOPRSTUVWZ"))


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font at `size` pixels."""
    return ImageFont.load_default(size)


def words(rng: np.random.Generator) -> str:
    """One line of text as it is burnt into films: a position, a date, a time, a number or a name."""
    kind = rng.integers(5)
    if kind == 0:
        return str(rng.choice(WORDS))
    if kind == 1:
        day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1970, 2030)
        return f"{year}-{month:02d}-{day:02d}" if rng.random() < 0.5 else f"{day:02d}.{month:02d}.{year}"
    if kind == 2:
        return f"{rng.integers(24):02d}:{rng.integers(60):02d}"
    if kind == 3:
        return str(rng.integers(10**3, 10**8))
    return "".join(rng.choice(LETTERS, rng.integers(3, 9))) + ", " + str(rng.choice(LETTERS))


def place(size: int, rng: np.random.Generator, corner: float = 0.8) -> tuple[float, float]:
    """Column and row of a mark on an S x S film: near a corner or an edge with probability `corner`, else anywhere."""
    column, row = rng.uniform(0.02, 0.98, 2)
    if rng.random() < corner:
        near = rng.uniform(0.02, 0.16)
        row = near if rng.random() < 0.6 else 1 - near
        column = column**2 / 2 if rng.random() < 0.5 else 1 - column**2 / 2
    return column * size, row * size


def blend(film: np.ndarray, mark: Image.Image, centre: tuple[float, float], shade: float) -> None:
    """Lay `mark` (mode L: coverage) with its centre at column and row `centre` on a film, in place."""
    left, top = round(centre[0] - mark.width / 2), round(centre[1] - mark.height / 2)
    cover = np.asarray(mark, dtype=np.float32)[max(-top, 0) :, max(-left, 0) :] / 255
    part = film[max(top, 0) : max(top + mark.height, 0), max(left, 0) : max(left + mark.width, 0)]
    cover = cover[: part.shape[0], : part.shape[1]]
    part += cover * (np.float32(shade) - part)


def text_mark(lines: list[str], height: int, rng: np.random.Generator) -> Image.Image:
    """Coverage of lines of text, each `height` pixels high, which may be turned or seen from behind."""
    text = "\n".join(lines)
    box = ImageDraw.Draw(Image.new("L", (1, 1))).multiline_textbbox((0, 0), text, font=font(height))
    mark = Image.new("L", (int(box[2]) + 2, int(box[3]) + 2))
    ImageDraw.Draw(mark).multiline_text((1, 1), text, fill=255, font=font(height))
    if rng.random() < 0.08:
        mark = mark.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        mark = mark.rotate(rng.choice([90, 270]) if rng.random() < 0.3 else rng.uniform(-25, 25), expand=True)
    return mark


def add_text(film: np.ndarray, shade: float, rng: np.random.Generator) -> None:
    """One to five lines of text, some on a plain label near a corner or an edge."""
    height = max(6, round(rng.uniform(0.018, 0.05) * len(film)))
    mark = text_mark([words(rng) for _ in range(rng.integers(1, 6))], height, rng)
    on_label = rng.random() < 0.3
    centre = place(len(film), rng, corner=1.0 if on_label else 0.8)
    if on_label:
        label = Image.new("L", (mark.width + height, mark.height + height // 2), 255)
        blend(film, label, centre, 1 - round(shade))
    blend(film, mark, centre, shade)


def add_side(film: np.ndarray, shade: float, rng: np.random.Generator) -> None:
    """A side letter, which may stand in a ring or on a round plate, or the word."""
    height = max(8, round(rng.uniform(0.04, 0.12) * len(film)))
    letter = str(rng.choice(["L", "R", "L", "R", "D", "G", "LEFT", "RIGHT"]))
    mark, centre = text_mark([letter], height, rng), place(len(film), rng)
    kind = rng.integers(4)
    if len(letter) == 1 and kind < 2:
        side = max(mark.size) + height // 3
        plate = Image.new("L", (side, side))
        ImageDraw.Draw(plate).ellipse((0, 0, side - 1, side - 1), outline=255, width=2, fill=255 if kind else 0)
        blend(film, plate, centre, 1 - round(shade) if kind else shade)
    blend(film, mark, centre, shade)


def add_arrow(film: np.ndarray, shade: float, rng: np.random.Generator) -> None:
    """An arrow of up to a fifth of the film, anywhere."""
    length = rng.uniform(0.05, 0.2) * len(film)
    side = int(length * 2)
    head, width = 0.15 + 0.2 * rng.random(), max(1, round(rng.uniform(0.003, 0.012) * len(film)))
    mark = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mark)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    middle = np.array([side / 2, side / 2])
    tip, neck = middle + along * length / 2, middle + along * length * (0.5 - head)
    draw.line([*(middle - along * length / 2), *neck], fill=255, width=width)
    barb = across * length * head * rng.uniform(0.35, 0.7)
    draw.polygon([*tip, *(neck + barb), *(neck - barb)], fill=255)
    blend(film, mark, place(len(film), rng, corner=0.3), shade)


def add_ruler(film: np.ndarray, shade: float, rng: np.random.Generator) -> None:
    """A scale with ticks along a side."""
    length, step = round(rng.uniform(0.2, 0.8) * len(film)), rng.uniform(0.01, 0.05) * len(film)
    tick = max(3, round(rng.uniform(0.01, 0.03) * len(film)))
    mark = Image.new("L", (2 * tick, length))
    draw = ImageDraw.Draw(mark)
    draw.line([0, 0, 0, length], fill=255, width=1)
    for i, y in enumerate(np.arange(0, length, step)):
        draw.line([0, y, 2 * tick - 1 if i % 5 == 0 else tick, y], fill=255)
    near, along = rng.uniform(0.02, 0.08) * len(film), rng.uniform(0.3, 0.7) * len(film)
    side = rng.integers(4)
    if side % 2:
        mark = mark.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        near = len(film) - near
    if side > 1:
        mark = mark.transpose(Image.Transpose.ROTATE_270)
    blend(film, mark, (near, along) if side < 2 else (along, near), shade)


def add_markers(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """S x S film in 0..1 with one to four marks, most of them near corners and edges, each black, white or gray."""
    marked = film.copy()
    for _ in range(rng.integers(1, 5)):
        shade = rng.choice([0.0, 1.0, rng.uniform(0.1, 0.9)], p=[0.25, 0.55, 0.2])
        draw = (add_text, add_side, add_arrow, add_ruler)[rng.choice(4, p=[0.4, 0.3, 0.15, 0.15])]
        draw(marked, shade, rng)
    return marked


def add_dust(film: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """S x S film in 0..1 with specks, hairs, scratches or straight lines across, black, white or both."""
    changed = film
    for shade in ((0,), (1,), (0, 1))[rng.integers(3)]:
        mark = Image.new("L", (2 * len(film),) * 2)  # twice the film's pixels: hairs and scratches are thin
        draw = ImageDraw.Draw(mark)
        leave = [kind for kind in (specks, hairs, scratches, lines_across) if rng.random() < 0.4]
        for kind in leave or [specks]:
            kind(draw, mark.width, rng)
        cover = np.asarray(mark.reduce(2), dtype=np.float32) / 255
        changed = changed + cover * (np.float32(shade) - changed)
    return changed


def strength(rng: np.random.Generator) -> int:
    """How far a speck or a line hides the film, as a gray value."""
    return int(rng.integers(60, 256))


def specks(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Dust: few or many dots."""
    for x, y in rng.uniform(0, size, (int(rng.uniform(2, 12) ** 2), 2)):
        radius = rng.uniform(0.0007, 0.0045) * size
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=strength(rng))


def hairs(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Short bent curves."""
    for _ in range(rng.integers(1, 7)):
        course = rng.uniform(0, size, 2) + rng.normal(0, rng.uniform(0.01, 0.05) * size, (4, 2)).cumsum(0)
        draw.line(open_curve(course, 16).ravel().tolist(), fill=strength(rng), width=int(rng.integers(1, 4)))


def scratches(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Straight lines of any length and direction."""
    for _ in range(rng.integers(1, 6)):
        start = rng.uniform(0, size, 2)
        draw.line([*start, *(start + rng.normal(0, 0.3 * size, 2))], fill=strength(rng), width=int(rng.integers(1, 4)))


def lines_across(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> None:
    """Lines from side to side: dead rows of a detector, rollers of a scanner, folds."""
    for _ in range(rng.integers(1, 4)):
        at, drift = rng.uniform(0, size), rng.normal(0, 0.01 * size) if rng.random() < 0.5 else 0.0
        ends = [at, -1, at + drift, size + 1] if rng.random() < 0.5 else [-1, at, size + 1, at + drift]
        draw.line(ends, fill=strength(rng), width=int(rng.integers(1, 5)))
