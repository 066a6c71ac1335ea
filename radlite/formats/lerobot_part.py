"""Some data files of a LeRobotDataset v3 as a small dataset of their own, so that every reader reads it.

A dataset on the Hub may be larger than the disk. Its meta/ says which data file holds which episode, and the files that are
wanted are enough: `LeRobotIndex` reads meta/ alone, `small_dataset` links those files beside a meta/ that speaks of nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from radlite.errors import RadliteError
from radlite.formats.action_mask import MASKS, frames_with_action, masks
from radlite.formats.card import ACTION_KEY, IMAGE_KEY
from radlite.formats.lerobot_rows import LeRobotRows, damage
from radlite.formats.lerobot_video import names_file, place_columns, video_files
from radlite.formats.lerobot_writer import FILE_PATTERN

INFO, META = "meta/info.json", ("meta/tasks.parquet", "meta/tasks.jsonl", "meta/episodes/*/*.parquet")
"""What `LeRobotIndex` reads, as patterns of a download."""

_PLACE = ("data/chunk_index", "data/file_index")


class LeRobotIndex(LeRobotRows):
    """What meta/ says; data/ is not looked at, and may be there in part or not at all.

    Attributes:
        instructions: of each episode; "" where there is none.
        files: of each episode, the data file that holds it, relative to the folder.
        videos: of each episode, the mp4 file that holds the main camera's pictures; empty where they lie in the data files.

    Raises:
        RadliteError: as `LeRobotRows`; also for episodes that do not tell their file or their tasks.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        with damage(root):
            table = pa.concat_tables(
                pq.read_table(path, columns=["episode_index", "tasks", *_PLACE], partitioning=None)
                for path in sorted((root / "meta" / "episodes").glob("*/*.parquet"))
            ).sort_by("episode_index")
            places = list(zip(*(table[name].to_pylist() for name in _PLACE), strict=True))
            bad = next((p for p in places if not names_file(p)), None)
            if bad is not None:
                expected = f"numbers of chunks and files in columns {' and '.join(_PLACE)} of {root / 'meta' / 'episodes'}"
                raise RadliteError(expected, f"{bad}", "write or download the dataset again")
            tasks = [row[0] if row else "" for row in table["tasks"].to_pylist()]
        self.files = ["data/" + FILE_PATTERN.format(chunk_index=chunk, file_index=file) for chunk, file in places]
        camera = self.camera(None, IMAGE_KEY)[0]
        self.places = self.episode_columns(place_columns(camera)) if self.is_video(camera) else {}
        self.videos = video_files(camera, self.places, root) if self.places else []
        self.instructions = [task.strip() if isinstance(task, str) else "" for task in tasks]

    def _data_files(self) -> list[Path]:
        return []

    def _check(self) -> None:
        """There is no data to agree with."""

    def _check_data(self) -> None:
        """Nor is its size asked: what is large may be cut."""


def small_dataset(index: LeRobotIndex, files: Collection[str], videos: Collection[str], source: Path, folder: Path, *,
                  human: bool = False) -> list[int]:
    """Makes a dataset of whole data files; returns the number that each of its episodes has in the large one.

    Args:
        index: of the large dataset.
        files: which of its data files.
        videos: which of its mp4 files; pictures of episodes in other ones cannot be read.
        source: the folder that holds meta/ and at least these files.
        folder: an empty folder to fill with links, or copies where the system has no links.
        human: make it a human dataset, without the columns of actions.
    """
    episodes = sorted((i for i, file in enumerate(index.files) if file in files), key=lambda i: (_number(index.files[i]), i))
    rows, start = [], 0
    for number, i in enumerate(episodes):
        end = start + index.starts[i + 1] - index.starts[i]
        rows.append({"episode_index": number, "dataset_from_index": start, "dataset_to_index": end, "meta": index.metas[i]})
        rows[-1] |= {name: values[i] for name, values in index.places.items()}
        start = end
    path = folder / "meta" / "episodes" / FILE_PATTERN.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    features = dict(index.features)
    if human:
        features = {name: feature for name, feature in features.items() if name not in (ACTION_KEY, *MASKS)}
    about = {"radlite": {"embodiment": "human"}} if human else {}
    info = index.info | about | {"features": features, "total_frames": start, "total_episodes": len(rows)}
    (folder / "meta" / "info.json").write_text(json.dumps(info), encoding="utf-8")
    tasks = [name for name in ("meta/tasks.parquet", "meta/tasks.jsonl") if (source / name).is_file()]
    for name in (*tasks, *sorted(files), *sorted(videos)):
        _link(source / name, folder / name)
    return episodes


def told_actions(index: LeRobotIndex, files: Collection[str], source: Path) -> tuple[set[int], set[int], set[int]]:
    """Episodes with an action in every frame, in none, and in some, of those in these data files.

    What cannot be read counts as the first: reading it says more.
    """
    every, none, some = set(), set(), set()
    for file in files:
        members = sorted(i for i, other in enumerate(index.files) if other == file)
        try:
            told = frames_with_action(source / file, ACTION_KEY, masks(index.features))
        except (OSError, pa.ArrowException):
            told = np.zeros(0, bool)
        lengths = [index.starts[i + 1] - index.starts[i] for i in members]
        if len(told) != sum(lengths):
            every.update(members)
            continue
        for i, rows in zip(members, np.split(told, np.cumsum(lengths)[:-1]), strict=True):
            (every if rows.all() else some if rows.any() else none).add(i)
    return every, none, some


def _number(file: str) -> tuple[int, int]:
    """Chunk and file of a name that `LeRobotIndex` made; chunk-1000 comes after chunk-999."""
    chunk, name = file.removeprefix("data/chunk-").removesuffix(".parquet").split("/file-")
    return int(chunk), int(name)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.symlink(source.resolve(), target)
    except OSError:  # Windows asks for a right to make links
        shutil.copyfile(source, target)
