"""Write episodes to disk: checked one by one, streamed, and whole or not at all.

An `Episode` becomes rows of the LeRobotDataset v3 layout here (`formats.lerobot_writer` knows the layout,
`formats.staging` keeps half-written folders out of sight); `radlite.episodes` reads it back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radlite.episode import Embodiment, Episode
from radlite.errors import RadliteError
from radlite.formats.card import (
    ACTION_KEY,
    ACTION_NAMES,
    IMAGE_KEY,
    REASONING_KEY,
    STATE_KEY,
    STATE_NAMES,
    card_text,
    units_of,
)
from radlite.formats.language import PERSISTENT, language_columns
from radlite.formats.lerobot_writer import IMAGE_FORMATS, LeRobotWriter
from radlite.formats.staging import disk_errors, staged_folder
from radlite.reasoning import FRAME_SIZE


@dataclass(frozen=True)
class DatasetInfo:
    """What `write_dataset` wrote: counts, frame shape (H, W, 3), rate, and the distinct instructions."""

    path: Path
    embodiment: Embodiment
    num_episodes: int
    num_frames: int
    fps: float
    image_shape: tuple[int, int, int]
    instructions: tuple[str, ...]


def write_dataset(
    path: str | Path,
    episodes: Iterable[Episode],
    *,
    image_format: str = "png",
    overwrite: bool = False,
    origin: str = "not told",
    license: str = "mit",
    language: bool = False,
) -> DatasetInfo:
    """Write episodes as a LeRobotDataset v3 folder, one in memory at a time, whole or not at all.

    Args:
        path: the folder to make.
        episodes: all of one embodiment, rate and frame size, and all with `states` or all without.
            May be a generator; an error that it raises comes out as it is and leaves no trace on disk.
        image_format: "png" or "webp", which keep every pixel, or "mp4" (H.264), smaller and a little off.
        overwrite: replace the dataset that is there. It may be the one `episodes` is being read from.
        origin: where the episodes come from and how they were made, for the dataset card.
        license: for the dataset card, as the Hub abbreviates it.
        language: write LeRobot's language columns as well, for its recipes; see `formats.language` for what they hold. LeRobot
            before 0.6 does not open a dataset that has them.

    Raises:
        RadliteError: an episode is not valid or does not fit the others, or the disk refuses.
    """
    if image_format not in IMAGE_FORMATS:
        raise RadliteError(f"image_format one of {IMAGE_FORMATS}", repr(image_format), "choose one of them")
    target = Path(path)
    with staged_folder(target, overwrite, {"meta", "data", "videos", "README.md"}) as folder:
        writer, first, count = None, None, 0
        try:
            for episode in episodes:
                first = episode if first is None else first
                _check_member(episode, first, count)
                with disk_errors(target):
                    writer = writer or _writer(folder, episode, image_format, language)
                    _add(writer, episode, count)
                count += 1
            if writer is None:
                raise RadliteError("at least one episode", "none", "check what feeds write_dataset")
            info = DatasetInfo(
                target,
                first.embodiment,
                count,
                writer.num_frames,
                float(first.fps),
                first.frames.shape[1:],
                writer.tasks,
            )
            with disk_errors(target):
                units = units_of(writer.features)
                about = {"embodiment": first.embodiment, "units": units, "frame_size": FRAME_SIZE}
                writer.finish({"robot_type": first.embodiment, "radlite": about})
                text = card_text(vars(info), units, origin, license)
                (folder / "README.md").write_text(text, encoding="utf-8")
        finally:
            if writer is not None:
                writer.abort()
    return info


def _check_member(episode: Episode, first: Episode, number: int) -> None:
    """The episode is valid by itself and has the columns, rate and frame size of the first one."""
    if not isinstance(episode, Episode):
        raise RadliteError(
            "Episode objects", f"{type(episode).__name__} at number {number}", "build an Episode"
        )
    try:
        episode.validate()
    except RadliteError as error:
        raise RadliteError(error.expected, f"{error.found} (episode {number})", error.fix) from error
    same = {
        "embodiment": lambda e: e.embodiment,
        "fps": lambda e: e.fps,
        "frame size": lambda e: e.frames.shape[1:],
        "presence of states": lambda e: e.states is not None,
    }
    for name, of in same.items():
        if of(episode) != of(first):
            found = f"{of(episode)} in episode {number} after {of(first)} in episode 0"
            raise RadliteError(
                f"one {name} in a dataset", found, "write two datasets, or make the episodes alike"
            )


def _writer(folder: Path, first: Episode, image_format: str, language: bool) -> LeRobotWriter:
    vectors = {STATE_KEY: STATE_NAMES} if first.states is not None else {}
    if first.embodiment == "robot":
        vectors |= {ACTION_KEY: ACTION_NAMES}
    return LeRobotWriter(
        folder,
        fps=first.fps,
        image_key=IMAGE_KEY,
        image_shape=first.frames.shape[1:],
        vectors=vectors,
        texts=(REASONING_KEY,),
        language=language,
        image_format=image_format,
    )


def _add(writer: LeRobotWriter, episode: Episode, number: int) -> None:
    columns: dict[str, Any] = {STATE_KEY: episode.states, ACTION_KEY: episode.actions}
    columns = {name: np.asarray(values, np.float32) for name, values in columns.items() if values is not None}
    if PERSISTENT in writer.features:
        times = (np.arange(len(episode)) / episode.fps).astype(np.float32)
        columns |= language_columns(episode.reasoning, times, IMAGE_KEY, episode.frames.shape[1:])
    texts = ["" if r is None else json.dumps(r.to_dict(), ensure_ascii=False) for r in episode.reasoning]
    try:
        writer.add(
            episode.instruction, episode.frames, {**columns, REASONING_KEY: texts}, json.dumps(episode.meta)
        )
    except UnicodeEncodeError as error:
        found = f"half a character ({error}) in episode {number}"
        raise RadliteError("text that can be written as UTF-8", found, "remove that character") from error
