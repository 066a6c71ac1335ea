"""One episode: what a robot did, or what a human hand did, frame by frame.

A robot episode is frames + reasoning + actions; a human episode is frames + reasoning and has *no* action,
not a zero one: zeros would teach the policy to stand still (RAD trains the reasoning on both and the action
on the robot's only). An `Episode` is what recorders, annotators and the simulator make; a `Sample` is one
frame of it, what training draws.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from radlite.actions import ACTION_DIM
from radlite.errors import RadliteError
from radlite.reasoning import FRAME_SIZE, Reasoning

Embodiment = Literal["robot", "human"]


@dataclass(eq=False)
class Episode:
    """One demonstration of T frames.

    Attributes:
        instruction: what was asked for ("put the red can on the plate").
        frames: uint8 (T, H, W, 3) RGB.
        reasoning: T chains, or None for a frame that has none; in pixels of a 256x256 frame, whatever H, W.
        embodiment: "robot" or "human".
        actions: float (T, 7), kept as float32; robot only. dx, dy, dz in metres, droll, dpitch,
            dyaw in radians, gripper 1 open, 0 closed.
        states: float (T, 7), kept as float32, the gripper's pose in the same order, or None.
        fps: frames a second.
        meta: notes of your own, JSON scalars by name.
    """

    instruction: str
    frames: np.ndarray
    reasoning: list[Reasoning | None]
    embodiment: Embodiment
    actions: np.ndarray | None = None
    states: np.ndarray | None = None
    fps: float = 5.0
    meta: dict[str, str | int | float | bool | None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frames)

    def validate(self) -> None:
        """Raise `RadliteError` at the first thing that would not train or would not survive on disk."""
        if not isinstance(self.instruction, str) or not self.instruction.strip():
            raise RadliteError("an instruction in words", repr(self.instruction), "say what is to be done")
        try:
            self.instruction.encode()
        except UnicodeEncodeError as error:
            raise RadliteError("an instruction in UTF-8", str(error), "remove that character") from error
        if self.embodiment not in ("robot", "human"):
            raise RadliteError(
                "embodiment 'robot' or 'human'", repr(self.embodiment), "name who acts in the frames"
            )
        self._validate_frames()
        if self.embodiment == "human" and self.actions is not None:
            fix = "pass actions=None: invented actions are what the method avoids"
            raise RadliteError("no actions in a human episode", f"an array of {np.shape(self.actions)}", fix)
        if self.embodiment == "robot" and self.actions is None:
            raise RadliteError(
                "actions in a robot episode", "None", "add them, or call the embodiment 'human'"
            )
        _validate_vectors("actions", self.actions, len(self))
        _validate_vectors("states", self.states, len(self))
        self._validate_reasoning()
        _validate_meta(self.meta)

    def _validate_frames(self) -> None:
        shape, dtype = np.shape(self.frames), getattr(self.frames, "dtype", type(self.frames).__name__)
        if len(shape) == 0 or shape[0] == 0:
            raise RadliteError("at least one frame", "no frames", "drop this episode")
        if dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise RadliteError(
                "frames as uint8 (T, H, W, 3)", f"{dtype} {shape}", "convert them to RGB bytes"
            )
        ok = isinstance(self.fps, int | float) and not isinstance(self.fps, bool) and math.isfinite(self.fps)
        if not ok or self.fps <= 0:
            raise RadliteError("fps as frames a second, above 0", repr(self.fps), "pass the camera's rate")

    def _validate_reasoning(self) -> None:
        if len(self.reasoning) != len(self):
            fix = "give one per frame, None where there is none"
            raise RadliteError(f"{len(self)} reasonings, one a frame", f"{len(self.reasoning)}", fix)
        for step, reasoning in enumerate(self.reasoning):
            if reasoning is not None and not isinstance(reasoning, Reasoning):
                found = f"{type(reasoning).__name__} at step {step}"
                raise RadliteError("a Reasoning or None for each frame", found, "use Reasoning.from_text")
            try:
                if reasoning is not None:
                    reasoning.validate(FRAME_SIZE)
            except RadliteError as error:
                raise RadliteError(error.expected, f"{error.found} at step {step}", error.fix) from error


@dataclass(frozen=True, eq=False)
class Sample:
    """One frame to learn from: image uint8 (H, W, 3), action float32 (7,) or None, `step` within its episode.

    Arrays may be read-only views of the dataset's memory; copy before changing them."""

    image: np.ndarray
    instruction: str
    reasoning: Reasoning | None
    action: np.ndarray | None
    embodiment: Embodiment
    episode: int
    step: int


def _validate_vectors(name: str, values: np.ndarray | None, length: int) -> None:
    if values is None:
        return
    kind, shape = getattr(getattr(values, "dtype", None), "kind", type(values).__name__), np.shape(values)
    if kind != "f" or shape != (length, ACTION_DIM):
        expected = f"{name} as float32 ({length}, {ACTION_DIM}), one row a frame"
        raise RadliteError(
            expected, f"{getattr(values, 'dtype', kind)} {shape}", "give one row for each frame"
        )
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is caught as such
        bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)).all(1))
    if len(bad):
        raise RadliteError(f"finite {name}", f"NaN or infinity at step {bad[0]}", "drop or repair that step")


def _validate_meta(meta: dict[str, str | int | float | bool | None]) -> None:
    fix = "keep only text, numbers, True/False and None, by name"
    if not isinstance(meta, dict):
        raise RadliteError("meta as a dict", type(meta).__name__, fix)
    for name, value in meta.items():
        scalar = value is None or isinstance(value, str | int | float)
        if not isinstance(name, str) or not scalar or isinstance(value, float) and not math.isfinite(value):
            raise RadliteError("JSON scalars in meta", f"{name!r}: {value!r}"[:100], fix)
    try:
        json.dumps(meta)  # subclasses of str, int and float may still refuse
    except (TypeError, ValueError) as error:
        raise RadliteError("JSON scalars in meta", str(error), fix) from error
