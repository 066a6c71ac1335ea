"""The chain of reasoning as a picture of text: one panel, field by field, names in bold colour.

The panel has a fixed size and a fixed font, so that it does not jump from frame to frame of a video. When the
chain is too long, the longest fields lose lines first (they end in "..."), so every field that was predicted
stays visible. A field that the chain does not hold is not drawn: absent is not the same as empty.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from radlite.reasoning import Reasoning
from radlite.show.text import clean

# Field name in the data, title in the panel, colour of the title (dark enough on white: contrast above 4.5).
FIELD_STYLE = (
    ("task", "Task", (60, 60, 60)),
    ("plan", "Plan", (0, 90, 140)),
    ("bboxes", "Visible objects", (150, 75, 0)),
    ("subtask_reason", "Subtask reasoning", (95, 60, 140)),
    ("subtask", "Subtask", (95, 60, 140)),
    ("move_reason", "Move reasoning", (0, 110, 75)),
    ("move", "Move", (0, 110, 75)),
    ("gripper", "Gripper's path", (165, 30, 85)),
)
COMPARED = ("subtask", "move")  # short enough that "differs from the truth" is meaningful word for word
_INK, _PAPER, _RULE = (25, 25, 25), (250, 250, 248), (205, 205, 200)
Line = tuple[str, str, tuple[int, int, int]]  # bold title or "", text, title colour


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The scalable font inside the Pillow wheel (Aileron; Latin script): text looks the same everywhere."""
    return ImageFont.load_default(size=max(6, int(size)))


def bold(draw: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, size: int, fill: tuple) -> float:
    """Draw `text` twice, a pixel apart (the font has no bold), and return its width in pixels."""
    draw.text(xy, text, font=font(size), fill=fill)
    draw.text((xy[0] + 1, xy[1]), text, font=font(size), fill=fill)
    return font(size).getlength(text) + 1


def field_text(field: str, value: object) -> str:
    """A field's value as one clean line; boxes as "name [x1, y1, x2, y2]", points as "(x, y)"."""
    if field == "bboxes":
        boxes = list(value)[:30]
        return (
            "; ".join(f"{clean(b.name, 60)} [{', '.join(clean(v, 8) for v in b.xyxy)}]" for b in boxes)
            or "none"
        )
    if field == "gripper":
        return " ".join(f"({clean(x, 8)}, {clean(y, 8)})" for x, y in list(value)[:10])
    return clean(value, 1500)


def action_text(action: ArrayLike | None) -> str:
    """A 7-D action in words: centimetres, degrees, jaws."""
    values = np.asarray(action, dtype=float).reshape(-1)
    if values.shape != (7,) or not np.isfinite(values).all():
        return "not seven finite numbers"
    moves = "  ".join(f"{axis} {100 * v:+.1f}" for axis, v in zip("xyz", values[:3], strict=True))
    turns = (
        ""
        if np.abs(values[3:6]).max() < 1e-3
        else "  turn " + " ".join(f"{np.degrees(v):+.0f}" for v in values[3:6]) + " deg"
    )
    return f"{moves} cm{turns}  jaws {'open' if values[6] > 0.5 else 'closed'}"


def wrap(text: str, width: float, size: int, indent: float = 0.0) -> list[str]:
    """Break `text` into lines of at most `width` pixels, the first shorter by `indent`; split long words."""
    lines, line, room = [], "", width - indent
    for word in text.split(" "):
        trial = f"{line} {word}" if line else word
        if font(size).getlength(trial) <= room:
            line = trial
            continue
        if line or (indent and not lines):
            lines.append(line)
            room = width
        line = word
        while font(size).getlength(line) > room and len(line) > 1:
            cut = _fitting(line, room, size)
            lines.append(line[:cut])
            line, room = line[cut:], width
    return [*lines, line]


def _fitting(word: str, room: float, size: int) -> int:
    """How many characters of `word` fit into `room` pixels (at least one), by bisection."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font(size).getlength(word[:middle]) <= room else (low, middle - 1)
    return low


def reasoning_panel(
    reasoning: Reasoning | None,
    width: int,
    height: int,
    action: ArrayLike | None = None,
    truth: Reasoning | None = None,
    title: str = "Reasoning",
    text_size: int = 14,
) -> np.ndarray:
    """Picture of a chain's text.

    Args:
        reasoning: a `Reasoning`, or None for "no reasoning".
        width, height: size of the panel in pixels.
        action: 7 numbers to spell out at the end, or None.
        truth: the true `Reasoning`; where its subtask or move differs, the panel says so in words.
        title: heading of the panel.
        text_size: font size in pixels.

    Returns:
        uint8 (height, width, 3).
    """
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    pad, step = text_size, round(text_size * 1.3)
    bold(draw, (pad, pad // 2), clean(title, 60), text_size + 2, _INK)
    top = pad // 2 + round(1.6 * text_size)
    draw.line([(pad, top), (width - pad, top)], fill=_RULE)
    blocks = _blocks(reasoning, action, truth, width - 2 * pad, text_size)
    _draw_blocks(draw, _shorten(blocks, height - top - pad, step), pad, top + pad // 2, text_size)
    return np.asarray(image).copy()


def _blocks(
    reasoning: Reasoning | None, action: ArrayLike | None, truth: Reasoning | None, width: float, size: int
) -> list[tuple]:
    """One (title, colour, lines) per field that is there."""
    entries: list[Line] = []
    for field, name, colour in FIELD_STYLE:
        value = getattr(reasoning, field, None)
        if value is not None:
            entries.append((name, field_text(field, value), colour))
        true = getattr(truth, field, None)
        if field in COMPARED and true is not None and clean(true) != clean(value):
            entries.append(("  truth differs", field_text(field, true), _INK))
    if not entries:
        entries.append(("No reasoning", "", _INK))
    if action is not None:
        entries.append(("Action", action_text(action), (165, 55, 0)))
    return [
        (name, colour, wrap(text, width, size, font(size).getlength(f"{name}:  ") + 2))
        for name, text, colour in entries
    ]


def _shorten(blocks: list[tuple], room: int, step: int) -> list[tuple]:
    """Take lines from the longest blocks until all fit; if one each is too much, drop the last blocks."""
    gap = step // 4
    blocks = [(name, colour, list(lines)) for name, colour, lines in blocks]
    while sum(len(b[2]) * step + gap for b in blocks) > room:
        longest = max(blocks, key=lambda b: len(b[2]))
        if len(longest[2]) == 1:
            return blocks[: max(1, room // (step + gap))]
        longest[2].pop()
        longest[2][-1] = longest[2][-1].removesuffix("...")[:-3].rstrip() + "..."
    return blocks


def _draw_blocks(draw: ImageDraw.ImageDraw, blocks: list[tuple], left: int, y: int, size: int) -> None:
    step = round(size * 1.3)
    for name, colour, lines in blocks:
        indent = bold(draw, (left, y), f"{name}: ", size, colour) + 2
        for number, line in enumerate(lines):
            draw.text((left + (indent if number == 0 else 0), y), line, font=font(size), fill=_INK)
            y += step
        y += step // 4
