"""`radlite predict`: real or simulated frames in, chains, actions and drawn overlays out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors
from radlite.policy import Policy, Prediction
from radlite.reasoning import Reasoning
from radlite.show import draw_prediction, read_images, read_video, write_mp4

VIDEO = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif", ".m4v")
BATCH = 32


def read_frames(path: str | Path, max_frames: int = 60) -> tuple[list[np.ndarray], float]:
    """Frames uint8 (H, W, 3) of a picture, a folder of pictures or a video, and frames a second (5 for pictures).

    Raises:
        RadliteError: nothing there, or nothing that can be read.
    """
    path = Path(path)
    if not path.exists():
        raise RadliteError("a picture, a folder of pictures or a video", str(path), "check the path")
    if path.suffix.lower() in VIDEO:
        frames, fps = read_video(path, max_frames)
        return list(frames), fps
    return read_images(path)[:max_frames], 5.0


def predict_frames(policy: Policy, frames: Sequence[np.ndarray], instruction: str, reasoning: Reasoning | None = None,
                   progress: bool = True) -> list[Prediction]:
    """One prediction a frame; the plan of the first frame is kept for the others unless a chain is given."""
    said = policy.predict(frames[:1], [instruction], reasoning)
    chain = reasoning or Reasoning(task=said[0].reasoning.task, plan=said[0].reasoning.plan)
    starts = range(1, len(frames), BATCH)
    for start in tqdm(starts, desc="predict", unit="batch", disable=not progress or len(starts) < 2, leave=False):
        part = list(frames[start : start + BATCH])
        said += policy.predict(part, [instruction] * len(part), chain, drafts=[said[-1]] * len(part))
    return said


def overlay_path(out: str | Path, frames: int) -> Path:
    """Where the overlay of that many frames goes; asked before the work, so that a wrong name does not cost it.

    Raises:
        RadliteError: a name of another kind of file, or of a picture for more than one frame.
    """
    out = Path(out)
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".mp4"):
        raise RadliteError("a name ending in .png, .jpg, .webp or .mp4", str(out), "choose another --out")
    if frames != 1 and out.suffix.lower() != ".mp4":
        raise RadliteError("a name ending in .mp4 for more than one frame", str(out), "choose another --out")
    return out


def write_overlay(out: str | Path, frames: Sequence[np.ndarray], said: Sequence[Prediction], fps: float) -> Path:
    """Draws predictions beside their frames: one picture (.png) or a video (.mp4).

    Raises:
        RadliteError: more than one frame for a picture, another kind of file, or a place that cannot be written.
    """
    out = overlay_path(out, len(frames))
    drawn = [draw_prediction(f, p.reasoning, p.action) for f, p in zip(frames, said, strict=True)]
    if out.suffix.lower() == ".mp4":
        return write_mp4(out, drawn, fps)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn[0]).save(out)
    return out
