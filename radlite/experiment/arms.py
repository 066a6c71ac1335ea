"""The arms: what a policy is trained on, and with which loss. One more arm is one more `Arm` in `ARMS`.

All arms see the same robot samples in the same order unless their line says otherwise; what differs is what comes on top.
docs/add-an-arm.md walks through a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.experiment.scale import Scale
from radlite.mixture import Mixture
from radlite.train import TrainConfig
from radlite.views import View, some_episodes, together, with_chains_of_others

Human = Callable[[EpisodeDataset, str | None], EpisodeDataset | View]
Open = Callable[[str], EpisodeDataset]


def all_axes(human: EpisodeDataset, axis: str | None) -> EpisodeDataset:
    """Every human clip."""
    return human


def tested_axis(human: EpisodeDataset, axis: str | None) -> View:
    """The clips of the axis that is tested."""
    return some_episodes(human, axis=axis)


def other_chains(human: EpisodeDataset, axis: str | None) -> View:
    """Every clip's pictures with the words of another clip."""
    return with_chains_of_others(human)


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        name: in tables and file names.
        about: what it is trained on, for tables.
        human: which human samples, from the human dataset and the axis under test; None for none.
        human_data: name of that dataset, where it is of the robot's environment.
        robot: names of the robot datasets, see `data.RECIPES`; several are read as one.
        counts: changes to the samples of a batch (`Mixture`), from the scale.
        loss: changes to the loss (`CollateConfig`).
        trained: False acts with the base as it is.
        think: False acts without writing a chain.
        by_axis: one policy for each axis.
        human_first: human samples first, then robot samples, instead of both in every batch.
    """

    name: str
    about: str
    human: Human | None = None
    human_data: str = "human"
    robot: tuple[str, ...] = ("robot",)
    counts: Callable[[Scale], dict[str, int]] | None = None
    loss: Mapping[str, object] = field(default_factory=dict)
    trained: bool = True
    think: bool = True
    by_axis: bool = False
    human_first: bool = False


ARMS: dict[str, Arm] = {arm.name: arm for arm in (
    # asked for its action at once: an untrained base ends no chain by itself, and writing to the end of its room is no better
    Arm("floor", "the base, untrained on demonstrations", trained=False, think=False),
    # no chain, so no words to read either: the samples that others read without their picture it sees whole
    Arm("bc", "robot, actions only", think=False, loss={"fields": ()},
        counts=lambda s: {"robot_per_batch": s.robot_per_batch + s.blind_per_batch, "blind_per_batch": 0}),
    Arm("ecot", "robot, reasoning and action"),
    Arm("ecot-gt", "as ecot, + human, hand location only", all_axes, loss={"human_fields": ("gripper",)}),
    Arm("rad-a", "as ecot, + human of the tested axis", tested_axis, by_axis=True),
    Arm("rad", "as ecot, + human of all axes", all_axes),
    Arm("rad-shuffled", "as rad, chains of other clips", other_chains),
    Arm("rad-annotated", "as rad, human chains by the annotation pipeline", all_axes, "human_annotated"),
    Arm("pretrain", "human reasoning first, then robot", all_axes, human_first=True),
    Arm("dropout", "as rad, half of the robot's chains left out", all_axes, loss={"reasoning_dropout": 0.5}),
    # as many robot samples as rad sees of both, and the human clips' very tasks and scenes done by the robot
    Arm("oracle", "robot, every task", robot=("robot", "robot_everywhere"),
        counts=lambda s: {"robot_per_batch": s.robot_per_batch + s.human_per_batch}),
)}  # fmt: skip


@dataclass(frozen=True, order=True)
class Training:
    """One policy to be trained.

    Attributes:
        arm: name of the arm.
        seed: of the order of samples and of LoRA's start.
        axis: under test, for arms with a policy each.
        humans: so many human clips instead of all.
        environment: where the human clips come from, "home" or "elsewhere".
        human_per_batch: so many human samples a batch instead of the scale's; robot samples fill it up.
        steps: so many steps instead of the scale's; 0: the scale's.
    """

    arm: str
    seed: int = 0
    axis: str = ""
    humans: int = 0
    environment: str = "home"
    human_per_batch: int = -1
    steps: int = 0

    def __post_init__(self) -> None:
        arm_named(self.arm)

    @property
    def name(self) -> str:
        """Name of its folder."""
        more = [self.axis, f"{self.humans}clips" if self.humans else "", "" if self.environment == "home" else self.environment]
        more += [f"{self.human_per_batch}human" if self.human_per_batch >= 0 else ""]
        more += [f"{self.steps}steps" if self.steps else "", f"seed{self.seed}"]
        return "_".join([self.arm, *filter(None, more)])

    def steps_at(self, scale: Scale) -> int:
        """Optimiser steps with robot samples."""
        return self.steps or scale.steps

    def datasets(self) -> list[str]:
        """Names of the datasets it reads."""
        arm = arm_named(self.arm)
        human = arm.human_data if self.environment == "home" else "human_elsewhere"
        return [*arm.robot, *([human] if arm.human and arm.trained else [])]

    def mixture(self, scale: Scale, open_data: Open) -> Mixture:
        """What it draws, with datasets from `open_data(name)`."""
        arm, human = arm_named(self.arm), None
        counts = {"robot_per_batch": scale.robot_per_batch, "blind_per_batch": scale.blind_per_batch}
        humans = scale.human_per_batch
        if self.human_per_batch >= 0:
            humans = self.human_per_batch
            counts["robot_per_batch"] += scale.human_per_batch - humans
        counts |= arm.counts(scale) if arm.counts else {}
        robots = [open_data(name) for name in arm.robot]
        if arm.human and humans:
            human = open_data(self.datasets()[-1])
            human = arm.human(some_episodes(human, self.humans) if self.humans else human, self.axis or None)
        return Mixture(robots[0] if len(robots) == 1 else together(*robots), human, ratio=humans / counts["robot_per_batch"],
                       seed=self.seed, human_first=self.human_first(scale), **counts)

    def config(self, scale: Scale) -> TrainConfig:
        """How it is trained."""
        from radlite.demo import demo_training

        arm, config = arm_named(self.arm), demo_training(self.steps_at(scale))
        first = self.human_first(scale)
        loss = replace(config.collate, **arm.loss)
        return replace(config, steps=config.steps + first, restart=first, seed=self.seed, collate=loss)

    def human_first(self, scale: Scale) -> int:
        """Batches of human samples that come first, as many human samples as other arms' mixed ones hold; 0 for other arms."""
        if not arm_named(self.arm).human_first:
            return 0
        return round(self.steps_at(scale) * scale.human_per_batch / (scale.robot_per_batch + scale.human_per_batch))


def arm_named(name: str) -> Arm:
    """The arm of that name.

    Raises:
        RadliteError: there is none.
    """
    if name not in ARMS:
        raise RadliteError(f"an arm out of {', '.join(ARMS)}", repr(name), "see `radlite experiment list`")
    return ARMS[name]
