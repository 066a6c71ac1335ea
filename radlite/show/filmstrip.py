"""A recording as one still picture: some of its frames in a row, and below them the timeline of its subtasks.

It stands in for the player wherever nothing can move: on GitHub, in a PDF, in a notebook that is only read.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from radlite.show.overlay import COLOURS, draw_prediction
from radlite.show.panel import bold, font
from radlite.show.text import clean
from radlite.show.tracks import Segment, Track

_WIDTH, _PAD, _GAP, _TEXT = 1000, 20, 8, 13
_INK, _SOFT, _PAPER, _BAR = (28, 28, 30), (95, 95, 100), (255, 255, 255), (228, 228, 230)


def film_strip(
    tracks: Sequence[Track], lines: Sequence[Sequence[Segment]], titles: Sequence[str], count: int = 5
) -> np.ndarray:
    """The still picture of one or more tracks.

    Args:
        tracks: what to show, one below the other, over one common time.
        lines: their timelines, as `segments` makes them.
        titles: a line of text for each.
        count: frames of each track.

    Returns:
        uint8 (H, 1000, 3).
    """
    length = max(map(len, tracks))
    frames = sorted({round(k) for k in np.linspace(0, length - 1, min(count, length))})
    parts = [_track(*one, frames, length) for one in zip(tracks, lines, titles, strict=True)]
    return np.concatenate([*parts, _legend(lines)])


def tint(colour: tuple[int, int, int], share: float = 0.35) -> tuple[int, ...]:
    """A colour thinned with white: words on it stay easy to read."""
    return tuple(round(share * c + (1 - share) * 255) for c in colour)


def _track(track: Track, line: Sequence[Segment], title: str, frames: list[int], length: int) -> np.ndarray:
    side = (_WIDTH - 2 * _PAD - 4 * _GAP) // 5
    drawn = [_thumbnail(track, k, side) for k in frames]
    top, high = _PAD + 24, max(p.shape[0] for p in drawn)
    image = Image.new("RGB", (_WIDTH, top + high + 58), _PAPER)
    draw = ImageDraw.Draw(image)
    end = _PAD + bold(draw, (_PAD, _PAD - 4), clean(title, 90), _TEXT + 2, _INK)
    draw.text((end + 10, _PAD - 2), clean(track.note, 60), font=font(_TEXT), fill=_SOFT)
    for number, (k, picture) in enumerate(zip(frames, drawn, strict=True)):
        left = _PAD + number * (side + _GAP)
        image.paste(Image.fromarray(picture), (left, top))
        name = f"frame {k}" if k < len(track) else f"ended at frame {len(track) - 1}"
        draw.text((left, top + high + 4), name, font=font(_TEXT - 2), fill=_SOFT)
    _timeline(draw, track, line, length, top + high + 26)
    return np.asarray(image)


def _thumbnail(track: Track, index: int, side: int) -> np.ndarray:
    k = track.held(index)
    drawn = draw_prediction(track.frames[k], track.chains[k], track.actions[k], size=2 * side, panel=False)
    small = Image.fromarray(drawn)
    return np.asarray(small.resize((max(1, small.width // 2), max(1, small.height // 2)), Image.Resampling.LANCZOS))


def _timeline(draw: ImageDraw.ImageDraw, track: Track, line: Sequence[Segment], length: int, top: int) -> None:
    """A bar as long as the track, a piece of it for each segment: colour, letter, and as many words as fit."""
    scale, bottom = (_WIDTH - 2 * _PAD) / length, top + 24
    draw.rectangle((_PAD, top, _PAD + scale * len(track) - 1, bottom), fill=_BAR)
    for piece in line:
        left, right = _PAD + scale * piece["start"], _PAD + scale * piece["stop"] - 2
        colour = COLOURS[piece["kind"] % len(COLOURS)]
        draw.rectangle((left, top, max(left, right), bottom), fill=tint(colour))
        draw.rectangle((left, bottom - 2, max(left, right), bottom), fill=colour)
        text = _fitting(f"{piece['letter']}  {piece['label']}", right - left - 8, piece["letter"])
        draw.text((left + 4, top + 4), text, font=font(_TEXT - 1), fill=_INK)


def _fitting(text: str, width: float, least: str) -> str:
    """`text`, cut to the width; `least` where not even a word of it has room, "" where that has none."""
    size, text = _TEXT - 1, text.rstrip(".")
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "...") > width:
        text = text[:-1]
    if len(text) > len(least) + 5:
        return text.rstrip() + "..."
    return least if font(size).getlength(least) <= width else ""


def _legend(lines: Sequence[Sequence[Segment]]) -> np.ndarray:
    """Which letter is which subtask, in rows."""
    names = {piece["kind"]: (piece["letter"], piece["label"].rstrip(".")) for line in lines for piece in line}
    places, x, y = [], _PAD, 0
    for kind, (letter, label) in sorted(names.items()):
        label = clean(label, 70)
        width = 24 + font(_TEXT).getlength(label) + 22
        if x > _PAD and x + width > _WIDTH - _PAD:
            x, y = _PAD, y + 24
        places.append((x, y, kind, letter, label))
        x += width
    image = Image.new("RGB", (_WIDTH, y + 24 + _PAD), _PAPER)
    draw = ImageDraw.Draw(image)
    for x, y, kind, letter, label in places:
        draw.rectangle((x, y, x + 18, y + 18), fill=tint(COLOURS[kind % len(COLOURS)]))
        draw.text((x + 9, y + 9), letter, font=font(_TEXT - 1), fill=_INK, anchor="mm")
        draw.text((x + 24, y + 2), label, font=font(_TEXT), fill=_INK)
    return np.asarray(image)
