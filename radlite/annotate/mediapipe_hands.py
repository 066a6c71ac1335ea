"""Hands found by MediaPipe, whichever of its two faces is installed.

Current mediapipe has the Tasks API and needs a model file (`radlite setup hands`); mediapipe 0.10.21 also has the older Hands
solution with its models in the wheel, and wants numpy below 2, so an environment of its own. Both run the same two networks, a
detector of palms and a regressor of 21 landmarks.

They do not agree on whose hand it is. The Hands solution takes every picture for that of a mirror, so in one of an ordinary
camera it calls the right hand "Left"; the Tasks API (0.10.21 and 1.2.2, both tried) says what is there. `Hand.side` is the
person's own side in either case; for mirrored pictures, those of a selfie camera, say so with `mirrored=True`.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from radlite.annotate.evidence import LANDMARKS, Hand
from radlite.annotate.hand_model import model_path
from radlite.errors import RadliteError

Backend = Literal["tasks", "solutions"]
INSTALL = "pip install mediapipe"
BUNDLED = "pip install mediapipe==0.10.21"
LEAST_SIDE = 8  # pixels; smaller pictures crash some versions


class MediaPipeHands:
    """A `HandDetector` on MediaPipe.

    Args:
        model: a `hand_landmarker.task`, for the Tasks API. By default the one that `radlite setup hands` fetched, and without it
            the models in the wheel, where it has some.
        tracking: the pictures follow each other closely, so a hand is looked for near where it was, which finds more hands in a
            blurred video and is faster. False looks at each picture by itself: for pictures that do not belong together.
        most: hands in one picture.
        confidence: 0..1, of palm detection and of tracking.
        mirrored: the pictures are mirrored, as a selfie camera shows them.

    Attributes:
        backend: "tasks" or "solutions".

    Raises:
        RadliteError: no mediapipe, none with a model, or a model that is no file.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        tracking: bool = True,
        most: int = 2,
        confidence: float = 0.5,
        mirrored: bool = False,
    ) -> None:
        if most < 1 or not 0 <= confidence <= 1:
            found = f"{most} and {confidence}"
            raise RadliteError("at least one hand and a confidence from 0 to 1", found, "2 and 0.5 fit most clips")
        self.tracking, self.most, self.confidence, self.mirrored = tracking, most, confidence, mirrored
        self._mediapipe = _mediapipe()
        self.backend, self._model = _backend(self._mediapipe, model)

    @cached_property  # the model is read once, not for every clip
    def identity(self) -> str:
        """What the answers depend on besides the pictures."""
        model = hashlib.sha256(Path(self._model).read_bytes()).hexdigest()[:12] if self._model else "bundled"
        version = getattr(self._mediapipe, "__version__", "")
        return f"mediapipe {version} {self.backend} {model}, {self.tracking}, {self.most}, {self.confidence}, {self.mirrored}"

    def detect(self, pictures: Iterable[np.ndarray], fps: float = 10.0) -> list[tuple[Hand, ...]]:
        """The hands of each picture, uint8 (H, W, 3) RGB, in the order of time; () where there is none.

        Args:
            pictures: of one clip, or any with tracking=False.
            fps: of them a second.

        Raises:
            RadliteError: something else than such pictures, with tracking pictures of different sizes, or a model that
                MediaPipe cannot use.
        """
        opened = self._tasks if self.backend == "tasks" else self._solutions
        found: list[tuple[Hand, ...]] = []
        with opened() as look:
            for number, picture in enumerate(_checked(pictures, self.tracking)):
                found.append(look(picture, round(1000 * number / fps)))
        return found

    @contextmanager
    def _solutions(self) -> Iterator[Callable[[np.ndarray, int], tuple[Hand, ...]]]:
        options = {"static_image_mode": not self.tracking, "max_num_hands": self.most,
                   "min_detection_confidence": self.confidence, "min_tracking_confidence": self.confidence}  # fmt: skip
        with self._mediapipe.solutions.hands.Hands(**options) as graph:

            def look(picture: np.ndarray, milliseconds: int) -> tuple[Hand, ...]:
                said = graph.process(picture)
                words = [one.classification[0] for one in said.multi_handedness or ()]
                points = [one.landmark for one in said.multi_hand_landmarks or ()]
                return tuple(self._hand(p, w.label, w.score, True) for p, w in zip(points, words, strict=True))

            yield look

    @contextmanager
    def _tasks(self) -> Iterator[Callable[[np.ndarray, int], tuple[Hand, ...]]]:
        api = importlib.import_module("mediapipe.tasks.python")
        vision = importlib.import_module("mediapipe.tasks.python.vision")
        with self._landmarker(api, vision) as landmarker:

            def look(picture: np.ndarray, milliseconds: int) -> tuple[Hand, ...]:
                image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=picture)
                said = landmarker.detect_for_video(image, milliseconds) if self.tracking else landmarker.detect(image)
                words = [one[0] for one in said.handedness]
                both = zip(said.hand_landmarks, words, strict=True)
                return tuple(self._hand(points, word.category_name, word.score, False) for points, word in both)

            yield look

    def _landmarker(self, api: ModuleType, vision: ModuleType) -> Any:
        mode = vision.RunningMode.VIDEO if self.tracking else vision.RunningMode.IMAGE
        try:
            # as bytes: mediapipe takes a path that it cannot open for one inside its own package
            base = api.BaseOptions(model_asset_buffer=Path(self._model).read_bytes())
            options = vision.HandLandmarkerOptions(
                base_options=base, running_mode=mode, num_hands=self.most, min_hand_detection_confidence=self.confidence,
                min_hand_presence_confidence=self.confidence, min_tracking_confidence=self.confidence,
            )  # fmt: skip
            return vision.HandLandmarker.create_from_options(options)
        except (OSError, ValueError, RuntimeError) as error:
            fix = "run `radlite setup hands`, and give no model or that one"
            raise RadliteError("a model of MediaPipe's hand landmarker", f"{self._model} ({_line(error)})", fix) from error

    def _hand(self, points: Any, word: str, score: float, mirror: bool) -> Hand:
        """`mirror`: who said the word takes the picture for that of a mirror."""
        landmarks = np.array([(p.x, p.y, p.z) for p in points], np.float32).reshape(LANDMARKS, 3)
        right = (word.lower() == "right") != (mirror != self.mirrored)
        return Hand(landmarks, "right" if right else "left", min(1.0, max(0.0, float(score))))


def _mediapipe() -> ModuleType:
    os.environ.setdefault("GLOG_minloglevel", "2")  # read when it is loaded: it tells of every network that it sets up
    try:
        return importlib.import_module("mediapipe")
    except ModuleNotFoundError as error:
        found = "none" if error.name == "mediapipe" else f"one without its {error.name}"
        raise RadliteError("mediapipe", found, _how()) from error
    except Exception as error:  # a library that it cannot load, a numpy that it does not fit
        raise RadliteError("a mediapipe that can be imported", _line(error), _how()) from error


def _how() -> str:
    return (
        f"install it with `{INSTALL}` and run `radlite setup hands`; without a network after that, `{BUNDLED}` in an "
        "environment of its own has models in it; landmarks that were found elsewhere need none of this"
    )


def _backend(mediapipe: ModuleType, model: str | Path | None) -> tuple[Backend, Path | None]:
    """Which of the two to run, and the model of the first."""
    if model is not None and not Path(model).is_file():
        found = "a folder" if Path(model).is_dir() else "nothing"
        raise RadliteError(f"a hand landmarker's model at {model}", found, "check the path, or run `radlite setup hands`")
    path = model_path() if model is None else Path(model)
    if hasattr(mediapipe, "tasks") and path.is_file():
        return "tasks", path
    if hasattr(mediapipe, "solutions") and model is None:
        return "solutions", None
    if not hasattr(mediapipe, "tasks"):
        raise RadliteError("a mediapipe with the Tasks API", _version(mediapipe), _how())
    fix = f"run `radlite setup hands`; where there is no network, put a hand_landmarker.task at {path} or give its path"
    raise RadliteError("a model for MediaPipe's hand landmarker", f"none, and none in mediapipe {_version(mediapipe)}", fix)


def _version(mediapipe: ModuleType) -> str:
    return str(getattr(mediapipe, "__version__", "of unknown version"))[:40]


def _checked(pictures: Iterable[np.ndarray], alike: bool) -> Iterator[np.ndarray]:
    first: tuple[int, ...] | None = None
    for number, picture in enumerate(pictures):
        array = np.asarray(picture)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < LEAST_SIDE:
            expected = f"pictures of uint8 (height, width, 3), {LEAST_SIDE} pixels or more a side"
            raise RadliteError(expected, f"{array.dtype} {array.shape} as number {number}", "convert them to RGB first")
        first = first or array.shape
        if alike and array.shape != first:
            found = f"{first} and, as number {number}, {array.shape}"
            raise RadliteError("pictures of one size", found, "give one clip, or tracking=False")
        yield np.ascontiguousarray(array)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
