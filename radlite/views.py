"""Views: some episodes of a dataset, several datasets as one, or chains that belong to other clips.

A view is read frame by frame like the datasets under it, so a mixture takes it for one. Nothing is copied: the arms of an
experiment read the same few datasets each in its own way.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from radlite.episodes import EpisodeDataset, Sample
from radlite.errors import RadliteError
from radlite.reasoning import Reasoning


class View:
    """Frames of one or more datasets of one embodiment, in a chosen order.

    Args:
        datasets: counted one after the other.
        frames: int64 (N,), which of all their frames; all of them by default.
        words: int64 (N,), the frames whose instruction and chain go with these pictures; their own by default.

    Attributes:
        embodiment, num_frames, sha256: as of a dataset.

    Raises:
        RadliteError: no dataset, datasets of both embodiments, no frame, or words for pictures with actions.
    """

    def __init__(self, datasets: Sequence[EpisodeDataset], frames: np.ndarray | None = None, words: np.ndarray | None = None):
        kinds = sorted({d.embodiment for d in datasets})
        if len(kinds) != 1:
            raise RadliteError("datasets of one embodiment", " and ".join(kinds) or "none", "a mixture takes the other apart")
        self.datasets, self.embodiment = tuple(datasets), kinds[0]
        self._starts = np.cumsum([0, *(d.num_frames for d in datasets)]).tolist()
        self._frames = np.arange(self._starts[-1]) if frames is None else np.asarray(frames, np.int64)
        self._words = self._frames if words is None else np.asarray(words, np.int64)
        if not len(self._frames):
            raise RadliteError("at least one frame", "none", "choose other episodes")
        if words is not None and (self.embodiment == "robot" or len(words) != len(self._frames)):
            raise RadliteError("human frames, and as many chains", f"{self.embodiment} frames", "actions belong to their chains")
        self.num_frames = len(self._frames)

    def frame(self, k: int) -> Sample:
        """Frame k of the view."""
        sample = self._at(int(self._frames[k]))
        if self._words is self._frames:
            return sample
        words = self._at(int(self._words[k]))
        return replace(sample, instruction=words.instruction, reasoning=words.reasoning, step=words.step)

    def reasoning(self, k: int) -> Reasoning | None:
        """The chain of frame k, without its picture."""
        at = int(self._words[k])
        part = bisect_right(self._starts, at) - 1
        return self.datasets[part].reasoning(at - self._starts[part])

    def actions(self) -> np.ndarray:
        """The actions of all frames, float32 (N, 7)."""
        return np.concatenate([d.actions() for d in self.datasets])[self._frames]

    def cache(self) -> View:
        """Decodes every picture of the datasets once; returns self."""
        for dataset in self.datasets:
            dataset.cache()
        return self

    @property
    def sha256(self) -> str:
        """A hash of the datasets and of the choice."""
        digest = hashlib.sha256("".join(d.sha256 for d in self.datasets).encode())
        digest.update(self._frames.tobytes() + self._words.tobytes())
        return digest.hexdigest()

    def _at(self, at: int) -> Sample:
        part = bisect_right(self._starts, at) - 1
        return self.datasets[part].frame(at - self._starts[part])


def some_episodes(dataset: EpisodeDataset, count: int | None = None, axis: str | None = None) -> View:
    """The episodes of one axis (None: of all), and of these the first `count`.

    Raises:
        RadliteError: fewer than `count` are there.
    """
    rows = [i for i in range(len(dataset)) if axis in (None, dataset.episode_meta(i).get("axis"))]
    if not rows or len(rows) < (count or 0):
        raise RadliteError(f"{count or 1} episodes of axis {axis or 'any'}", f"{len(rows)} in {dataset.path}", "collect more")
    spans = [dataset.episode_slice(i) for i in rows[:count]]
    return View([dataset], np.concatenate([np.arange(s.start, s.stop) for s in spans]))


def together(*datasets: EpisodeDataset) -> View:
    """All frames of several datasets."""
    return View(datasets)


def with_chains_of_others(dataset: EpisodeDataset, seed: int = 0) -> View:
    """Every clip's pictures with the instruction and chains of another clip, frame for frame as far along as the picture is.

    A control: words, their order and their number stay what they are, and only what they say of the picture is wrong.

    Raises:
        RadliteError: fewer than two episodes.
    """
    if len(dataset) < 2:
        raise RadliteError("at least two clips", f"{len(dataset)} in {dataset.path}", "one clip has no other's chains to take")
    turn = np.random.default_rng([seed, 23]).permutation(len(dataset))
    words = np.empty(dataset.num_frames, np.int64)
    for mine, other in zip(turn, np.roll(turn, 1), strict=True):  # in a circle: nobody gets its own
        here, there = dataset.episode_slice(int(mine)), dataset.episode_slice(int(other))
        along = np.arange(here.stop - here.start) / max(1, here.stop - here.start - 1)
        words[here] = there.start + np.round(along * (there.stop - there.start - 1)).astype(int)
    return View([dataset], words=words)
