"""Rollouts kept for people: drawn frames on disk while an arm acts, both arms side by side when the report is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from radlite.formats.staging import disk_errors, read_json
from radlite.rollouts import Outcome
from radlite.show import draw_prediction, side_by_side

ARMS = ("ecot", "rad")
TITLES = {"ecot": "ECoT: robot demonstrations only", "rad": "RAD: the same, plus human clips without actions"}
SIZE = 384  # pixels a side of a drawn frame


def clip_files(out: Path, arm: str, number: int) -> tuple[Path, Path]:
    """Where a clip of an arm lies in a demo's folder: its frames, and what it is about."""
    return out / "clips" / f"{arm}_{number}.npz", out / "clips" / f"{arm}_{number}.json"


def keep_clip(out: Path, arm: str, number: int, outcome: Outcome) -> None:
    """Writes one rollout as drawn frames; the last one, when all is done, stands for two."""
    shown = zip(outcome.frames, outcome.thoughts, outcome.actions, strict=False)
    frames = [draw_prediction(frame, thought.reasoning, action, size=SIZE) for frame, thought, action in shown]
    last = draw_prediction(outcome.frames[-1], outcome.thoughts[-1].reasoning, None, size=SIZE)
    task = outcome.trial.task
    about = {"instruction": task.instruction, "axis": outcome.trial.axis, "success": outcome.success}
    pictures, words = clip_files(out, arm, number)
    with disk_errors(pictures.parent):
        pictures.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(pictures, frames=np.stack([*frames, last, last]))
        words.write_text(json.dumps(about))


def side_by_side_clips(out: Path, count: int) -> list[tuple[str, np.ndarray]]:
    """(title, frames uint8 (T, H, W, 3)) of the first `count` clips, all arms beside each other.

    Raises:
        RadliteError: a clip that is missing or damaged.
    """
    clips = []
    for number in range(count):
        files = [clip_files(out, arm, number) for arm in ARMS]
        about = [read_json(words, "a clip") for _, words in files]
        frames = [np.load(pictures)["frames"] for pictures, _ in files]
        said = zip(ARMS, about, strict=True)
        titles = tuple(f"{TITLES[arm]} - {'done' if told['success'] else 'not done'}" for arm, told in said)
        title = f"{about[0]['instruction']} ({about[0]['axis'].replace('_', ' ')})"
        clips.append((title, side_by_side(*frames, titles=titles)))
    return clips
