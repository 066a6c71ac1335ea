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

import pyarrow as pa
import pyarrow.parquet as pq

from radlite.actions import ACTION_DIM
from radlite.errors import RadliteError
from radlite.formats.card import STATE_KEY
from radlite.formats.lerobot_rows import LeRobotRows, damage
from radlite.formats.lerobot_writer import FILE_PATTERN

INFO, META = "meta/info.json", ("meta/tasks.parquet", "meta/tasks.jsonl", "meta/episodes/*/*.parquet")
"""What `LeRobotIndex` reads, as patterns of a download."""

_PLACE = ("data/chunk_index", "data/file_index")
_MOST = 1_000_000  # chunks, and files in one


class LeRobotIndex(LeRobotRows):
    """What meta/ says; data/ is not looked at, and may be there in part or not at all.

    Attributes:
        instructions: of each episode; "" where there is none.
        files: of each episode, the data file that holds it, relative to the folder.

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
            bad = next((p for p in places if not all(isinstance(n, int) and 0 <= n < _MOST for n in p)), None)
            if bad is not None:
                expected = f"numbers of chunks and files in columns {' and '.join(_PLACE)} of {root / 'meta' / 'episodes'}"
                raise RadliteError(expected, f"{bad}", "write or download the dataset again")
            tasks = [row[0] if row else "" for row in table["tasks"].to_pylist()]
        self.files = ["data/" + FILE_PATTERN.format(chunk_index=chunk, file_index=file) for chunk, file in places]
        self.instructions = [task.strip() if isinstance(task, str) else "" for task in tasks]

    def _data_files(self) -> list[Path]:
        return []

    def _check(self) -> None:
        """There is no data to agree with."""

    def _check_data(self) -> None:
        """Nor is its size asked: what is large may be cut."""


def small_dataset(index: LeRobotIndex, files: Collection[str], source: Path, folder: Path) -> list[int]:
    """Makes a dataset of whole data files; returns the number that each of its episodes has in the large one.

    A state of another width than radlite's is not a feature of it: a policy does without.

    Args:
        index: of the large dataset.
        files: which of its data files.
        source: the folder that holds meta/ and at least these files.
        folder: an empty folder to fill with links, or copies where the system has no links.
    """
    episodes = sorted((i for i, file in enumerate(index.files) if file in files), key=lambda i: (_number(index.files[i]), i))
    rows, start = [], 0
    for number, i in enumerate(episodes):
        end = start + index.starts[i + 1] - index.starts[i]
        rows.append({"episode_index": number, "dataset_from_index": start, "dataset_to_index": end, "meta": index.metas[i]})
        start = end
    path = folder / "meta" / "episodes" / FILE_PATTERN.format(chunk_index=0, file_index=0)
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    features = dict(index.features)
    if features.get(STATE_KEY, {}).get("shape") not in (None, [ACTION_DIM]):
        del features[STATE_KEY]
    info = index.info | {"features": features, "total_frames": start, "total_episodes": len(rows)}
    (folder / "meta" / "info.json").write_text(json.dumps(info), encoding="utf-8")
    tasks = [name for name in ("meta/tasks.parquet", "meta/tasks.jsonl") if (source / name).is_file()]
    for name in (*tasks, *sorted(files)):
        _link(source / name, folder / name)
    return episodes


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
