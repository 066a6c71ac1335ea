"""Read a LeRobotDataset v3 folder that may be damaged: a batch of rows at a time, going on behind what cannot be read.

`LeRobotReader` reads columns whole and raises at the first bad value. Here a page that is broken costs the rows of its row
group, and sizes are looked at before anything is unpacked: no number in a file decides how much memory it takes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radlite.errors import RadliteError
from radlite.formats.lerobot import LeRobotReader, read_footer
from radlite.formats.picture import MOST_PIXELS

BATCH = 64  # rows
MOST_FRAMES = 5_000_000
MOST_EPISODES = 500_000
MOST_META = 1 << 26  # bytes of a file with the features or the tasks, unpacked
MOST_GROUP = 1 << 30  # bytes of a row group, unpacked
_NUMBERS = {f"{kind}{bits}" for kind, sizes in (("float", (16, 32, 64)), ("int", (8, 16, 32, 64)), ("uint", (8, 16, 32, 64)))
            for bits in sizes}  # fmt: skip
_DTYPES = _NUMBERS | {"image", "video", "string", "bool", "language"}
_AGAIN, _DIVIDE = "write or download the dataset again", "divide it into several datasets"


class LeRobotRows(LeRobotReader):
    """A reader for the rows of all columns, in order.

    Raises:
        RadliteError: as `LeRobotReader`; also for an episode number that comes twice, a feature of an unknown dtype, a path in
            meta/info.json that leaves the folder, and sizes beyond the limits of this module.
    """

    def __init__(self, root: Path) -> None:
        with damage(root):
            _check_meta(root)
            super().__init__(root)
            self._check_info()
            self._check_data()

    def segments(
        self, columns: list[str], wanted: Container[int] | None = None
    ) -> Iterator[tuple[int, int, int, pa.RecordBatch | RadliteError]]:
        """(episode, its first step, number of rows, the rows or why they cannot be read): all frames, `BATCH` at most at once.

        With `wanted`, row groups that hold none of these episodes are left out.
        """
        for group, (file, index) in enumerate(self._groups):
            at, end, path = self._group_starts[group], self._group_starts[group + 1], self._files[file]
            if wanted is not None and not any(episode in wanted for episode, *_ in self._spans(at, end)):
                continue
            try:
                for batch in self._batches(file, index, columns):
                    if at + len(batch) > end:
                        raise ValueError("more rows than its footer tells")
                    for episode, step, start, count in self._spans(at, at + len(batch)):
                        yield episode, step, count, batch.slice(start - at, count)
                    at += len(batch)
                if at < end:
                    raise ValueError("fewer rows than its footer tells")
            except Exception as error:  # damaged pages: Arrow may raise anything
                where = f"row group {index} of {path.relative_to(self.root).as_posix()}"
                problem = RadliteError(f"rows that can be read in {self.root}", f"{where}: {_line(error)}", _AGAIN)
                for episode, step, _, count in self._spans(at, end):
                    yield episode, step, count, problem

    def _batches(self, file: int, index: int, columns: list[str]) -> Iterator[pa.RecordBatch]:
        footer = self._footers[file]
        leaves = [c.path for c in map(footer.schema.column, range(footer.num_columns)) if c.physical_type == "BYTE_ARRAY"]
        # left as a dictionary, a text that stands in every row is in memory once
        shared = [leaf for leaf in leaves if any(f"{leaf}.".startswith(f"{name}.") for name in columns)]
        with pq.ParquetFile(self._files[file], metadata=footer, read_dictionary=shared, pre_buffer=False) as parquet:
            yield from parquet.iter_batches(BATCH, row_groups=[index], columns=columns)

    def _spans(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """(episode, step, first row, rows) of each episode in rows start .. end-1."""
        while start < end:
            episode = bisect_right(self.starts, start) - 1
            stop = min(end, self.starts[episode + 1])
            yield episode, start - self.starts[episode], start, stop - start
            start = stop

    def _check_info(self) -> None:
        path = self.root / "meta" / "info.json"
        for name, feature in self.features.items():
            kind, shape = str(feature["dtype"]), feature["shape"]
            if kind not in _DTYPES:
                raise RadliteError(f"a dtype that LeRobot knows for feature {name!r} in {path}", repr(kind)[:80], _AGAIN)
            if kind in ("image", "video") and np.prod([float(n) for n in shape if isinstance(n, int)]) > 3 * MOST_PIXELS:
                expected = f"frames of at most {MOST_PIXELS:,} pixels in feature {name!r} of {path}"
                raise RadliteError(expected, f"{shape}"[:80], "make the pictures smaller")
        for key in ("data_path", "video_path"):
            if _leaves(self.info.get(key)):
                found = repr(self.info[key])[:80]
                raise RadliteError(f"{key!r} inside the folder in {path}", found, "do not use this dataset as it is")

    def _check_data(self) -> None:
        if self.num_frames > MOST_FRAMES:
            raise RadliteError(f"at most {MOST_FRAMES:,} frames in {self.root}", f"{self.num_frames:,}", _DIVIDE)
        for file, index in self._groups:
            size = self._footers[file].row_group(index).total_byte_size
            if size > MOST_GROUP:
                expected = f"row groups of at most {MOST_GROUP >> 20} MiB in {self._files[file]}"
                found = f"{size / 2**20:,.0f} MiB in row group {index}"
                raise RadliteError(expected, found, "write it with a row group an episode")
        for path, footer in zip(self._files, self._footers, strict=True):
            kind = footer.schema.to_arrow_schema().field("task_index").type
            if not pa.types.is_integer(kind):
                raise RadliteError(f"whole numbers in column 'task_index' of {path}", f"{kind}", _AGAIN)


def pictures(column: pa.Array) -> Iterator[Any]:
    """What lies in the rows of a picture column: bytes, or None where there are none."""
    if pa.types.is_struct(column.type):
        column = column.field("bytes") if column.type.get_field_index("bytes") >= 0 else pa.nulls(len(column))
    for scalar in column:
        try:
            yield scalar.as_py()
        except ValueError:  # text that is none
            yield None


def vectors(column: pa.Array, width: int) -> np.ndarray:
    """A column of vectors, float32 (n, width); NaN in the rows that are no `width` numbers."""
    found = np.full((len(column), width), np.nan, np.float32)
    try:
        fits = pc.fill_null(pc.equal(pc.list_value_length(column), width), False)
        values = pc.list_flatten(column.filter(fits)).cast(pa.float32())
        found[fits.to_numpy(zero_copy_only=False)] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    except (pa.ArrowException, ValueError):  # no lists, or no numbers in them
        pass
    return found


@contextmanager
def damage(root: Path) -> Iterator[None]:
    """Whatever a library makes of damaged files becomes a `RadliteError`; only around reading, lest it hide mistakes of ours."""
    try:
        yield
    except RadliteError:
        raise
    except Exception as error:
        raise RadliteError(f"a dataset that can be read at {root}", _line(error), _AGAIN) from error


def _line(error: Exception) -> str:
    """The first line of what a library said, with its kind."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _leaves(path: Any) -> bool:
    """Whether a path of the metadata is none, or leads out of the folder on any system."""
    if path is None or not isinstance(path, str):
        return path is not None
    windows = PureWindowsPath(path)
    return ".." in windows.parts or bool(windows.drive or windows.root) or PurePosixPath(path).is_absolute()


def _check_meta(root: Path) -> None:
    """Sizes below meta/ before anything of it is read, and every episode once."""
    for path in (root / "meta" / name for name in ("info.json", "tasks.jsonl", "tasks.parquet")):
        size = path.stat().st_size if path.is_file() else 0
        if path.suffix == ".parquet" and size:
            footer = read_footer(path)
            size = max(size, footer.num_rows, *(footer.row_group(g).total_byte_size for g in range(footer.num_row_groups)))
        if size > MOST_META:
            found = f"{size / 2**20:,.0f} MiB"
            raise RadliteError(f"at most {MOST_META >> 20} MiB in {path}", found, "do not use this dataset as it is")
    seen: dict[int, Path] = {}
    for path in sorted((root / "meta" / "episodes").glob("*/*.parquet")):
        footer = read_footer(path)
        if footer.num_rows > MOST_EPISODES:
            raise RadliteError(f"at most {MOST_EPISODES:,} episodes in {path}", f"{footer.num_rows:,}", _DIVIDE)
        if "episode_index" not in footer.schema.to_arrow_schema().names:
            continue  # the reader says so
        for number in pq.ParquetFile(path).read(columns=["episode_index"])["episode_index"].to_pylist():
            if number in seen:
                found = f"episode {number} again, after {seen[number]}" if seen[number] != path else f"episode {number} twice"
                raise RadliteError(f"every episode once in column 'episode_index' of {path}", found, "keep one of the two")
            seen[number] = path
