"""Boxes in a JSON file: another detector's output, or a person's, in place of a detector that runs here.

    {"format": "radlite.objects", "fps": 30, "width": 640, "height": 480,
     "frames": [{"frame": 0, "objects": [{"name": "red can", "box": [312, 200, 340, 261], "score": 0.8}]}]}

`fps` is the rate at which `frame` counts, from 0. Boxes are x1, y1, x2, y2, right and down: pixels of a picture of `width` x
`height`, or fractions of it where both are left out. `score` (0..1) may be left out, and is then 1. A frame that is not listed
was not looked at; one with `"objects": []` was, and nothing was found. The file may come from anywhere: nothing in it is taken
on trust, and what is not in this form is refused rather than guessed at.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from radlite.annotate.evidence import Found
from radlite.annotate.nouns import checked_name
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.staging import replace_text

FORMAT = "radlite.objects"
MOST_BYTES = 1 << 24  # of a file: an hour at 5 frames a second with ten things in each
MOST_SIDE = 1 << 16  # pixels
RATES = (0.001, 1000.0)  # frames a second
_SHOW = "see radlite/annotate/object_file.py for the form"


@dataclass(frozen=True)
class RecordedObjects:
    """What was found in a clip, by whomever, as an `ObjectDetector`.

    Picture k that it is shown is taken at k / `fps` seconds, and gets what was recorded nearest to that time; at most half a
    picture away, so that a thing is never told to be where it was long ago (`object_tracks` fills short gaps in).

    Attributes:
        frames: number of the recorded frame, from 0 -> what was found there.
        rate: recorded frames a second.
        fps: pictures a second.
    """

    frames: Mapping[int, tuple[Found, ...]]
    rate: float
    fps: float = 5.0

    def __post_init__(self) -> None:
        for rate in (self.rate, self.fps):
            if not (isinstance(rate, int | float) and RATES[0] <= rate <= RATES[1]):
                raise RadliteError(f"frames a second from {RATES[0]:g} to {RATES[1]:g}", quoted(rate), "give the rate")

    @property
    def names(self) -> tuple[str, ...]:
        """What is named, in the order of time."""
        return tuple(dict.fromkeys(thing.name for number in sorted(self.frames) for thing in self.frames[number]))

    @property
    def identity(self) -> str:
        """Of the boxes themselves, wherever they were read."""
        content = hashlib.sha256(repr((sorted(self.frames.items()), self.rate)).encode()).hexdigest()
        return f"recorded {content[:24]} at {self.fps:g} pictures a second"

    def detect(self, pictures: Iterable[np.ndarray], names: Sequence[str]) -> list[tuple[Found, ...]]:
        """What was recorded of these names, in capitals or not, at the time of each picture; the pictures are only counted."""
        wanted = {name.strip().casefold(): name for name in names}
        return [
            tuple(replace(t, name=wanted[t.name.casefold()]) for t in self._at(k) if t.name.casefold() in wanted)
            for k, _ in enumerate(pictures)
        ]

    def _at(self, picture: int) -> tuple[Found, ...]:
        time = picture * self.rate / self.fps  # in recorded frames
        half = self.rate / self.fps / 2
        near = range(math.ceil(time - half), math.floor(time + half) + 1)
        known = [number for number in near if number in self.frames]
        return self.frames[min(known, key=lambda number: abs(number - time))] if known else ()


def read_objects(path: str | Path, fps: float = 5.0) -> RecordedObjects:
    """Reads a file of boxes.

    Args:
        path: of the form that stands at the top of this module.
        fps: pictures a second of the clip that it will be asked about.

    Raises:
        RadliteError: no such file, more than `MOST_BYTES`, no JSON or one that was cut off, another form, a key twice or not
            known, a frame twice, NaN or infinity, corners in the wrong order or outside the picture by more than its size.
    """
    data = _keys(_json(Path(path)), {"format", "fps", "frames"}, {"width", "height"}, f"the object in {path}")
    if data["format"] != FORMAT:
        raise RadliteError(f'"format": "{FORMAT}"', quoted(data["format"]), _SHOW)
    size = _size(data)
    frames: dict[int, tuple[Found, ...]] = {}
    for k, record in enumerate(_list(data["frames"], "frames")):
        number, things = _frame(record, f"frames[{k}]", size)
        if number in frames:
            raise RadliteError("each frame once", f"frame {number} again as frames[{k}]", "keep one of the two")
        frames[number] = things
    return RecordedObjects(frames, _number(data["fps"], "fps", *RATES), fps)


def write_objects(path: str | Path, objects: RecordedObjects) -> Path:
    """Writes a file of boxes, as fractions of the picture, there whole or not at all.

    Raises:
        RadliteError: the disk refuses, or what `read_objects` would refuse.
    """
    frames = []
    for number, things in sorted(objects.frames.items()):
        found = [{"name": t.name, "box": [round(float(v), 6) for v in t.box], "score": round(float(t.score), 6)} for t in things]
        frames.append({"frame": number, "objects": found})
        _frame(frames[-1], f"frame {number}", (1, 1))
    lines = ",\n".join(json.dumps(frame, ensure_ascii=False, allow_nan=False) for frame in frames)
    head = f'{{"format": "{FORMAT}", "fps": {json.dumps(objects.rate)}, "frames": [\n'
    return replace_text(Path(path), f"{head}{lines}\n]}}\n")


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RadliteError(f"a file of boxes at {path}", str(error), "check the path") from error
    if len(data) > MOST_BYTES:
        raise RadliteError(f"at most {MOST_BYTES >> 20} MiB in {path}", "more", "keep fewer frames a second, one file a clip")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        place = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise RadliteError(f"JSON in {path}", f"something else ({place})", "write it again; it may have been cut off") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RadliteError("each key once", f"{quoted(twice)} twice in one object", "keep one of the two")
    return found


def _no_constant(name: str) -> None:
    raise RadliteError("finite numbers", name, "leave out what is not known")


def _keys(value: Any, needed: set[str], also: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not needed <= set(value) <= needed | also:
        keys = f"{', '.join(sorted(needed))}" + (f" (and {', '.join(sorted(also))})" if also else "")
        found = quoted(list(value)[:20] if isinstance(value, dict) else value)
        raise RadliteError(f"an object with {keys} as {what}", found, _SHOW)
    return value


def _list(value: Any, what: str) -> list:
    if not isinstance(value, list):
        raise RadliteError(f"a list as {what}", quoted(value), _SHOW)
    return value


def _number(value: Any, what: str, low: float, high: float) -> float:
    if type(value) not in (int, float) or not low <= value <= high:
        raise RadliteError(f"a number from {low:g} to {high:g} as {what}", quoted(value), "correct it")
    return float(value)


def _size(data: dict[str, Any]) -> tuple[float, float]:
    """Width and height that boxes are counted in."""
    if ("width" in data) != ("height" in data):
        raise RadliteError("both width and height, or neither", "one of them", "give the picture's size in pixels")
    width, height = (_number(data.get(side, 1), side, 1, MOST_SIDE) for side in ("width", "height"))
    return width, height


def _frame(record: Any, what: str, size: tuple[float, float]) -> tuple[int, tuple[Found, ...]]:
    record = _keys(record, {"frame", "objects"}, set(), what)
    number = _number(record["frame"], f"frame of {what}", 0, 1e9)
    if not number.is_integer():
        raise RadliteError(f"a whole number as frame of {what}", f"{number}", "count frames from 0")
    things = _list(record["objects"], f"objects of {what}")
    return int(number), tuple(_thing(thing, f"objects[{k}] of {what}", size) for k, thing in enumerate(things))


def _thing(record: Any, what: str, size: tuple[float, float]) -> Found:
    record = _keys(record, {"name", "box"}, {"score"}, what)
    box = _list(record["box"], f"box of {what}")
    if len(box) != 4:
        raise RadliteError(f"four numbers as box of {what}", quoted(box), "write x1, y1, x2, y2")
    sides = (*size, *size)  # a box may reach out of the picture, not lie somewhere else altogether
    x1, y1, x2, y2 = (_number(v, f"box of {what}", -side, 2 * side) / side for v, side in zip(box, sides, strict=True))
    if x2 < x1 or y2 < y1:
        raise RadliteError(f"x1 <= x2 and y1 <= y2 in the box of {what}", quoted(box), "write left, top, right, bottom edge")
    return Found(checked_name(record["name"]), (x1, y1, x2, y2), _number(record.get("score", 1), f"score of {what}", 0, 1))
