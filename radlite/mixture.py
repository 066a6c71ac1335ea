"""Which samples, in which order: robot and human frames at a chosen ratio.

The order is a pure function of (seed, step): nothing is remembered, so resuming is arithmetic. The robot's order does not
know the human side, so two policies that differ only in their human data draw the very same robot samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radlite.episodes import EpisodeDataset, Sample
from radlite.errors import RadliteError
from radlite.views import View

ROBOT, HUMAN, BLIND = 0, 1, 2  # numbers of the streams in the seed


@lru_cache(maxsize=8)
def _permutation(seed: int, stream: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, stream, epoch]).permutation(size)


def draw(seed: int, stream: int, start: int, count: int, size: int) -> np.ndarray:
    """Positions start .. start+count-1 of an endless stream over `size` samples, shuffled anew in every epoch.

    Every epoch shows every sample exactly once.

    Returns:
        int64 (count,) indices below `size`.
    """
    at = np.arange(start, start + count)
    epochs = at // size
    return np.array([_permutation(seed, stream, int(e), size)[p % size] for e, p in zip(epochs, at, strict=True)], np.int64)


@dataclass(frozen=True)
class Mixture:
    """Batches of robot samples with human samples on top.

    Args:
        robot: a dataset with actions.
        human: a dataset without actions, or None for robot data only (the ECoT arm).
        robot_per_batch: robot samples in every batch.
        ratio: human samples per robot sample; a fraction is met on average, exactly over time.
        seed: of the order.
        blind_per_batch: robot samples on top that are read without their picture, see `collate.collate_blind`; the same for
            every arm.
        human_first: the first that many batches hold human samples only, as many as a mixed batch has in all, and the others
            robot samples only: reasoning first, then acting (ECoT-Lite's recipe for data that is not paired).

    Raises:
        RadliteError: the robot side has no actions, the human side has, or a count makes no sense.
    """

    robot: EpisodeDataset | View
    human: EpisodeDataset | View | None = None
    robot_per_batch: int = 32
    ratio: float = 1.0
    seed: int = 0
    blind_per_batch: int = 0
    human_first: int = 0

    def __post_init__(self) -> None:
        if self.robot.embodiment != "robot":
            raise RadliteError("a robot dataset with actions as `robot`", f"embodiment {self.robot.embodiment!r}",
                               "pass human data as `human`: it teaches reasoning and has no actions to learn")
        if self.human is not None and self.human.embodiment != "human":
            raise RadliteError("an action-free human dataset as `human`", f"embodiment {self.human.embodiment!r}",
                               "pass robot data as `robot`")
        counts = min(self.robot_per_batch - 1, self.blind_per_batch, self.seed, self.human_first)
        if counts < 0 or not (math.isfinite(self.ratio) and self.ratio >= 0):
            names = ("robot_per_batch", "ratio", "seed", "blind_per_batch", "human_first")
            found = ", ".join(f"{n}={getattr(self, n)}" for n in names)
            raise RadliteError("robot_per_batch >= 1, a finite ratio >= 0, a seed, blind_per_batch and human_first >= 0", found,
                               "choose for example 32, 1.0, 0, 0 and 0")
        if self.human_first and self.human is None:
            raise RadliteError("human data for human_first", "human=None", "pass a human dataset, or leave human_first at 0")

    def humans_before(self, step: int) -> int:
        """Human samples drawn in all batches before `step`."""
        if self.human is None:
            return 0
        if self.human_first:
            return min(step, self.human_first) * round(self.robot_per_batch * (1 + self.ratio))
        return math.floor(step * self.robot_per_batch * self.ratio + 1e-9)

    def robots_before(self, step: int) -> int:
        """Robot samples with their picture drawn in all batches before `step`."""
        return max(0, step - self.human_first) * self.robot_per_batch

    def indices(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Frame indices of batch `step`: robot (robot_per_batch,) and human (varies with the ratio), int64."""
        first, last = self.robots_before(step), self.robots_before(step + 1)
        robot = draw(self.seed, ROBOT, first, last - first, self.robot.num_frames)
        first, last = self.humans_before(step), self.humans_before(step + 1)
        if last == first:
            return robot, np.empty(0, np.int64)
        return robot, draw(self.seed, HUMAN, first, last - first, self.human.num_frames)

    def batch(self, step: int) -> list[Sample]:
        """The samples of batch `step`, robot first."""
        robot, human = self.indices(step)
        return [self.robot.frame(int(i)) for i in robot] + [self.human.frame(int(i)) for i in human]

    def blind(self, step: int) -> list[Sample]:
        """The robot samples of batch `step` that go without a picture."""
        count = self.blind_per_batch if step >= self.human_first else 0
        rows = draw(self.seed, BLIND, (step - self.human_first) * count, count, self.robot.num_frames) if count else ()
        return [self.robot.frame(int(i)) for i in rows]
