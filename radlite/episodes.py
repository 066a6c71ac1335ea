"""Datasets of episodes on disk, read back frame by frame; `write_dataset` (next door) writes them.

A dataset is a LeRobotDataset v3 folder, pictures inside parquet or in mp4 files, plus one text column `reasoning`:
the JSON of `Reasoning.to_dict()` for that frame, empty where nobody has annotated it (ECoT keeps one such
record a frame, too). Where there is none, LeRobot's language columns are read (`formats.language`). It holds one
embodiment: a human dataset has no `action` feature or column at all. A mixture is made of several datasets.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from radlite.actions import ACTION_DIM
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Embodiment, Episode, Sample
from radlite.errors import RadliteError
from radlite.formats.action_mask import APART, masks, without_action
from radlite.formats.card import ACTION_KEY, IMAGE_KEY, REASONING_KEY, STATE_KEY
from radlite.formats.language import language_names
from radlite.formats.lerobot import LeRobotReader
from radlite.formats.picture import decode_image
from radlite.reasoning import Reasoning

__all__ = ["DatasetInfo", "Episode", "EpisodeDataset", "Sample", "write_dataset"]

_UNREAD = object()  # a reasoning whose JSON has not been looked at yet


class EpisodeDataset:
    """A dataset folder, opened: `len(ds)` episodes, `ds[i]` an `Episode`, `ds.frame(k)` a `Sample`.

    Opening reads no pictures and no columns. `ds[-1]` counts from the end, as in a list.

    Args:
        path: a LeRobotDataset v3 folder, whoever wrote it, with pictures inside parquet or in mp4 files.
        camera: which one; by default `observation.images.main`, else the first one.

    Attributes:
        embodiment: "robot" or "human"; a folder that does not say so is human if it has no actions.
        fps: frames a second.
        instructions: the distinct instructions, in the order of their `task_index`.
        num_episodes, num_frames: counts.
        image_shape: (H, W, 3).

    Raises:
        RadliteError: it is not such a dataset, or a part is missing, broken or of an unexpected type; the
            message names the file or column.
    """

    def __init__(self, path: str | Path, camera: str | None = None) -> None:
        self.path = Path(path)
        self._reader = LeRobotReader(self.path)
        info, self._features = self._reader.info, self._reader.features
        self.embodiment: Embodiment = self._read_embodiment(info)
        self.fps = float(info["fps"])
        self.instructions = tuple(self._reader.tasks[i] for i in sorted(self._reader.tasks))
        self.num_frames, self.num_episodes = self._reader.num_frames, len(self._reader.starts) - 1
        self._camera, self.image_shape = self._reader.camera(camera, IMAGE_KEY)
        if self._reader.is_video(self._camera):
            self._reader.videos(self._camera, self.image_shape)  # wrong places in the files are told at once
        self._cache: np.ndarray | None = None
        self._chains: list[Any] = [_UNREAD] * self.num_frames

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[Episode]:
        return (self[i] for i in range(self.num_episodes))

    def __getitem__(self, i: int) -> Episode:
        """Episode i, its frames decoded; its arrays are yours to change."""
        span = self.episode_slice(i)
        frames = range(span.start, span.stop)
        return Episode(
            instruction=self._instruction(span.start),
            frames=np.stack([self._image(k) for k in frames]),
            reasoning=[self._reasoning(k) for k in frames],
            embodiment=self.embodiment,
            actions=None if self._actions is None else self._actions[span].copy(),
            states=None if self._states is None else self._states[span].copy(),
            fps=self.fps,
            meta=self.episode_meta(i),
        )

    def episode_slice(self, i: int) -> slice:
        """The frames of episode i as a slice of 0..num_frames."""
        i = _position(i, self.num_episodes, "episode")
        return slice(self._reader.starts[i], self._reader.starts[i + 1])

    def episode_meta(self, i: int) -> dict[str, Any]:
        """What was noted about episode i, without its pictures."""
        return self._meta(_position(i, self.num_episodes, "episode"))

    def frame(self, k: int) -> Sample:
        """Frame k of all episodes one after the other. Microseconds once `cache()` was called."""
        k = _position(k, self.num_frames, "frame")
        episode = bisect_right(self._reader.starts, k) - 1
        action = None if self._actions is None else self._actions[k]
        return Sample(
            self._image(k),
            self._instruction(k),
            self._reasoning(k),
            action,
            self.embodiment,
            episode,
            k - self._reader.starts[episode],
        )

    def reasoning(self, k: int) -> Reasoning | None:
        """The chain of frame k of all episodes one after the other, without its picture; None where there is none."""
        return self._reasoning(_position(k, self.num_frames, "frame"))

    def actions(self) -> np.ndarray:
        """All actions, float32 (N, 7), as `ActionStats.fit` wants them.

        Raises:
            RadliteError: there are none, or an episode of several frames whose actions are zero in the first six dimensions
                throughout: a policy learns from it to stand still, and a video with invented actions looks like that.
        """
        if self._actions is None:
            raise RadliteError(
                f"a robot dataset at {self.path}", "human episodes, without actions", "use a robot one"
            )
        moved = np.logical_or.reduceat((self._actions[:, :6] != 0).any(1), self._reader.starts[:-1])
        moved |= np.diff(self._reader.starts) == 1  # one frame of a robot that waits says nothing
        if not moved.all():
            still = np.flatnonzero(~moved)
            found = f"zero-filled actions in {len(still)} of {len(moved)} episodes, the first of them episode {still[0]}"
            fix = "leave them out with `radlite data validate --quarantine`, or make a human dataset of them, without actions"
            raise RadliteError(f"actions that move something in every episode of {self.path}", found, fix)
        return self._actions.copy()

    def cache(self) -> EpisodeDataset:
        """Decode every picture once, into one uint8 (N, H, W, 3) array; returns self."""
        if self._cache is None:
            images = np.empty((self.num_frames, *self.image_shape), np.uint8)

            def fill(group: int) -> None:
                start, encoded = self._reader.group_images(group, self._camera)
                for k, data in enumerate(encoded, start):
                    where = f"frame {k}, column {self._camera!r} of {self.path}"
                    images[k] = decode_image(data.as_py(), self.image_shape, where)

            if self._reader.is_video(self._camera):
                self._reader.videos(self._camera, self.image_shape).all(images)
            else:
                with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside the interpreter lock
                    list(pool.map(fill, range(self._reader.num_groups)))
            images.flags.writeable = False  # samples are views: nobody paints into the dataset by mistake
            self._cache = images
        return self

    def reload(self) -> EpisodeDataset:
        """Opens the folder anew, after somebody has written to it; pictures that were decoded once are so again."""
        fresh = EpisodeDataset(self.path, self._camera)
        if self._cache is not None:
            fresh.cache()
        self.__dict__ = fresh.__dict__
        return self

    @cached_property
    def sha256(self) -> str:
        """A hash of the content: all files under data/, meta/ and videos/, by name. The card may change freely."""
        digest = hashlib.sha256()
        files = [p for part in ("data", "meta", "videos") for p in (self.path / part).rglob("*") if p.is_file()]
        for name, path in sorted((p.relative_to(self.path).as_posix(), p) for p in files):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    @cached_property
    def _actions(self) -> np.ndarray | None:
        for name in masks(self._features) if ACTION_KEY in self._features else ():
            absent = without_action(pa.table({name: self._reader.column(name)}), [name])
            if absent.any():
                found = f"none in {absent.sum()} of {len(absent)} frames by column {name!r}, first in frame {absent.argmax()}"
                raise RadliteError(f"an action in every frame of {self.path}", found, APART)
        return self._vectors(ACTION_KEY)

    @cached_property
    def _states(self) -> np.ndarray | None:
        return self._vectors(STATE_KEY)

    @cached_property
    def _task_index(self) -> list[int]:
        return self._reader.task_index().tolist()

    @cached_property
    def _texts(self) -> Any:
        if language_names(self._features):
            return self._reader.language_texts(self._camera, self.image_shape)
        return self._reader.texts(REASONING_KEY) if REASONING_KEY in self._features else None

    def _vectors(self, name: str) -> np.ndarray | None:
        if name not in self._features:
            return None
        values = self._reader.vectors(name, ACTION_DIM)
        values.flags.writeable = False
        return values

    def _image(self, k: int) -> np.ndarray:
        if self._cache is not None:
            return self._cache[k]
        return self._reader.picture(k, self._camera, self.image_shape)

    def _instruction(self, k: int) -> str:
        return self._reader.tasks[self._task_index[k]]

    def _reasoning(self, k: int) -> Reasoning | None:
        if self._chains[k] is _UNREAD:
            text = self._texts[k].as_py() if self._texts is not None else None
            self._chains[k] = _parse_reasoning(text, f"frame {k} of {self.path}") if text else None
        return self._chains[k]

    def _meta(self, i: int) -> dict[str, Any]:
        try:
            return dict(json.loads(self._reader.metas[i]))
        except (ValueError, TypeError) as error:
            expected = f"a JSON object in column 'meta' of {self.path / 'meta' / 'episodes'}"
            raise RadliteError(expected, f"{error} in episode {i}", "write the dataset again") from error

    def _read_embodiment(self, info: dict[str, Any]) -> Embodiment:
        about, has = info.get("radlite"), ACTION_KEY in self._features
        told = about.get("embodiment") if isinstance(about, dict) else None
        told = told or ("robot" if has else "human")
        if told not in ("robot", "human") or has != (told == "robot"):
            found = f"embodiment {told!r} {'with' if has else 'without'} the feature {ACTION_KEY!r}"
            expected = f"actions in a robot dataset and none in a human one, in meta/info.json of {self.path}"
            raise RadliteError(expected, found, "set embodiment right, or write the dataset again")
        return told


def _position(i: int, count: int, what: str) -> int:
    if not -count <= i < count:
        raise RadliteError(f"{what} 0 to {count - 1}", f"{i}", "count from 0")
    return i % count


def _parse_reasoning(text: str, where: str) -> Reasoning:
    expected, fix = f"a chain as JSON in column {REASONING_KEY!r}, {where}", "annotate that episode again"
    try:
        value = json.loads(text)
        return Reasoning.from_dict(value)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RadliteError(expected, f"{text[:60]!r} ({error})", fix) from error
    except RadliteError as error:
        raise RadliteError(expected, error.found, fix) from error
