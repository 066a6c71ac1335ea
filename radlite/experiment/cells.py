"""The cells: what is measured, table by table. A cell is one arm on one axis with one seed, and one JSON file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from radlite.errors import RadliteError
from radlite.experiment.arms import ARMS, Training, arm_named
from radlite.experiment.scale import SEEDED, Scale
from radlite.tabletop.tasks import AXES, UNSEEN_AXES

TABLES: dict[str, str] = {
    "transfer": "tasks seen only in human video",
    "reasoning": "accuracy of each field of the chain, on clips nobody has trained on",
    "unseen": "tasks in neither source",
    "faithfulness": "do the words drive the action?",
    "environment": "human video from another environment, robot tested in its own",
    "ratio": "robot and human samples in a batch of one size",
    "scaling": "number of human clips, from the robot's environment and from another",
}
"""Name -> what it asks, in the order in which they are done."""
JUDGED = ("reasoning", "faithfulness")  # tables about chains; in the others trials are counted
THINKERS = tuple(a.name for a in ARMS.values() if (a.think or not a.trained) and not a.by_axis)  # the base knows words as well
ELSEWHERE_AXES = tuple(a for a in AXES if a != "new_scene")  # a printed tablecloth is in no clip from elsewhere


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        table, arm, axis, seed: what and where; for tables about chains `axis` is whose held-out clips.
        training: the policy.
        trials: how many, or frames for tables about chains.
        variant: what sets it apart from other cells of the same arm; "" for the arm as it is.
        x: where it stands in a table that is a curve: human clips, or the share of human samples.
        think: whether it writes a chain.
    """

    table: str
    arm: str
    axis: str
    seed: int
    training: Training
    trials: int
    variant: str = ""
    x: float | None = None
    think: bool = True

    @property
    def name(self) -> str:
        """Name of its file."""
        variant = [self.variant.replace(" ", "-")] if self.variant else []
        return "__".join([self.table, self.arm, *variant, self.axis, f"seed{self.seed}"])

    @property
    def measures(self) -> tuple:
        """What decides its outcome: cells that agree in this are one measurement in two tables."""
        kind = self.table if self.table in JUDGED else "success"
        return kind, self.training, self.axis, self.seed, self.trials, self.think


def cells(scale: Scale, tables: Sequence[str] = (), arms: Sequence[str] = (), axes: Sequence[str] = (),
          seeds: Sequence[int] = (), trials: int | None = None) -> list[Cell]:
    """Every cell of a scale, or of a chosen part.

    Args:
        scale: sizes.
        tables, arms, axes, seeds: which; by default the scale's.
        trials: other than the scale's, for tables that count trials.

    Raises:
        RadliteError: a name there is not, or a choice that leaves nothing.
    """
    for names, known, what in ((tables, TABLES, "table"), (arms, ARMS, "arm"), (axes, (*AXES, *UNSEEN_AXES), "axis")):
        if odd := [n for n in names if n not in known]:
            raise RadliteError(f"a {what} out of {', '.join(known)}", repr(odd[0]), "see `radlite experiment list`")
    if trials is not None:
        scale = replace(scale, trials=trials, other_trials=trials)
    tables, arms = tables or scale.tables or tuple(TABLES), arms or scale.arms or tuple(ARMS)
    seeds = seeds or scale.seeds
    found = [c for seed in seeds for table in TABLES if table in tables for c in _OF[table](scale, seed)]
    found = [c for c in found if c.arm in arms and (c.table in JUDGED or c.axis in (axes or (*scale.axes, *UNSEEN_AXES)))]
    if not found:
        raise RadliteError("at least one cell", f"none for tables {tables}, arms {arms}, axes {axes}, seeds {seeds}",
                           "further seeds are for the table transfer; see `radlite experiment list`")
    return found


def _policy(arm: str, seed: int, axis: str = "") -> Training:
    known = arm_named(arm)
    return Training(arm, seed if known.trained else 0, axis if known.by_axis else "")


def _transfer(scale: Scale, seed: int) -> Iterator[Cell]:
    for arm in ARMS if seed == scale.seeds[0] else SEEDED:
        for axis in scale.axes:
            yield Cell("transfer", arm, axis, seed, _policy(arm, seed, axis), scale.trials, think=ARMS[arm].think)
            if arm == "dropout":
                yield Cell("transfer", arm, axis, seed, _policy(arm, seed), scale.trials, "without reasoning", think=False)


def _unseen(scale: Scale, seed: int) -> Iterator[Cell]:
    for arm in ("floor", "bc", "ecot", "ecot-gt", "rad", "rad-shuffled", "oracle") if seed == scale.seeds[0] else ():
        for axis in UNSEEN_AXES:
            yield Cell("unseen", arm, axis, seed, _policy(arm, seed), scale.other_trials, think=ARMS[arm].think)


def _environment(scale: Scale, seed: int) -> Iterator[Cell]:
    for axis in ELSEWHERE_AXES if seed == scale.seeds[0] else ():
        if axis in scale.axes:
            for arm, variant, place in (("ecot", "", "home"), ("rad", "elsewhere", "elsewhere"), ("rad", "", "home")):
                yield Cell("environment", arm, axis, seed, _short(scale, arm, environment=place), scale.other_trials, variant)


def _short(scale: Scale, arm: str, **changes: object) -> Training:
    """An arm as it is trained for tables of many trainings."""
    steps = 0 if scale.short_steps == scale.steps else scale.short_steps
    return Training(arm, scale.seeds[0], steps=steps, **changes)


def _scaling(scale: Scale, seed: int) -> Iterator[Cell]:
    """On new objects, as in the paper."""
    for count in scale.scaling if seed == scale.seeds[0] else ():
        for place in ("home", "elsewhere") if count else ("home",):
            clips = 0 if count == scale.human_episodes else count
            training = _short(scale, "rad", humans=clips, environment=place) if count else _short(scale, "ecot")
            variant = f"{count} clips {place}" if count else "0 clips"
            yield Cell("scaling", training.arm, "new_object", seed, training, scale.other_trials, variant, count)


def _ratio(scale: Scale, seed: int) -> Iterator[Cell]:
    batch = scale.robot_per_batch + scale.human_per_batch
    for axis in scale.axes if seed == scale.seeds[0] else ():
        for human in scale.shares:
            training = _short(scale, "rad", human_per_batch=-1 if human == scale.human_per_batch else human)
            yield Cell("ratio", "rad", axis, seed, training, scale.other_trials, f"{batch - human} to {human}",
                       round(human / batch, 3))  # fmt: skip


def _judged(table: str):
    def of(scale: Scale, seed: int) -> Iterator[Cell]:
        for arm in THINKERS if seed == scale.seeds[0] else ():
            for whose in ("robot", "human") if table == "reasoning" else ("robot",):
                yield Cell(table, arm, whose, seed, _policy(arm, seed), scale.samples)

    return of


_OF = {"transfer": _transfer, "reasoning": _judged("reasoning"), "unseen": _unseen, "faithfulness": _judged("faithfulness"),
       "environment": _environment, "ratio": _ratio, "scaling": _scaling}  # fmt: skip
