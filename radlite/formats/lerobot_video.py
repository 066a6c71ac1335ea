"""Where the mp4 files of a LeRobotDataset v3 hold the pictures of an episode, and the pictures.

    videos/{camera}/chunk-000/file-000.mp4    pictures of several episodes, one after the other

meta/episodes tells of every episode and camera the file, and the seconds at which the episode begins and ends in it. Frame k of
an episode is the picture at from_timestamp + k / fps. Where there is none within a quarter of a frame, or times of two episodes
overlap or are too short for their frames, reading refuses: the nearest picture might be another one.
"""

from __future__ import annotations

import math
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from radlite.errors import RadliteError
from radlite.formats.mp4 import BadVideo, Mp4
from radlite.formats.picture import MOST_PIXELS

VIDEO_PATTERN = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
PLACE = ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
MOST_OPEN = 8  # files at once
_MOST_FILES = 1_000_000  # chunks, and files in one
_LATE = 0.5  # of a frame: what times of two writers may differ
_FIX = "download that file again, or drop the episode: `radlite data validate --quarantine` writes the others"


def place_columns(key: str) -> list[str]:
    """The columns of meta/episodes that tell where the pictures of a camera are."""
    return [f"videos/{key}/{name}" for name in PLACE]


def names_file(place: Sequence) -> bool:
    """Whether these may be the number of a chunk and that of a file in it."""
    return all(isinstance(n, int) and 0 <= n < _MOST_FILES for n in place)


def video_files(key: str, places: Mapping[str, Sequence], folder: Path) -> list[str]:
    """The mp4 file of each episode, relative to the dataset's folder.

    Args:
        key: the camera.
        places: of `place_columns`, one value an episode.
        folder: of the dataset, for errors.

    Raises:
        RadliteError: a name or number that cannot be part of a path.
    """
    if set("/\\:") & set(key) or key in ("", ".", ".."):
        found = f"feature {key!r}"[:80]
        raise RadliteError(f"names of cameras without slashes in {folder / 'meta' / 'info.json'}", found, "rename that feature")
    chunks, files, *_ = (places[name] for name in place_columns(key))
    for episode, place in enumerate(zip(chunks, files, strict=True)):
        if not names_file(place):
            expected = f"numbers of chunk and file in columns 'videos/{key}/..._index' of {folder / 'meta' / 'episodes'}"
            raise RadliteError(expected, f"{place} for episode {episode}", "write or download the dataset again")
    return [VIDEO_PATTERN.format(video_key=key, chunk_index=c, file_index=f) for c, f in zip(chunks, files, strict=True)]


class Videos:
    """The pictures of one camera.

    Args:
        root: the dataset's folder.
        key: name of the camera.
        shape: (H, W, 3) of its pictures.
        fps: frames a second of the dataset.
        starts: E+1 numbers; episode i holds the frames starts[i] .. starts[i+1]-1.
        places: see `video_files`.

    Raises:
        RadliteError: an absurd size, or places that contradict each other. Files are opened when a picture is asked for.
    """

    def __init__(self, root: Path, key: str, shape: tuple[int, int, int], fps: float, starts: list[int], places: Mapping) -> None:
        self._root, self._key, self._shape, self._fps, self._starts = root, key, shape, fps, starts
        if shape[0] * shape[1] > MOST_PIXELS:
            expected = f"frames of at most {MOST_PIXELS:,} pixels in {key!r} of {root}"
            raise RadliteError(expected, f"{shape}", "make the videos smaller")
        self._files = video_files(key, places, root)
        self._begins = places[f"videos/{key}/from_timestamp"]
        self._check(places[f"videos/{key}/to_timestamp"])
        self._open: OrderedDict[str, Mp4 | BadVideo] = OrderedDict()
        self._lock, self._process = threading.Lock(), os.getpid()

    def frame(self, k: int) -> np.ndarray:
        """The picture of frame k of all episodes one after the other, uint8 (H, W, 3). May be called from several threads.

        Raises:
            RadliteError: the file is missing, damaged, too short or of another size; names it, the episode and the column.
        """
        with self._lock:
            if self._process != os.getpid():  # after a fork the place in the file would be shared
                self._open, self._process = OrderedDict(), os.getpid()
            return self._frame(k, self._open)

    def all(self, out: np.ndarray) -> None:
        """Every picture into `out`, uint8 (N, H, W, 3), on all cores."""
        episodes: dict[str, list[int]] = {}
        for i, file in enumerate(self._files):
            episodes.setdefault(file, []).append(i)

        def read(numbers: list[int]) -> None:
            mine: OrderedDict[str, Mp4 | BadVideo] = OrderedDict()
            try:
                for i in sorted(numbers, key=self._begins.__getitem__):
                    for k in range(self._starts[i], self._starts[i + 1]):
                        out[k] = self._frame(k, mine)
            finally:
                _close(mine, 0)

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # ffmpeg decodes outside the interpreter lock
            list(pool.map(read, episodes.values()))

    def _frame(self, k: int, opened: OrderedDict[str, Mp4 | BadVideo]) -> np.ndarray:
        episode = bisect_right(self._starts, k) - 1
        step, file = k - self._starts[episode], self._files[episode]
        try:
            if file not in opened:
                _close(opened, MOST_OPEN - 1)
                opened[file] = _opened(self._root / file, self._shape, self._fps)
            opened.move_to_end(file)
            if isinstance(opened[file], BadVideo):
                raise opened[file]
            return opened[file].frame(self._begins[episode] + step / self._fps)
        except BadVideo as error:
            expected = f"the picture of frame {step} of episode {episode}, column {self._key!r}, in {self._root / file}"
            raise RadliteError(expected, str(error), _FIX) from error

    def _check(self, ends: Sequence[float]) -> None:
        """Times are numbers, long enough for the frames, and no two episodes share a picture."""
        late, where = _LATE / self._fps, f"of {self._root / 'meta' / 'episodes'}"
        spans: dict[str, list[tuple[float, float, int]]] = {}
        for i, (begin, end) in enumerate(zip(self._begins, ends, strict=True)):
            last = (self._starts[i + 1] - self._starts[i] - 1) / self._fps
            numbers = all(isinstance(t, int | float) and math.isfinite(t) and 0 <= t < 1e9 for t in (begin, end))
            if not numbers or begin + last > end + late:
                expected = f"{last + 1 / self._fps:.3f} s for the frames of episode {i}, columns 'videos/{self._key}/...' {where}"
                raise RadliteError(expected, f"{begin} to {end} s", "write or download the dataset again")
            spans.setdefault(self._files[i], []).append((begin, begin + last, i))
        for file, parts in spans.items():
            parts.sort()
            for (_, last, i), (begin, _, j) in zip(parts, parts[1:], strict=False):
                if begin < last + late:
                    found = f"episode {i} up to {last:.3f} s and episode {j} from {begin:.3f} s on, both in {file}"
                    expected = f"episodes one after the other in columns 'videos/{self._key}/...' {where}"
                    raise RadliteError(expected, found, "write or download the dataset again")


def _opened(path: Path, shape: tuple[int, int, int], fps: float) -> Mp4 | BadVideo:
    try:
        return Mp4(path, shape, fps)
    except BadVideo as error:
        return error  # remembered: it is the same for every frame


def _close(opened: OrderedDict[str, Mp4 | BadVideo], most: int) -> None:
    """Closes the files that were used longest ago, down to `most`."""
    while len(opened) > most:
        file = opened.popitem(last=False)[1]
        if isinstance(file, Mp4):
            file.close()
