"""Is this dataset fit to train on? Every episode is looked at; what is wrong with it is noted, and the looking goes on.

`EpisodeDataset` raises at the first bad value of a column; somebody else's dataset has many. `examine` reads the same folder
row group by row group and gives a `Report`; `radlite.quarantine` writes what is left. An *error* makes its episode bad, a
*remark* does not:

- errors: rows that cannot be read, rows numbered as another episode's, no instruction, notes that are no JSON scalars, a picture
  that cannot be decoded or has another size, actions or states that are not seven finite numbers, a chain that is no JSON or
  breaks a rule of `Reasoning.validate`, a box or gripper point outside the 256x256 frame, timestamps that do not advance by one
  frame of the told rate (an action is the change over one frame), a robot episode of several frames whose actions are zero in
  the first six dimensions throughout (it teaches the policy to stand still), a human episode without any chain (it teaches none).
- remarks: frames without a chain, and actions beyond 1 m or pi rad a frame or with a gripper outside 0..1 (another unit?).

What leaves nothing to look at raises: no footer, another version, a feature of an unknown type, an episode number that comes
twice, a path that leaves the folder, absurd sizes (`formats.lerobot_rows`). Memory holds one batch of rows, and 28 bytes a
frame and vector for the quantiles.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from radlite.actions import ACTION_DIM
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.findings import COLUMNS, Finding, Report
from radlite.formats.action_mask import MASKS, masks, without_action
from radlite.formats.card import ACTION_KEY, ACTION_NAMES, IMAGE_KEY, REASONING_KEY, STATE_KEY, STATE_NAMES
from radlite.formats.column_stats import vector_stats
from radlite.formats.language import language_names, texts
from radlite.formats.lerobot_rows import LeRobotRows, damage, pictures, vectors
from radlite.formats.picture import decode_image
from radlite.reasoning import FIELDS, FRAME_SIZE, Reasoning, field_text

MOST_TEXT = 1 << 20  # characters of a chain
_PIXEL = np.zeros((1, 1, 1, 3), np.uint8)  # an episode of one frame, to have its words and notes checked
_LATE = 0.25  # of a frame: timestamps are float32
_LARGEST = np.array([1, 1, 1, *[np.pi] * 3], np.float32)


def examine(path: str | Path, *, decode: bool = True) -> Report:
    """Looks at every row of a dataset.

    Args:
        path: a LeRobotDataset v3 folder, whoever wrote it.
        decode: decode every picture of the main camera, which takes most of the time.

    Raises:
        RadliteError: it is no such dataset, or damaged so that no episode can be told from the others; names the file.
    """
    rows, dataset, camera = open_rows(Path(path))
    lengths = np.diff(rows.starts).tolist()
    columns = {name: feature["dtype"] for name, feature in rows.features.items()}
    shape, count = dataset.image_shape, dataset.num_episodes
    report = Report(str(path), dataset.embodiment, dataset.fps, shape, count, rows.num_frames, columns, decode, lengths)
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter lock
        look = _Look(report, rows, camera, pool if decode else None)
        for episode, step, count, part in rows.segments(wanted_columns(rows, camera if decode else None)):
            look.at(episode, step, count, part)
    look.finish()
    return report


class _Look:
    """Goes through the rows in order and fills the report; knows the episode it is in."""

    def __init__(self, report: Report, rows: LeRobotRows, camera: str, pool: ThreadPoolExecutor | None) -> None:
        self.report, self.rows, self.camera, self.pool = report, rows, camera, pool
        self._found: dict[str, Finding] = {}
        self._kept = {name: [] for name in (ACTION_KEY, STATE_KEY) if name in rows.features}
        self._known: dict[int | None, str] = {}  # task_index -> what is wrong with it

    def at(self, episode: int, step: int, count: int, part: pa.RecordBatch | RadliteError) -> None:
        """`count` rows of an episode, from `step` on."""
        if step == 0:
            self._begin(episode)
        if isinstance(part, RadliteError):
            self._whole = False
            self._note("unreadable", step, part.found, count)
        else:
            self._columns(step, part)
        if step + count == self.report.lengths[episode]:
            self._end()

    def finish(self) -> None:
        """Statistics over everything."""
        for name, parts in self._kept.items():
            values = np.concatenate(parts) if parts else np.empty((0, ACTION_DIM), np.float32)
            told, default = self.rows.features[name].get("names"), ACTION_NAMES if name == ACTION_KEY else STATE_NAMES
            names = [str(n) for n in (told if isinstance(told, list) and len(told) == ACTION_DIM else default)]
            self.report.vectors[name] = {"names": names} | (vector_stats(values) if len(values) else {"count": [0]})

    def _begin(self, episode: int) -> None:
        self._episode, self._found = episode, {}
        self._moved, self._told, self._whole, self._first_time = False, False, True, None
        try:
            Episode("x", _PIXEL, [None], "human", meta=json.loads(self.rows.metas[episode])).validate()
        except (ValueError, TypeError, RecursionError, RadliteError) as error:
            self._note("notes", 0, getattr(error, "found", str(error)))

    def _end(self) -> None:
        human, length = self.report.embodiment == "human", self.report.lengths[self._episode]
        if self._whole and not human and not self._moved and length > 1:
            self._note("zeros", 0, "every action is zero in the first six dimensions", length)
        if self._whole and human and not self._told:
            self._note("no chain", 0, "no frame has a chain", length)
        self.report.findings += self._found.values()

    def _note(self, check: str, step: int, detail: str, frames: int = 1) -> None:
        column = self.camera if check == "picture" else COLUMNS.get(check, "")
        finding = self._found.setdefault(check, Finding(self._episode, check, column, int(step), 0, str(detail)[:200]))
        finding.frames += int(frames)

    def _columns(self, step: int, part: pa.RecordBatch) -> None:
        if "episode_index" in part.schema.names:
            for k, number in enumerate(part.column("episode_index").to_pylist(), step):
                if number != self._episode:
                    self._note("numbering", k, f"episode_index {number}")
        self._instruction(step, part.column("task_index").to_pylist())
        if "timestamp" in part.schema.names:
            self._rate(step, part.column("timestamp"))
        for name, check in ((ACTION_KEY, "action"), (STATE_KEY, "state")):
            if name in self._kept:
                rows = action_rows(part) if check == "action" else vectors(part.column(name), ACTION_DIM)
                self._vector(step, name, check, rows)
        for k, text in enumerate(chain_texts(part, self.camera, self.report.image_shape), step):
            self._reasoning(k, text)
        if self.pool is not None:
            for k, problem in enumerate(self._pictures(step, part), step):
                if problem:
                    self._note("picture", k, problem)

    def _instruction(self, step: int, numbers: Sequence[int | None]) -> None:
        for k, number in enumerate(numbers, step):
            if number not in self._known:
                text = self.rows.tasks.get(number)
                try:
                    Episode(text, _PIXEL, [None], "human").validate()
                    self._known[number] = ""
                except RadliteError as error:
                    self._known[number] = f"{error.found} as task {number}"
            if self._known[number]:
                self._note("instruction", k, self._known[number])
            elif k == 0:
                task = self.rows.tasks[number]
                self.report.instructions[task] = self.report.instructions.get(task, 0) + 1

    def _rate(self, step: int, column: pa.Array) -> None:
        try:
            times = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowException as error:
            return self._note("rate", step, f"timestamps: {error}", len(column))
        if self._first_time is None:
            self._first_time = (times[0] if np.isfinite(times[0]) else 0.0) - step / self.report.fps
        with np.errstate(all="ignore"):
            late = (times - self._first_time) * self.report.fps - np.arange(step, step + len(times))
        wrong = np.flatnonzero(~(np.abs(late) <= _LATE))  # NaN counts as wrong
        if len(wrong):
            time, right = times[wrong[0]], self._first_time + (step + wrong[0]) / self.report.fps
            found = f"{time:.3f} s, where {self.report.fps:g} frames a second make it {right:.3f} s"
            self._note("rate", step + wrong[0], found, len(wrong))

    def _vector(self, step: int, name: str, check: str, values: np.ndarray) -> None:
        finite = np.isfinite(values).all(1)
        self._kept[name].append(values[finite])
        if not finite.all():
            at = int(np.argmin(finite))
            self._note(check, step + at, f"{values[at].tolist()} in place of {ACTION_DIM} finite numbers", (~finite).sum())
        if name == ACTION_KEY:
            self._moved = self._moved or bool((values[:, :6] != 0).any())  # NaN is another error
            far = finite & ((np.abs(values[:, :6]) > _LARGEST).any(1) | (values[:, 6] < -0.01) | (values[:, 6] > 1.01))
            if far.any():
                self._note("range", step + int(np.argmax(far)), str(np.round(values[np.argmax(far)], 3).tolist()), far.sum())

    def _reasoning(self, step: int, text: Any) -> None:
        try:
            chain = read_chain(text() if callable(text) else text)
            if chain is None:
                return self._note("missing", step, "no chain")
            self._told = True
            outside = _outside(chain)
            if outside:
                return self._note("outside", step, outside)
            chain.validate()
            chain.to_text().encode()  # half a character would not survive on disk
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, RadliteError) as error:
            self._told = True
            return self._note("chain", step, getattr(error, "found", str(error)))
        self.report.with_chain += 1
        for name in FIELDS:
            if getattr(chain, name) is not None:
                count, row = len(field_text(chain, name).split()), self.report.words.setdefault(name, [0, 0, 0])
                row[:] = row[0] + 1, row[1] + count, max(row[2], count)

    def _pictures(self, step: int, part: pa.RecordBatch) -> Iterator[str]:
        """What is wrong with each picture, "" where nothing is."""
        if not self.rows.is_video(self.camera):
            return self.pool.map(self._picture, pictures(part.column(self.camera)))
        videos, first = self.rows.videos(self.camera, self.report.image_shape), self.rows.starts[self._episode] + step
        return (self._problem(partial(videos.frame, k)) for k in range(first, first + len(part)))

    def _picture(self, data: Any) -> str:
        return self._problem(partial(decode_image, data, self.report.image_shape, "a frame"))

    @staticmethod
    def _problem(read: Callable[[], Any]) -> str:
        try:
            read()
        except RadliteError as error:
            return error.found
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            return f"{type(error).__name__}: {error}"
        return ""


def open_rows(path: Path) -> tuple[LeRobotRows, EpisodeDataset, str]:
    """The rows, the dataset, and the name of the picture column."""
    rows = LeRobotRows(path)
    with damage(path):
        return rows, EpisodeDataset(path), rows.camera(None, IMAGE_KEY)[0]


def wanted_columns(rows: LeRobotRows, camera: str | None) -> list[str]:
    """The columns that are looked at, as far as they are there."""
    told = language_names(rows.features)
    used = (ACTION_KEY, STATE_KEY, REASONING_KEY, "timestamp", "episode_index", camera, *MASKS, *told)
    return ["task_index", *(name for name in used if name in rows.features and not rows.is_video(name))]


def action_rows(part: pa.RecordBatch) -> np.ndarray:
    """The actions of some rows, float32 (n, 7); NaN where there is none, or none that can be read."""
    values = vectors(part.column(ACTION_KEY), ACTION_DIM)
    values[without_action(part, masks(part.schema.names))] = np.nan
    return values


def chain_texts(part: pa.RecordBatch, camera: str, shape: tuple[int, int, int]) -> Iterator[Any]:
    """The chain of every row as JSON, or a function that gives it or fails; None where there is none."""
    if REASONING_KEY in part.schema.names:
        return (scalar.as_py for scalar in part.column(REASONING_KEY))
    if language_names(part.schema.names):
        return iter(texts(part, camera, shape))
    return iter([None] * len(part))


def read_chain(text: Any) -> Reasoning | None:
    """The chain in a cell of the column; None where the cell or the chain is empty. Raises what the parser raises."""
    if text is None or text == "":
        return None
    if not isinstance(text, str) or len(text) > MOST_TEXT:
        found = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise RadliteError(f"a chain as text of at most {MOST_TEXT:,} characters", found, "annotate that episode again")
    chain = Reasoning.from_dict(json.loads(text))
    return None if chain == Reasoning() else chain


def _outside(chain: Reasoning) -> str:
    """The first box or gripper point that leaves the frame, or ""."""
    for box in chain.bboxes or ():
        if not all(0 <= v <= FRAME_SIZE for v in box.xyxy):
            return f"box {box}"
    return next((f"gripper point {p}" for p in chain.gripper or () if not all(0 <= v < FRAME_SIZE for v in p)), "")
