"""Finished clips on disk: one episode each, there whole or not at all, under a key that tells what it was made of.

Whoever annotates a clip, in whatever process or machine, stores it here, and whoever comes second finds it done. So a clip can be
begun as often as need be, by a worker that dies too, and is still finished once. The folder must be one that all workers see:

    episodes/KEY/       a dataset of one episode
    stages/             what `annotate` keeps, so that a clip that failed late does not begin anew
    log/KEY.jsonl       what happened: begun, written, failed; by which process, and when
    new/                episodes on their way; nothing in it matters once no run is going on
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from radlite.annotate.manifest import ListedClip
from radlite.annotate.pipeline import VERSION as PIPELINE
from radlite.annotate.pipeline import digest
from radlite.annotate.recipe import Recipe
from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors

VERSION = 1  # of what is stored; another one makes every clip anew


def clip_key(folder: Path, clip: ListedClip, recipe: Recipe) -> str:
    """What an episode depends on, in 32 hex digits: the bytes of clip and recorded files, the words, the recipe.

    Raises:
        RadliteError: a file that cannot be read.
    """
    files = [None if name is None else folder / name for name in (clip.clip, clip.landmarks, clip.objects)]
    files.append(None if recipe.hand_model is None else Path(recipe.hand_model))
    try:
        contents = [None if path is None else digest(path) for path in files]
    except OSError as error:
        raise RadliteError("a clip, and recorded files, that can be read", str(error), "check the files") from error
    told = json.dumps([VERSION, PIPELINE, clip.instruction, clip.caption, recipe.to_text(), contents])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


class ClipStore:
    """The folder of finished clips, as every worker opens it."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        with disk_errors(self.folder):
            for name in ("episodes", "stages", "log", "new"):
                (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def stages(self) -> Path:
        """Where `annotate` keeps finished stages."""
        return self.folder / "stages"

    def has(self, key: str) -> bool:
        """Whether the clip is finished."""
        return self._path(key).is_dir()

    def put(self, key: str, episode: Episode) -> bool:
        """Stores an episode; False where another worker was first, whose episode stays.

        Raises:
            RadliteError: the episode is not valid, or the disk refuses.
        """
        new = self.folder / "new" / f"{key}-{secrets.token_hex(4)}"
        write_dataset(new, [episode], origin="one clip, annotated by `radlite annotate-many`", license="other")
        try:
            os.rename(new, self._path(key))  # of several, only one finds the place free
        except OSError as error:
            shutil.rmtree(new, ignore_errors=True)
            if self.has(key):
                return False
            raise RadliteError(f"to be able to write {self._path(key)}", str(error), "check the disk") from error
        self.note(key, "written")
        return True

    def get(self, key: str) -> Episode:
        """A stored episode.

        Raises:
            RadliteError: there is none, or somebody has damaged it.
        """
        with self._whole(key):
            return EpisodeDataset(self._path(key))[0]

    def length(self, key: str) -> int:
        """Frames of a stored episode, without reading them; errors as of `get`."""
        with self._whole(key):
            return EpisodeDataset(self._path(key)).num_frames

    @contextmanager
    def _whole(self, key: str) -> Iterator[None]:
        try:
            yield
        except RadliteError as error:
            fix = f"remove {self._path(key)} and run the same command again"
            raise RadliteError(f"a finished clip ({error.expected})", error.found, fix) from error

    def note(self, key: str, event: str) -> None:
        """Writes down that a clip was begun, written or failed."""
        told = {"event": event, "host": socket.gethostname(), "pid": os.getpid(), "time": round(time.time(), 3)}
        with disk_errors(self.folder), (self.folder / "log" / f"{key}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def events(self) -> dict[str, list[dict]]:
        """Key -> what happened to the clip, in this run and earlier ones."""
        logs = sorted((self.folder / "log").glob("*.jsonl"))
        return {log.stem: [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] for log in logs}

    def _path(self, key: str) -> Path:
        return self.folder / "episodes" / key
