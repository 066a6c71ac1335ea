"""Read the LeRobotDataset v3 layout with pyarrow, whoever wrote it.

Opening reads only `meta/` and the footers of the parquet files: how many frames there are, where each episode
begins, which columns exist. Columns come in whole and on demand (they are small); pictures come one row group
at a time, or one by one out of mp4 files (`lerobot_video`). Frames are numbered 0..N-1 in the order of the data
files, chunk by chunk and file by file, as LeRobot numbers them. Everything read is somebody else's: anything
missing, broken or contradictory is a `RadliteError` that names it.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radlite.actions import ACTION_DIM
from radlite.errors import RadliteError
from radlite.formats.action_mask import APART
from radlite.formats.card import ACTION_KEY, STATE_KEY
from radlite.formats.language import language_names, texts
from radlite.formats.lerobot_video import Videos, place_columns
from radlite.formats.picture import decode_image
from radlite.formats.picture_column import PictureColumn

_AGAIN = "write or download the dataset again"
_EPISODE_COLUMNS = {"episode_index", "dataset_from_index", "dataset_to_index"}


class LeRobotReader:
    """What lies in one dataset folder.

    Attributes:
        root: the folder.
        info: meta/info.json.
        features: name -> {"dtype", "shape", "names"} of every column, but for a state of another width than radlite's (joint
            angles, say): a policy does without.
        tasks: task_index -> instruction.
        num_frames: N.
        starts: E+1 numbers; episode i holds the frames starts[i] .. starts[i+1]-1.
        metas: JSON text kept with each episode ("{}" where the writer kept none).
        num_groups: row groups in all data files.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = _read_info(root)
        self.features: dict[str, dict[str, Any]] = dict(self.info["features"])
        if self.features.get(STATE_KEY, {}).get("shape") not in (None, [ACTION_DIM]):
            del self.features[STATE_KEY]
        self.tasks = _read_tasks(root)
        self.starts, self.metas = _read_episodes(root)
        self.num_frames = self.starts[-1]
        self._files = self._data_files()
        self._footers = [read_footer(path) for path in self._files]
        groups = [(f, g) for f, footer in enumerate(self._footers) for g in range(footer.num_row_groups)]
        self._groups = groups
        self._group_starts = [0, *accumulate(self._footers[f].row_group(g).num_rows for f, g in groups)]
        self.num_groups = len(groups)
        self._columns: dict[str, PictureColumn] = {}
        self._videos: dict[str, Videos] = {}
        self._check()

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all N frames."""
        parts = []
        for path, footer in zip(self._files, self._footers, strict=True):
            with _parquet_errors(path):
                table = pq.ParquetFile(path, metadata=footer).read(columns=[name])
                parts.append(table.column(name))
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)

    def camera(self, name: str | None, preferred: str) -> tuple[str, tuple[int, int, int]]:
        """The picture column `name` and its (H, W, 3); unnamed: `preferred`, else the first there is."""
        images = [key for key, feature in self.features.items() if feature["dtype"] in ("image", "video")]
        if name is None:
            seen = [key for key in images if not _is_depth(self.features[key])]
            name = preferred if preferred in seen or not seen else seen[0]
        if name not in images:
            fix = "pass camera= one of these"
            raise RadliteError(f"picture column {name!r} in {self.root}", f"picture columns {images}", fix)
        shape, names = self.features[name]["shape"], self.features[name].get("names") or [""]
        if len(shape) == 3 and isinstance(names, list) and str(names[0]).startswith("channel"):
            shape = [*shape[1:], shape[0]]  # some write (3, H, W)
        if len(shape) != 3 or shape[2] != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise RadliteError(
                f"shape [H, W, 3] of {name!r} in {self.root / 'meta' / 'info.json'}", f"{shape}", _AGAIN
            )
        return name, tuple(shape)

    def is_video(self, name: str) -> bool:
        """Whether a camera's pictures lie in mp4 files, and in no column."""
        return self.features[name]["dtype"] == "video"

    def picture(self, frame: int, name: str, shape: tuple[int, int, int]) -> np.ndarray:
        """One frame of a camera as uint8 (H, W, 3); `shape` as `camera` tells it."""
        if self.is_video(name):
            return self.videos(name, shape).frame(frame)
        return decode_image(self.image(frame, name), shape, f"frame {frame}, column {name!r} of {self.root}")

    def videos(self, name: str, shape: tuple[int, int, int]) -> Videos:
        """The pictures of a camera that lie in mp4 files."""
        if name not in self._videos:
            places = self.episode_columns(place_columns(name))
            self._videos[name] = Videos(self.root, name, shape, self.info["fps"], self.starts, places)
        return self._videos[name]

    def episode_columns(self, names: list[str]) -> dict[str, list]:
        """Columns of meta/episodes, one value an episode."""
        tables = [_read_small(path, set(names), set()) for path in _numbered(self.root / "meta" / "episodes")]
        return {name: [value for table in tables for value in table[name].to_pylist()] for name in names}

    def task_index(self) -> np.ndarray:
        """Which of `tasks` each frame belongs to, int64 (N,)."""
        values = self.column("task_index")
        if values.null_count or not pa.types.is_integer(values.type):
            found = f"{values.type} with {values.null_count} empty rows"
            raise RadliteError(f"whole numbers in column 'task_index' of {self.root}", found, _AGAIN)
        numbers = values.to_numpy().astype(np.int64)
        unknown = set(np.unique(numbers).tolist()) - set(self.tasks)
        if unknown:
            found = f"task_index {min(unknown)} in data/ that is not there"
            raise RadliteError(f"every task of {self.root} in meta/tasks.parquet", found, _AGAIN)
        return numbers

    def vectors(self, name: str, width: int) -> np.ndarray:
        """A column of vectors, float32 (N, width), all of them finite."""
        told = self.features[name]["shape"]
        if told != [width]:
            fix = "convert them: radlite's actions are changes of position and rotation, and the gripper"
            raise RadliteError(f"{width} numbers in column {name!r} of {self.root}", f"shape {told}", fix)
        values = self.column(name)
        with _column_errors(name, self.root):
            widths = pc.list_value_length(values).to_numpy()
        if not np.array_equal(widths, np.full(self.num_frames, width)):
            bad = int(np.argmax(widths != width))
            found = f"{widths[bad]} in frame {bad}"
            raise RadliteError(
                f"{width} numbers in column {name!r} of {self.root}", found, "drop that episode"
            )
        with _column_errors(name, self.root):
            array = pc.list_flatten(values).cast(pa.float32()).to_numpy().reshape(-1, width)
        bad = np.flatnonzero(~np.isfinite(array).all(1))
        if len(bad):
            found = f"NaN or infinity in frame {bad[0]}"
            fix = "drop that episode"
            if name == ACTION_KEY and np.isnan(array).any():
                fix += f", or, if NaN stands for frames without an action, {APART}"
            raise RadliteError(f"finite numbers in column {name!r} of {self.root}", found, fix)
        return array.copy()

    def texts(self, name: str) -> pa.ChunkedArray:
        """A text column of all N frames, left in Arrow's memory."""
        with _column_errors(name, self.root):
            return self.column(name).cast(pa.large_string())

    def language_texts(self, camera: str, shape: tuple[int, int, int]) -> pa.ChunkedArray:
        """The chains that LeRobot's language columns tell, as JSON, of all N frames; see `language.texts`."""
        names, parts = ["timestamp", *language_names(self.features)], []
        for path, footer in zip(self._files, self._footers, strict=True):
            with _parquet_errors(path), pq.ParquetFile(path, metadata=footer, pre_buffer=False) as parquet:
                batches = parquet.iter_batches(1 << 10, columns=names)
                parts += [pa.array(texts(batch, camera, shape), pa.large_string()) for batch in batches]
        return pa.chunked_array(parts, pa.large_string())

    def group_images(self, group: int, name: str) -> tuple[int, pa.Array]:
        """The encoded pictures of one row group: number of its first frame, and bytes (null if absent)."""
        return self._group_starts[group], self._pictures(name).group(group)

    def image(self, frame: int, name: str) -> bytes | None:
        """The encoded picture of one frame."""
        return self._pictures(name)[frame]

    def _pictures(self, name: str) -> PictureColumn:
        if name not in self._columns:
            self._columns[name] = PictureColumn(
                name, self._files, self._footers, self._groups, self._group_starts, _parquet_errors
            )
        return self._columns[name]

    def _data_files(self) -> list[Path]:
        return _numbered(self.root / "data")

    def _check(self) -> None:
        """The parts agree: every feature is a column of every file, and all count the same frames."""
        if not self._files:
            raise RadliteError(f"data/chunk-000/file-000.parquet in {self.root}", "no data file", _AGAIN)
        wanted = {name for name, feature in self.features.items() if feature["dtype"] != "video"}
        for path, footer in zip(self._files, self._footers, strict=True):
            missing = sorted((wanted | {"task_index"}) - set(footer.schema.to_arrow_schema().names))
            if missing:
                raise RadliteError(f"column {missing[0]!r} in {path}", "no such column", _AGAIN)
        rows, told = self._group_starts[-1], self.info["total_frames"]
        if not rows == told == self.num_frames:
            found = f"{rows} in data/, {told} in info.json, {self.num_frames} in meta/episodes"
            raise RadliteError(f"the same number of frames everywhere in {self.root}", found, _AGAIN)


def _is_depth(feature: dict[str, Any]) -> bool:
    about = feature.get("info") or feature.get("video_info")
    return isinstance(about, dict) and bool(about.get("video.is_depth_map") or about.get("is_depth_map"))


def _read_info(root: Path) -> dict[str, Any]:
    path = root / "meta" / "info.json"
    if not path.is_file():
        fix = "give the folder that holds meta/ and data/"
        raise RadliteError(f"a LeRobot dataset with meta/info.json at {root}", "no such file", fix)
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RadliteError(f"JSON in {path}", str(error), _AGAIN) from error
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version != "v3.0":
        run = "`python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=OWNER/NAME --push-to-hub=false`"
        fix = f"convert v2.1 with {run}; older ones take a step before, see docs/bridge.md"
        raise RadliteError(f"codebase_version 'v3.0' in {path}", repr(version), fix)
    kinds = {"features": dict, "fps": (int, float), "total_frames": int}
    for key, kind in kinds.items():
        if not isinstance(info.get(key), kind):
            raise RadliteError(f"{key!r} in {path}", repr(info.get(key)), _AGAIN)
    if not 0 < info["fps"] < float("inf"):  # JSON as Python reads it may hold NaN, too
        raise RadliteError(f"'fps' above 0 in {path}", repr(info["fps"]), _AGAIN)
    for name, feature in info["features"].items():
        if not (isinstance(feature, dict) and "dtype" in feature and isinstance(feature.get("shape"), list)):
            raise RadliteError(f"dtype and shape of feature {name!r} in {path}", repr(feature)[:80], _AGAIN)
    return info


def _read_tasks(root: Path) -> dict[int, str]:
    path, lines = root / "meta" / "tasks.parquet", root / "meta" / "tasks.jsonl"
    if not path.exists() and lines.is_file():  # the guide's older spelling
        try:
            rows = [
                json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines() if line.strip()
            ]
            return {int(row["task_index"]): str(row["task"]) for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RadliteError(f"task_index and task on each line of {lines}", repr(error), _AGAIN) from error
    table = _read_small(path, {"task_index"})
    names = [
        field.name
        for field in table.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    if not names:
        raise RadliteError(f"column 'task' in {path}", "no text column", _AGAIN)
    name = "task" if "task" in names else names[0]  # pandas may have called its index __index_level_0__
    return dict(zip(table["task_index"].to_pylist(), table[name].to_pylist(), strict=True))


def _read_episodes(root: Path) -> tuple[list[int], list[str]]:
    folder = root / "meta" / "episodes"
    paths = _numbered(folder)
    if not paths:
        raise RadliteError(f"{folder / 'chunk-000' / 'file-000.parquet'}", "no such file", _AGAIN)
    rows = [row for path in paths for row in _read_small(path, _EPISODE_COLUMNS, {"meta"}).to_pylist()]
    starts = [row["dataset_from_index"] for row in rows] + [rows[-1]["dataset_to_index"] if rows else 0]
    ends = [row["dataset_to_index"] for row in rows]
    ordered = starts[0] == 0 and starts[1:] == ends and all(a < b for a, b in zip(starts, ends, strict=False))
    if not rows or not ordered or [row["episode_index"] for row in rows] != list(range(len(rows))):
        expected = (
            f"episodes one after the other in columns 'dataset_from_index' and 'dataset_to_index' of {folder}"
        )
        raise RadliteError(expected, "gaps, overlaps or no episode", _AGAIN)
    return starts, [row.get("meta") or "{}" for row in rows]


def _read_small(path: Path, needed: set[str], wanted: set[str] | None = None) -> pa.Table:
    """A small table under meta/; with `wanted`, only those and the needed columns (the rest may be large)."""
    footer = read_footer(path)
    names = set(footer.schema.to_arrow_schema().names)
    if needed - names:
        raise RadliteError(f"column {min(needed - names)!r} in {path}", "no such column", _AGAIN)
    keep = None if wanted is None else sorted(needed | wanted & names)
    with _parquet_errors(path):
        return pq.ParquetFile(path, metadata=footer).read(columns=keep)


def read_footer(path: Path) -> pq.FileMetaData:
    """What a parquet file says of itself: schema, row groups, sizes."""
    with _parquet_errors(path):
        return pq.read_metadata(path)


def _numbered(folder: Path) -> list[Path]:
    """Parquet files below `folder`, by chunk and file number (chunk-1000 comes after chunk-999)."""
    return sorted(
        folder.glob("*/*.parquet"),
        key=lambda p: [int(n) for n in re.findall(r"\d+", f"{p.parent.name}/{p.name}")],
    )


@contextmanager
def _parquet_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, struct.error) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise RadliteError(f"a readable parquet file at {path}", found, _AGAIN) from error


@contextmanager
def _column_errors(name: str, root: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowException as error:
        raise RadliteError(
            f"another type of values in column {name!r} of {root}", str(error), _AGAIN
        ) from error
