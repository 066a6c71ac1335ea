"""Write the LeRobotDataset v3 layout, one episode at a time.

    meta/info.json                            features, rate, counts
    meta/stats.json                           min, max, mean, std, quantiles, count of each numeric feature
    meta/tasks.parquet                        task (the instruction) and task_index
    meta/episodes/chunk-000/file-000.parquet  where each episode starts and ends, its task, its own notes
    data/chunk-000/file-000.parquet           one row a frame, one row group an episode, images inside
    videos/CAMERA/chunk-000/file-000.mp4      or there (`video_writer`)

Only one episode is in memory at a time, besides the numbers the statistics need (28 bytes a frame and vector,
one histogram for all pictures). No file holds a time or a random number: the same episodes give the same
bytes. Source of the layout: the LeRobot project's guide `lerobot-dataset-v3`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from radlite.formats.column_stats import image_stats, vector_stats
from radlite.formats.language import LANGUAGE, language_note, language_type
from radlite.formats.lerobot_video import VIDEO_PATTERN
from radlite.formats.picture import encode_image
from radlite.formats.video_writer import VIDEO_MB, VideoWriter

VERSION = "v3.0"
FILE_PATTERN = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILE_MB = 100  # a data file that has grown past this is closed and the next one begun
CHUNK_FILES = 1000  # files in one chunk folder
IMAGE_TYPE = pa.struct(
    [("bytes", pa.binary()), ("path", pa.string())]
)  # what the `datasets` library calls Image
INDEX_COLUMNS = {name: "int64" for name in ("frame_index", "episode_index", "index", "task_index")}
IMAGE_FORMATS = ("png", "webp", "mp4")


class LeRobotWriter:
    """Writes one dataset into an empty folder: `add` every episode, then `finish`; `abort` after an error.

    Args:
        folder: an empty folder.
        fps: frames a second.
        image_key: name of the picture column ("observation.images.main").
        image_shape: (H, W, 3).
        vectors: name -> the names of its entries, for each numeric column ("action" -> 7 names).
        texts: names of the text columns.
        language: whether LeRobot's language columns come with every episode, as `language.language_columns` gives them.
        image_format: "png" or "webp", both lossless, or "mp4", which is not.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fps: float,
        image_key: str,
        image_shape: tuple[int, int, int],
        vectors: Mapping[str, Sequence[str]],
        texts: Sequence[str] = (),
        language: bool = False,
        image_format: str = "png",
    ) -> None:
        self.folder, self.fps, self.image_key, self.image_format = folder, fps, image_key, image_format
        self.features = _features(image_key, image_shape, vectors, texts)
        self._video = VideoWriter(folder, image_key, image_shape, fps, CHUNK_FILES) if image_format == "mp4" else None
        if self._video:
            self.features[image_key] = self._video.feature()
        if language:
            self.features |= {name: {"dtype": "language", "shape": [1], "names": None} for name in LANGUAGE}
        self._schema = _schema(self.features)
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in vectors}
        self._histogram = np.zeros((3, 256), np.int64)
        self._tasks: dict[str, int] = {}
        self._episodes: list[dict[str, Any]] = []
        self.num_frames = self._file = self._file_bytes = 0
        self._parquet: pq.ParquetWriter | None = None

    def add(self, task: str, frames: np.ndarray, columns: Mapping[str, Any], meta: str = "{}") -> None:
        """Append an episode.

        Args:
            task: the instruction.
            frames: uint8 (T, H, W, 3).
            columns: for every vector float32 (T, D), for every text a list of T strings, and the language columns.
            meta: JSON text kept with the episode.
        """
        length, start = len(frames), self.num_frames
        task_index = self._tasks.setdefault(task, len(self._tasks))
        images, places = [], {}
        if self._video:
            places = self._video.add(frames)
        else:
            with ThreadPoolExecutor() as pool:  # Pillow encodes outside the interpreter lock
                images = list(pool.map(lambda frame: encode_image(frame, self.image_format), frames))
        step = np.arange(length)
        data = {
            **columns,
            self.image_key: [{"bytes": image, "path": None} for image in images],
            "timestamp": (step / self.fps).astype(np.float32),
            "frame_index": step,
            "index": start + step,
            "episode_index": np.full(length, len(self._episodes)),
            "task_index": np.full(length, task_index),
        }
        self._write(pa.table([_column(data[field.name], field.type) for field in self._schema], self._schema))
        self._file_bytes += sum(map(len, images))
        for name, values in self._values.items():
            values.append(np.array(columns[name], np.float32))
        self._histogram += [np.bincount(frames[..., c].ravel(), minlength=256) for c in range(3)]
        chunk, file = divmod(self._file, CHUNK_FILES)
        self.num_frames += length
        self._episodes.append(
            {
                "episode_index": len(self._episodes),
                "tasks": [task],
                "length": length,
                "data/chunk_index": chunk,
                "data/file_index": file,
                "dataset_from_index": start,
                "dataset_to_index": start + length,
                "meta/episodes/chunk_index": 0,
                "meta/episodes/file_index": 0,
                **places,
                "meta": meta,
            }
        )

    def finish(self, extra: Mapping[str, Any]) -> None:
        """Close the data and write everything under `meta/`; `extra` goes into info.json as it is."""
        self._close()
        if self._video:
            self._video.close()
        meta, count = self.folder / "meta", len(self._episodes)
        path = meta / "episodes" / FILE_PATTERN.format(chunk_index=0, file_index=0)
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(self._episodes), path)
        pq.write_table(_tasks_table(list(self._tasks)), meta / "tasks.parquet")
        stats = {name: vector_stats(np.concatenate(values)) for name, values in self._values.items()}
        _write_json(
            meta / "stats.json", stats | {self.image_key: image_stats(self._histogram, self.num_frames)}
        )
        _write_json(
            meta / "info.json",
            {
                "codebase_version": VERSION,
                "fps": int(self.fps) if float(self.fps).is_integer() else self.fps,
                "total_episodes": count,
                "total_frames": self.num_frames,
                "total_tasks": len(self._tasks),
                "chunks_size": CHUNK_FILES,
                "data_files_size_in_mb": FILE_MB,
                "video_files_size_in_mb": VIDEO_MB,
                "splits": {"train": f"0:{count}"},
                "data_path": "data/" + FILE_PATTERN,
                "video_path": VIDEO_PATTERN if self._video else None,
                "features": self.features,
                **extra,
            },
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The distinct tasks so far, by task_index."""
        return tuple(self._tasks)

    def abort(self) -> None:
        """Let go of the open file, so that the folder can be removed."""
        with suppress(OSError):
            self._close()
        if self._video:
            self._video.abort()

    def _write(self, table: pa.Table) -> None:
        if self._parquet is not None and self._file_bytes >= FILE_MB * 2**20:
            self._close()
            self._file, self._file_bytes = self._file + 1, 0
        if self._parquet is None:
            chunk, file = divmod(self._file, CHUNK_FILES)
            path = self.folder / "data" / FILE_PATTERN.format(chunk_index=chunk, file_index=file)
            path.parent.mkdir(parents=True, exist_ok=True)
            image = f"{self.image_key}.bytes"  # compressed already: a second squeeze only costs time
            small = [leaf for leaf in _leaves(self._schema) if leaf != self.image_key]
            packing = {name: "snappy" for name in small}
            if self._video is None:
                packing |= {image: "none", f"{self.image_key}.path": "none"}
            self._parquet = pq.ParquetWriter(
                path, self._schema, use_dictionary=small, write_statistics=small, compression=packing
            )
        self._parquet.write_table(table, row_group_size=len(table))

    def _close(self) -> None:
        if self._parquet is not None:
            parquet, self._parquet = self._parquet, None
            parquet.close()


def _features(
    image_key: str, shape: tuple[int, ...], vectors: Mapping[str, Sequence[str]], texts: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The `features` of info.json: dtype, shape and names of every column."""
    one = {"shape": [1], "names": None}
    features = {
        name: {"dtype": "float32", "shape": [len(names)], "names": list(names)}
        for name, names in vectors.items()
    }
    features[image_key] = {"dtype": "image", "shape": list(shape), "names": ["height", "width", "channels"]}
    features |= {name: {"dtype": "string", **one} for name in texts}
    return (
        features
        | {"timestamp": {"dtype": "float32", **one}}
        | {n: {"dtype": d, **one} for n, d in INDEX_COLUMNS.items()}
    )


def _schema(features: Mapping[str, Mapping[str, Any]]) -> pa.Schema:
    """Arrow's columns for the features, with the note by which the `datasets` library knows pictures."""
    fields, known = [], {}
    for name, feature in features.items():
        if feature["dtype"] == "video":
            continue  # no column
        if feature["dtype"] == "language":
            known[name] = language_note(name)
            fields.append(pa.field(name, language_type(name)))
            continue
        dtype, width = feature["dtype"], feature["shape"][0]
        kind = IMAGE_TYPE if dtype == "image" else getattr(pa, dtype)()
        known[name] = {"_type": "Image"} if dtype == "image" else {"dtype": dtype, "_type": "Value"}
        if feature["names"] and dtype != "image":
            kind = pa.list_(kind, width)
            known[name] = {"feature": known[name], "length": width, "_type": "Sequence"}
        fields.append(pa.field(name, kind))
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": known}})})


def _leaves(schema: pa.Schema) -> list[str]:
    """The schema's columns as parquet counts them; lists of numbers by their own name."""
    names = []
    for field in schema:
        nested = pa.types.is_list(field.type)
        names += [f"{field.name}.list.element.{part.name}" for part in field.type.value_type] if nested else [field.name]
    return names


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_fixed_size_list(kind):  # (T, D) without a detour through Python lists
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(values), kind.value_type), kind.list_size)
    return pa.array(values, kind)


def _tasks_table(tasks: list[str]) -> pa.Table:
    """Task and number, with the note by which pandas makes the task the table's index, as LeRobot expects."""
    kinds = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for name, kind, numpy in kinds
    ]
    note = json.dumps(
        {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    )
    table = pa.table(
        {"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())}
    )
    return table.replace_schema_metadata({"pandas": note})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
