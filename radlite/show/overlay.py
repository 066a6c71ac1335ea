"""What the policy said, drawn onto what it saw: boxes, gripper path, action, and the chain's text beside the
frame.

Pure functions on pixels (NumPy in, NumPy out, Pillow in between): they work on simulator frames and on real
footage, in notebooks, videos and reports alike. Reasoning speaks of pixels of a 256x256 frame (ECoT's
convention), whatever the frame's own size; each axis is scaled by itself, so a 640x360 frame is right too.

Everything is told by shape and by word as well as by colour: boxes carry their names, the gripper's path is
thin rings that fade into the future and end in an X, the action is an outlined arrow, truth (if given) is
dashed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE, Reasoning
from radlite.show.panel import font, reasoning_panel
from radlite.show.text import clean
from radlite.show.video import as_frame

FULL_ARROW = 0.05  # metres of motion in one step that draw an arrow of full length
# Okabe and Ito's colours, told apart with any kind of colour vision; all light enough for black names on
# them.
COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 190, 140),
    (240, 228, 66),
    (225, 140, 185),
    (235, 120, 50),
    (190, 190, 190),
)
_PATH, _ARROW, _TRUTH = (255, 80, 170), (255, 220, 0), (255, 255, 255)
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def draw_prediction(
    frame: np.ndarray,
    reasoning: Reasoning | None,
    action: ArrayLike | None = None,
    size: int = 512,
    panel: bool = True,
    truth: Reasoning | None = None,
) -> np.ndarray:
    """A frame with its prediction drawn over it and the chain's text beside it.

    Args:
        frame: uint8 (H, W, 3), any size and aspect ratio; its longer side is scaled to `size`.
        reasoning: a `Reasoning`; any field may be missing; None draws none of it.
        action: (7,) dx, dy, dz in metres (x forward, y left, z up), roll, pitch, yaw in radians, gripper 1
            open / 0 closed; or None. The arrow shows dx as up and dy as left: the robot's axes as seen from
            behind it, not a camera model.
        size: longer side of the drawn frame in pixels (at least 64).
        panel: draw the text beside the frame; False returns the frame alone.
        truth: the true `Reasoning`, drawn dashed in white for comparison.

    Returns:
        uint8 (h, w, 3), both even. With a panel h is `size`, so that all frames of a video agree.

    Raises:
        RadliteError: a frame that is not uint8 (H, W, 3), or a size that is too small.
    """
    if size < 64:
        raise RadliteError("a picture size of at least 64", repr(size), "leave it out to get 512")
    image = _upscale(as_frame(frame), size)
    for draw_layer in (
        lambda d: _draw_truth(d, image.size, truth),
        lambda d: _draw_boxes(d, image.size, reasoning),
        lambda d: _draw_path(d, image.size, reasoning),
        lambda d: _draw_action(d, image.size, reasoning, action),
    ):
        layer = Image.new("RGBA", image.size)
        draw_layer(ImageDraw.Draw(layer))
        image.alpha_composite(layer)
    picture = np.asarray(image.convert("RGB"))
    if not panel:
        return picture.copy()
    beside = reasoning_panel(
        reasoning, (size * 7 // 8) // 2 * 2, size // 2 * 2, action, truth, text_size=max(9, round(size / 36))
    )
    return np.concatenate([_pad_height(picture, beside.shape[0]), beside], axis=1)


def _upscale(frame: np.ndarray, size: int) -> Image.Image:
    height, width = frame.shape[:2]
    scale = size / max(height, width)
    target = tuple(max(2, round(n * scale / 2) * 2) for n in (width, height))
    # Small simulator frames stay crisp squares when they divide the size; everything else is interpolated.
    exact = target[0] % width == 0 and target[1] % height == 0
    return (
        Image.fromarray(frame)
        .convert("RGBA")
        .resize(target, Image.Resampling.NEAREST if exact else Image.Resampling.BICUBIC)
    )


def _pad_height(picture: np.ndarray, height: int) -> np.ndarray:
    """Centre a picture that is lower than the panel on neutral ground."""
    free = max(0, height - picture.shape[0])
    above = free // 2
    return np.pad(picture, ((above, free - above), (0, 0), (0, 0)), constant_values=30)


def _point(xy: Sequence[float], size: tuple[int, int]) -> tuple[float, float] | None:
    """256-pixel coordinates as pixels inside the picture; None for what is not two finite numbers."""
    try:
        x, y = (float(v) for v in xy)
    except (TypeError, ValueError, OverflowError):
        return None
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    return min(max(x * size[0] / FRAME_SIZE, 0), size[0] - 1), min(
        max(y * size[1] / FRAME_SIZE, 0), size[1] - 1
    )


def _rectangles(
    reasoning: Reasoning | None, size: tuple[int, int]
) -> list[tuple[str, tuple[float, float, float, float]]]:
    found = []
    for box in list(getattr(reasoning, "bboxes", None) or ())[:50]:
        a, b = _point(box.xyxy[:2], size), _point(box.xyxy[2:], size)
        if a and b:
            found.append(
                (clean(box.name, 32), (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])))
            )
    return found


def _stroke(size: tuple[int, int]) -> int:
    return max(1, round(max(size) / 256))


def _draw_boxes(draw: ImageDraw.ImageDraw, size: tuple[int, int], reasoning: Reasoning | None) -> None:
    """Rectangles first, names last, so that no name is crossed by another thing's box."""
    rectangles, line, taken = _rectangles(reasoning, size), _stroke(size), []
    for number, (_, box) in enumerate(rectangles):
        draw.rectangle(box, outline=(*_BLACK, 160), width=line + 2)
        draw.rectangle(box, outline=COLOURS[number % len(COLOURS)], width=line)
    for number, (name, box) in enumerate(rectangles):
        _draw_name(draw, size, name, box, COLOURS[number % len(COLOURS)], taken)


def _draw_name(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], name: str, box: tuple, colour: tuple, taken: list
) -> None:
    """The name on a filled tag: above the box, else below it or beside it, wherever no earlier tag is."""
    text_size = max(9, round(max(size) / 40))
    width, height = font(text_size).getlength(name) + 6, text_size + 4
    spots = [
        (box[0], box[1] - height),
        (box[0], box[3] + 1),
        (box[2] + 1, box[1]),
        (box[0] - width, box[1]),
        (box[0], box[1]),
    ]
    spots = [(min(max(x, 0), max(0, size[0] - width)), min(max(y, 0), size[1] - height)) for x, y in spots]
    tags = [(x, y, x + width, y + height) for x, y in spots]
    tag = min(tags, key=lambda t: sum(_overlap(t, other) for other in taken))  # min keeps the first of equals
    taken.append(tag)
    draw.rectangle(tag, fill=(*colour, 235))
    draw.text((tag[0] + 3, tag[1] + 1), name, font=font(text_size), fill=_BLACK)


def _overlap(a: tuple, b: tuple) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _draw_path(draw: ImageDraw.ImageDraw, size: tuple[int, int], reasoning: Reasoning | None) -> None:
    """Now is a filled dot, the steps after it are rings that fade, the last point is an X."""
    points = [
        p for p in (_point(xy, size) for xy in list(getattr(reasoning, "gripper", None) or ())[:10]) if p
    ]
    line = _stroke(size)
    for number, (a, b) in enumerate(pairwise(points)):
        draw.line([a, b], fill=(*_BLACK, 150), width=line + 2)
        draw.line([a, b], fill=(*_PATH, _alpha(number, len(points))), width=line)
    for number, (x, y) in enumerate(points[:-1]):
        radius = 2.5 * line if number == 0 else 1.8 * line
        alpha = _alpha(number, len(points))
        draw.ellipse(
            (x - radius, y - radius, x + radius, y + radius),
            outline=(*_BLACK, alpha),
            fill=(*_PATH, alpha) if number == 0 else (*_WHITE, alpha),
        )
    if points:
        _cross(draw, points[-1], 3 * line, line)


def _alpha(number: int, count: int) -> int:
    return 255 - round(150 * number / max(1, count - 1))


def _cross(draw: ImageDraw.ImageDraw, at: tuple[float, float], reach: float, line: int) -> None:
    x, y = at
    for colour, width in ((_BLACK, line + 3), (_PATH, line + 1)):
        for side in (1, -1):
            draw.line(
                [(x - reach, y - side * reach), (x + reach, y + side * reach)], fill=colour, width=width
            )


def _draw_truth(draw: ImageDraw.ImageDraw, size: tuple[int, int], truth: Reasoning | None) -> None:
    line = _stroke(size)
    for _, (x1, y1, x2, y2) in _rectangles(truth, size):
        for a, b in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2)), ((x2, y2), (x1, y2)), ((x1, y2), (x1, y1))):
            _dashed(draw, a, b, line)
    points = [p for p in (_point(xy, size) for xy in list(getattr(truth, "gripper", None) or ())[:10]) if p]
    for x, y in points:
        draw.rectangle((x - 2 * line, y - 2 * line, x + 2 * line, y + 2 * line), outline=_TRUTH, width=line)


def _dashed(draw: ImageDraw.ImageDraw, a: tuple[float, float], b: tuple[float, float], line: int) -> None:
    length, dash = math.dist(a, b), 5 * line
    for start in np.arange(0, length, 2 * dash):
        ends = [
            tuple(np.array(a) + (np.array(b) - a) * min(t, length) / max(length, 1e-9))
            for t in (start, start + dash)
        ]
        draw.line(ends, fill=_TRUTH, width=line)


def _draw_action(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], reasoning: Reasoning | None, action: ArrayLike | None
) -> None:
    """Arrow at the gripper (or the picture's middle) for dx, dy; a badge for dz and the jaws."""
    values = None if action is None else np.asarray(action, dtype=float).reshape(-1)
    if values is None or values.shape != (7,) or not np.isfinite(values).all():
        return
    path = list(getattr(reasoning, "gripper", None) or ())
    start = (_point(path[0], size) if path else None) or (size[0] / 2, size[1] / 2)
    push = np.array([-values[1], -values[0]]) / FULL_ARROW  # y is left, x is up in the picture
    reach = float(np.linalg.norm(push))
    if reach > 0.04:  # below 2 mm a direction is noise
        _arrow(draw, start, push / reach * max(0.35, min(1.0, reach)) * 0.2 * min(size), _stroke(size))
    _badge(draw, size, values)


def _arrow(draw: ImageDraw.ImageDraw, start: tuple[float, float], vector: np.ndarray, line: int) -> None:
    length = float(np.linalg.norm(vector))
    along = vector / length
    across = np.array([-along[1], along[0]])
    tip = np.array(start) + vector
    neck = tip - along * min(6 * line, length)
    for colour, more in ((_BLACK, 2), (_ARROW, 0)):
        draw.line([start, tuple(neck)], fill=colour, width=2 * line + more)
        wing = 4 * line + more
        draw.polygon(
            [tuple(tip + along * more), tuple(neck + across * wing), tuple(neck - across * wing)], fill=colour
        )


def _badge(draw: ImageDraw.ImageDraw, size: tuple[int, int], action: np.ndarray) -> None:
    """Bottom left: a bar from a zero line, up for rising, and two jaws that stand apart or touch."""
    u = max(1.0, min(size) / 256)  # badge unit
    left, bottom = 6 * u, size[1] - 6 * u
    draw.rectangle((left, bottom - 46 * u, left + 66 * u, bottom), fill=(20, 20, 24, 215), outline=_WHITE)
    zero, rise = bottom - 26 * u, 16 * u * float(np.clip(action[2] / FULL_ARROW, -1, 1))
    bar = left + 12 * u
    draw.rectangle((bar - 4 * u, min(zero, zero - rise), bar + 4 * u, max(zero, zero - rise)), fill=_ARROW)
    draw.line([(bar - 7 * u, zero), (bar + 7 * u, zero)], fill=_WHITE, width=max(1, round(u)))
    small = max(7, round(8 * u))
    draw.text(
        (bar + 6 * u, bottom - 44 * u),
        "up" if rise > u else "down" if rise < -u else "z",
        font=font(small),
        fill=_WHITE,
    )
    is_open = action[6] > 0.5
    middle, half = left + 42 * u, (10 if is_open else 3) * u
    draw.line(
        [(middle - 13 * u, bottom - 33 * u), (middle + 13 * u, bottom - 33 * u)],
        fill=_WHITE,
        width=max(2, round(2 * u)),
    )
    for x in (middle - half, middle + half):
        draw.line([(x, bottom - 33 * u), (x, bottom - 14 * u)], fill=_WHITE, width=max(3, round(4 * u)))
    draw.text(
        (left + 28 * u, bottom - 12 * u), "open" if is_open else "closed", font=font(small), fill=_WHITE
    )
