"""Landmarks of hands in a file: found once, by whatever finds them, and read back by the clock of a clip.

The file is JSON, one object:

    {"tracker": "MediaPipe Hands 0.10.21", "fps": 10, "width": 640, "height": 360, "frames": [
      {"frame": 0, "hands": [{"handedness": "Left", "score": 0.98, "landmarks": [[x, y, z], ... 21 of them]}]}, ...]}

x and y are fractions of width and height, z is relative to the wrist in units of x. `handedness` is the raw word of MediaPipe
Hands, which takes every picture for that of a mirror, so in that of an ordinary camera **"Left" is the right hand**.
`Hand` has the person's own side; reading and writing turn one into the other. A frame that is not listed has no hand.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radlite.annotate.evidence import LANDMARKS, Hand
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.json_stream import JsonStream
from radlite.formats.staging import replace_text

MOST_FRAMES = 108_000  # an hour at 30 a second
MOST_HANDS = 8  # in one picture
MOST_SIDE = 1 << 14  # pixels of width or height
REACH = (-4.0, 5.0)  # where a coordinate may lie: hands leave the picture, but not by far
RATES = (0.01, 1000.0)  # frames a second
LATE = 0.5  # seconds that a clip may go on after its landmarks end, or they after it: rates are rounded
SKEW = 0.02  # part by which width over height of a picture may differ from that of the landmarks' pictures

MIRRORED = {"Left": "right", "Right": "left"}
"""MediaPipe Hands' word for a hand -> the person's own side, in a picture that is not mirrored."""
_WORD = {side: word for word, side in MIRRORED.items()}
_NUMBERS = ("fps", "width", "height")
_FIX = "make the file again, as radlite.annotate.landmarks describes it"


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The hands of a video, picture by picture.

    Attributes:
        hands: what was found in each of its pictures.
        fps: pictures a second.
        width, height: of the pictures in which it was found, pixels.
        tracker: who found it, in words; empty where that is not told. Somebody else's text.
    """

    hands: tuple[tuple[Hand, ...], ...]
    fps: float
    width: int
    height: int
    tracker: str = ""

    def at(self, fps: float, count: int) -> list[tuple[Hand, ...]]:
        """The hands of a clip's frames: frame k is what a player shows k / fps seconds after the first picture.

        Args:
            fps: frames a second that the clip keeps.
            count: how many it keeps.

        Raises:
            RadliteError: the landmarks end well before the clip does, or go on well after it: they are another clip's.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise RadliteError("frames a second above 0", repr(fps), "give the rate of the clip's frames")
        shown = [int(k * self.fps / fps + 1e-9) for k in range(count)]
        if shown and (shown[-1] - len(self.hands) + 1) / self.fps > LATE:
            expected = f"landmarks up to {(count - 1) / fps:.1f} s, where the clip ends"
            found = f"{len(self.hands) / self.fps:.1f} s"
            raise RadliteError(expected, found, "give the landmarks of this clip, of all of it")
        if shown and len(self.hands) / self.fps - count / fps > LATE:
            expected = f"landmarks up to about {count / fps:.1f} s, where the clip ends"
            found, fix = f"{len(self.hands) / self.fps:.1f} s", "give the landmarks of this clip; if it was cut, cut them alike"
            raise RadliteError(expected, found, fix)
        return [self.hands[j] if j < len(self.hands) else () for j in shown]


class RecordedHands:
    """A `HandDetector` that has looked already: it gives what a file holds, by the clock.

    Args:
        landmarks: of the clip that the pictures are from.

    Attributes:
        rate: pictures a second that were looked at.
    """

    def __init__(self, landmarks: Landmarks) -> None:
        self.landmarks, self.rate = landmarks, landmarks.fps

    @property
    def identity(self) -> str:
        """Of the landmarks themselves, wherever they were read."""
        content = hashlib.sha256(repr((self.landmarks.fps, self.landmarks.width, self.landmarks.height)).encode())
        for found in self.landmarks.hands:
            content.update(repr([(hand.side, hand.score) for hand in found]).encode())
            content.update(b"".join(np.asarray(hand.landmarks, np.float32).tobytes() for hand in found))
        return f"recorded {content.hexdigest()[:24]}"

    def detect(self, pictures: Iterable[np.ndarray], fps: float) -> list[tuple[Hand, ...]]:
        """The hands of each picture, counted from the clip's first one.

        Raises:
            RadliteError: pictures of another shape than the landmarks were found in, or well more or fewer than those.
        """
        ratio, count = self.landmarks.width / self.landmarks.height, 0
        for picture in pictures:
            height, width = np.shape(picture)[:2]
            if abs(width / height / ratio - 1) > SKEW:
                expected = f"whole pictures, {self.landmarks.width}x{self.landmarks.height} or of that shape"
                raise RadliteError(expected, f"{width}x{height}", "landmarks are parts of the whole picture: do not cut it first")
            count += 1
        return self.landmarks.at(fps, count)


def read_landmarks(path: str | Path) -> Landmarks:
    """Reads a file of landmarks, whoever wrote it.

    Raises:
        RadliteError: no such file, no JSON, cut off, too large, or anything in it that is not as the module describes; the
            message names the frame.
    """
    stream = JsonStream(Path(path))
    try:
        return _read(stream)
    except RadliteError as error:
        if str(path) in error.expected:
            raise
        raise RadliteError(f"{error.expected} in {path}", f"{error.found} in {stream.place}", error.fix) from error


def write_landmarks(path: str | Path, landmarks: Landmarks) -> Path:
    """Writes such a file, whole or not at all; coordinates are rounded to a hundred-thousandth.

    Raises:
        RadliteError: the disk refuses; what stood there still stands.
    """
    about = {"tracker": landmarks.tracker, "fps": landmarks.fps, "width": landmarks.width, "height": landmarks.height,
             "coordinates": "x and y as a fraction of width and height; z relative to the wrist"}  # fmt: skip
    lines = [json.dumps({"frame": t, "hands": [_record(hand) for hand in found]}) for t, found in enumerate(landmarks.hands)]
    head = json.dumps(about)[:-1]
    return replace_text(Path(path), head + ', "frames": [\n' + ",\n".join(lines) + "\n]}\n")


def _record(hand: Hand) -> dict[str, Any]:
    points = np.asarray(hand.landmarks, np.float64).round(5).tolist()
    return {"handedness": _WORD[hand.side], "score": round(float(hand.score), 4), "landmarks": points}


def _read(stream: JsonStream) -> Landmarks:
    event, value = next(iter(stream))
    if event != "start_map":
        raise RadliteError("an object with fps, width, height and frames", quoted(value), _FIX)
    told: dict[str, Any] = {}
    for event, key in stream:
        if event == "end_map":
            continue  # nothing may follow, which the stream checks
        stream.place = f"the key {quoted(key, 40)}"
        if key in told:
            raise RadliteError("each key once", "a second one", _FIX)
        told[key] = _frames(stream) if key == "frames" else _value(stream, *next(iter(stream)))
    stream.place = "the whole"
    missing = [key for key in (*_NUMBERS, "frames") if key not in told]
    if missing:
        raise RadliteError("fps, width, height and frames", f"no {missing[0]}", _FIX)
    fps, width, height = (_number(told[key], key, *(RATES if key == "fps" else (1, MOST_SIDE))) for key in _NUMBERS)
    if width % 1 or height % 1:
        raise RadliteError("width and height as whole pixels", f"{width}x{height}", _FIX)
    tracker = told.get("tracker", "")
    if not isinstance(tracker, str):
        raise RadliteError("a tracker in words", quoted(tracker, 60), _FIX)
    return Landmarks(told["frames"], fps, int(width), int(height), tracker)


def _frames(stream: JsonStream) -> tuple[tuple[Hand, ...], ...]:
    event, value = next(iter(stream))
    if event != "start_array":
        raise RadliteError("a list of frames", quoted(value, 60), _FIX)
    frames: list[tuple[Hand, ...]] = []
    for event, value in stream:
        if event == "end_array":
            break
        stream.place = f"the entry after frame {len(frames) - 1}" if frames else "the first frame"
        entry = _object(_value(stream, event, value), "a frame")
        number = entry.get("frame")
        if type(number) is not int or not len(frames) <= number < MOST_FRAMES:
            expected = f"frame numbers that rise, {len(frames)} or more here, below {MOST_FRAMES:,}"
            raise RadliteError(expected, quoted(number, 60), _FIX)
        stream.place = f"frame {number}"
        frames += [()] * (number - len(frames)) + [tuple(_hands(entry.get("hands")))]
    return tuple(frames)


def _hands(found: Any) -> Iterator[Hand]:
    if not isinstance(found, list) or len(found) > MOST_HANDS:
        what = f"{len(found)} of them" if isinstance(found, list) else quoted(found, 60)
        raise RadliteError(f"a list of at most {MOST_HANDS} hands", what, _FIX)
    for entry in found:
        hand = _object(entry, "a hand")
        word = hand.get("handedness")
        if not isinstance(word, str) or word not in MIRRORED:
            raise RadliteError("a handedness of 'Left' or 'Right'", quoted(word, 60), _FIX)
        yield Hand(_points(hand.get("landmarks")), MIRRORED[word], _number(hand.get("score"), "a score", 0.0, 1.0))


def _points(points: Any) -> np.ndarray:
    if not isinstance(points, list) or len(points) != LANDMARKS or not all(isinstance(p, list) and len(p) == 3 for p in points):
        raise RadliteError(f"{LANDMARKS} landmarks of x, y and z", quoted(points, 60), _FIX)
    return np.array([[_number(value, "a coordinate", *REACH) for value in point] for point in points], np.float32)


def _number(value: Any, what: str, least: float, most: float) -> float:
    if type(value) not in (int, float) or not least <= value <= most:
        raise RadliteError(f"{what} from {least:g} to {most:g}", quoted(value, 60), _FIX)
    return float(value)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RadliteError(f"{what} as an object", quoted(value, 60), _FIX)
    return value


def _value(stream: JsonStream, event: str, value: Any) -> Any:
    built = stream.build(event, value)
    if stream.problem is not None:
        raise stream.problem
    return built
