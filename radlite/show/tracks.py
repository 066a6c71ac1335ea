"""What the player plays: recordings of any kind as tracks, and the chains of a track as text and as a timeline.

An episode, a rollout and a bare tuple of frames and chains all become a `Track`: frames, and for each the
chain and the action that belong to it, or None. Nothing here knows Jupyter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.reasoning import FIELDS, Reasoning
from radlite.show.panel import action_text, field_text
from radlite.show.text import clean
from radlite.show.video import as_frame

KINDS = (
    "an Episode, the Outcome of a rollout that kept its frames, or a tuple (frames, chains) or (frames, chains, actions)"
)
Segment = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Track:
    """One recording.

    Attributes:
        frames: T pictures, uint8 (H, W, 3).
        chains: T chains, None for a frame without one.
        actions: T actions (7,), None for a frame without one.
        title: one line: what this is.
        note: one line: what became of it, or "".
        fps: frames a second, where the recording says so.
    """

    frames: list[np.ndarray]
    chains: list[Reasoning | None]
    actions: list[np.ndarray | None]
    title: str = ""
    note: str = ""
    fps: float | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def held(self, index: int) -> int:
        """The track's own frame at `index`: past its end the last one stays."""
        return min(max(index, 0), len(self) - 1)


def as_track(source: object) -> Track:
    """Any recording as a `Track`.

    Args:
        source: an `Episode`; an `Outcome`, or anything else with `frames`, `thoughts` and `actions`; a tuple
            (frames, chains) or (frames, chains, actions). Chains are `Reasoning`, `Prediction` or None. There may be one
            frame more than there are chains: the picture after the last action.

    Raises:
        RadliteError: another kind of thing, no frames, frames that are no pictures, chains or actions of a wrong number
            or type.
    """
    if isinstance(source, Episode):
        chains, actions = _chains(source.reasoning), source.actions
        about = {"title": source.instruction, "note": f"{source.embodiment} demonstration", "fps": source.fps}
    elif hasattr(source, "frames") and hasattr(source, "thoughts"):
        chains, actions = _chains(source.thoughts), getattr(source, "actions", None)
        about = {"title": _instruction(source), "note": _ending(source)}
    elif isinstance(source, tuple) and len(source) in (2, 3):
        chains, actions, about = _chains(source[1]), source[2] if len(source) == 3 else _said_actions(source[1]), {}
    else:
        raise RadliteError(KINDS, _kind(source), "pass one of these, for instance dataset[0]")
    frames = _frames(source[0] if isinstance(source, tuple) else source.frames)
    chains, actions = _aligned(chains, len(frames), "chains"), _aligned(actions, len(frames), "actions")
    about = {name: clean(v, 200) if isinstance(v, str) else v for name, v in about.items()}
    return Track(frames, chains, [_action(a, k) for k, a in enumerate(actions)], **about)


def _frames(value: object) -> list[np.ndarray]:
    frames = [as_frame(frame) for frame in _listed(value, "frames")]
    if not frames:
        raise RadliteError("at least one frame", "none", "for a rollout: rollout(agent, trials, keep=[0])")
    return frames


def _chains(values: object) -> list[Reasoning | None] | None:
    """Chains of one type; out of a prediction its chain is taken."""
    if values is None:
        return None
    return [_chain(getattr(v, "reasoning", v), k) for k, v in enumerate(_listed(values, "chains"))]


def _chain(value: object, step: int) -> Reasoning | None:
    if value is None:
        return None
    try:
        return Reasoning.from_dict(value.to_dict())  # nobody has checked what stands in it
    except (AttributeError, TypeError, ValueError, OverflowError, RadliteError) as error:
        found = f"{_kind(value)} at frame {step} ({clean(error, 200)})"
        raise RadliteError("a Reasoning, a Prediction or None for each frame", found, "see Reasoning.from_dict") from error


def _said_actions(chains: object) -> list | None:
    """The actions that predictions hold."""
    return None if chains is None else [getattr(v, "action", None) for v in chains]


def _action(value: object, step: int) -> np.ndarray | None:
    if value is None:
        return None
    try:
        action = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        action = np.empty(0)
    if action.shape != (7,):
        raise RadliteError("seven numbers an action, or None", f"{_kind(value)} at frame {step}", "see Episode.actions")
    return action


def _listed(value: object, what: str) -> list:
    try:
        return list(value)
    except TypeError as error:
        raise RadliteError(f"a sequence of {what}", _kind(value), KINDS) from error


def _aligned(values: object, count: int, what: str) -> list:
    """One value a frame. The frame after the last action may lack one; None stands for none at all."""
    values = [None] * count if values is None else _listed(values, what)
    if len(values) not in (count - 1, count):
        raise RadliteError(f"{what} for {count} frames", f"{len(values)}", "give one a frame, None where there is none")
    return values + [None] * (count - len(values))


def _instruction(outcome: object) -> str:
    return str(getattr(getattr(getattr(outcome, "trial", None), "task", None), "instruction", ""))


def _ending(outcome: object) -> str:
    success = getattr(outcome, "success", None)
    if success is None:
        return ""
    return f"{'done in' if success else 'not done after'} {len(outcome.actions)} steps"


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else f"{'an' if name[:1] in 'AEIO' else 'a'} {name}"


# ------------------------------------------------------------------------------------------------ text and timeline
def spoken(chain: Reasoning | None, action: np.ndarray | None) -> dict[str, str]:
    """The text of a chain and its action, field by field: clean lines; a field that is absent has no key."""
    said = {f: field_text(f, getattr(chain, f)) for f in FIELDS if getattr(chain, f, None) is not None}
    return said if action is None else {**said, "action": action_text(action)}


def segments(tracks: Sequence[Track]) -> list[list[Segment]]:
    """The timeline of each track: runs of frames with the same subtask.

    Returns:
        For each track a list of {"start": first frame, "stop": one past the last, "label": the subtask, "kind": its
        number, "letter": "A", "B", ...}. The same subtask has the same number and letter in all tracks, in order of first
        appearance. Frames without a subtask belong to no segment.
    """
    kinds: dict[str, int] = {}
    lines = []
    for track in tracks:
        labels = [clean(getattr(chain, "subtask", None), 200) for chain in track.chains]
        line, start = [], 0
        for label, run in groupby(labels):
            stop = start + len(list(run))
            if label:
                kind = kinds.setdefault(label, len(kinds))
                line.append({"start": start, "stop": stop, "label": label, "kind": kind, "letter": letter(kind)})
            start = stop
        lines.append(line)
    return lines


def letter(kind: int) -> str:
    """A, B, ... Z, A2, B2, ...: what tells subtasks apart where colours do not."""
    return chr(ord("A") + kind % 26) + (str(kind // 26 + 1) if kind >= 26 else "")
