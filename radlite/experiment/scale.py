"""How large an experiment is: demonstrations, steps, samples a batch, trials, seeds."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from radlite.tabletop.env import MAX_STEPS
from radlite.tabletop.tasks import AXES

SEEDED = ("floor", "ecot", "rad", "oracle")  # arms that are repeated with further seeds


@dataclass(frozen=True)
class Scale:
    """Sizes of an experiment.

    Attributes:
        robot_episodes, human_episodes: demonstrations; human ones in each environment, and as many of the oracle's.
        steps: optimiser steps with robot samples, of every arm.
        short_steps: the same in the tables `environment`, `ratio` and `scaling`, which are 18 trainings and compare only their
            own rows: as many as the demo's.
        robot_per_batch, human_per_batch, blind_per_batch: samples a step, see `Mixture`.
        trials: in each cell of the table `transfer`.
        other_trials: in each cell of the other tables that count successes.
        samples: frames in each cell of tables that judge chains.
        held_out: clips of each embodiment that nobody trains on.
        scaling: numbers of human clips.
        shares: numbers of human samples a batch in the table of ratios; the batch keeps its size.
        seeds: of the arms in `SEEDED`; the others have the first only.
        arms, axes, tables: what is in it by default; empty: all.
        base: which model.
        max_steps: of a trial.
    """

    robot_episodes: int = 640
    human_episodes: int = 800
    steps: int = 1000
    short_steps: int = 320
    robot_per_batch: int = 10
    human_per_batch: int = 11
    blind_per_batch: int = 24
    trials: int = 200
    other_trials: int = 100
    samples: int = 200
    held_out: int = 48
    scaling: tuple[int, ...] = (0, 25, 50, 100, 200, 400, 800)
    shares: tuple[int, ...] = (0, 4, 7, 11, 14, 17)
    seeds: tuple[int, ...] = (0, 1, 2)
    arms: tuple[str, ...] = ()
    axes: tuple[str, ...] = AXES
    tables: tuple[str, ...] = ()
    base: str = "radlite-tiny"
    max_steps: int = MAX_STEPS

    def training(self) -> dict:
        """What a trained policy depends on, JSON-able; the rest may change and leave it as it is."""
        names = ("robot_episodes", "human_episodes", "steps", "robot_per_batch", "human_per_batch", "blind_per_batch", "base")
        return {name: value for name, value in asdict(self).items() if name in names}


SCALES: dict[str, Scale] = {
    "full": Scale(),
    # a class of half an hour on two cores; in half as many steps of twice the samples RAD does 0 of 50
    "small": Scale(320, 360, 320, 320, 5, 6, 12, trials=50, other_trials=50, samples=50, held_out=12, seeds=(0,),
                   axes=("new_object",), tables=("transfer",), arms=("floor", "ecot", "rad", "rad-shuffled", "oracle")),
    # seconds, for tests: its figures mean nothing
    "tiny": Scale(4, 8, 2, 2, 2, 2, 2, 2, 2, 2, 2, scaling=(0, 4, 8), shares=(0, 1, 2), seeds=(0,), axes=("new_object",),
                  max_steps=2),
}  # fmt: skip
