"""One training and one cell, each a function of its arguments alone: the same seed gives the same counts on the same machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from radlite.actions import ActionStats
from radlite.bases import best_device, load_vlm
from radlite.checkpoint import STATE
from radlite.collate import longest_chain
from radlite.episodes import EpisodeDataset
from radlite.evaluate import reasoning_accuracy, summarise
from radlite.experiment.arms import Training, arm_named
from radlite.experiment.cells import Cell
from radlite.experiment.data import make, opened
from radlite.experiment.faithful import faithfulness
from radlite.experiment.scale import Scale
from radlite.formats.staging import read_json, replace_text
from radlite.policy import Policy, load_policy
from radlite.rollouts import Outcome, PolicyAgent, rollout
from radlite.stats import wilson
from radlite.tabletop.env import trials
from radlite.train import train

Tell = Callable[[float], object]  # told how much of the work is done, 0 to 1
SPENT = "spent.json"  # beside an adapter: what its training took, and whether it is finished


def train_policy(folder: Path, training: Training, scale: Scale, tell: Tell) -> bool:
    """Trains into `folder / training.name`, or goes on there; False if it was stopped before the end."""
    mixture = training.mixture(scale, lambda name: opened(make(folder / "data", name, scale)))
    config = training.config(scale)
    out = folder / training.name
    began = time.monotonic()
    result = train(load_vlm(scale.base, device=None), mixture, out, config, progress=False,
                   on_log=lambda row: tell(row["step"] / config.steps))
    before = read_json(out / SPENT, "a training")["seconds"] if (out / SPENT).exists() else 0.0
    seen = {"robot": mixture.robots_before(config.steps), "human": mixture.humans_before(config.steps),
            "blind": (config.steps - mixture.human_first) * mixture.blind_per_batch}
    data = {name: opened(make(folder / "data", name, scale)).sha256 for name in training.datasets()}
    spent = {"seconds": round(before + time.monotonic() - began, 1), "steps": config.steps, "samples": seen, "datasets": data}
    replace_text(out / SPENT, json.dumps({**spent, "finished": not result.interrupted}, indent=1))
    return not result.interrupted


def measure(folder: Path, cell: Cell, scale: Scale, tell: Tell) -> dict:
    """What the cell's file holds."""
    began = time.monotonic()
    policy = _policy(folder, cell.training, scale)
    if cell.table == "reasoning":
        counts, metrics = _reasoning(policy, opened(make(folder / "data", f"held_out_{cell.axis}", scale)), cell)
    elif cell.table == "faithfulness":
        metrics = faithfulness(policy, opened(make(folder / "data", f"held_out_{cell.axis}", scale)), cell.trials, cell.seed)
        counts = metrics.pop("reversed"), metrics.pop("trials")
    else:
        todo, ended = trials(cell.axis, cell.trials, cell.seed), []
        agent = PolicyAgent(policy, think=cell.think)

        def one_more() -> None:
            ended.append(1)
            tell(len(ended) / len(todo))

        outcomes = rollout(agent, todo, scale.max_steps, progress=False, on_end=one_more)
        counts, metrics = (sum(o.success for o in outcomes), len(outcomes)), _acted(outcomes)
    spent = _spent(folder, cell.training)
    return {
        "table": cell.table, "arm": cell.arm, "variant": cell.variant, "axis": cell.axis, "seed": cell.seed, "x": cell.x,
        "successes": counts[0], "trials": counts[1], "interval": wilson(*counts), "metrics": metrics,
        "train_steps": spent.get("steps", 0), "train_samples": spent.get("samples", {}),
        "train_seconds": spent.get("seconds", 0.0), "datasets": spent.get("datasets", {}),
        "seconds": round(time.monotonic() - began, 1), "think": cell.think, "training": asdict(cell.training),
        "device": best_device(),
    }  # fmt: skip


def _policy(folder: Path, training: Training, scale: Scale) -> Policy:
    if arm_named(training.arm).trained:
        return load_policy(scale.base, folder / training.name)
    # the floor decodes actions by the same statistics, and may write as long a chain as the others
    robot = opened(make(folder / "data", "robot", scale))
    policy = load_policy(scale.base)
    return Policy(policy.vlm, ActionStats.fit(robot.actions()), longest_chain(policy.vlm, robot))


def _spent(folder: Path, training: Training) -> dict:
    return read_json(folder / training.name / SPENT, "a training") if arm_named(training.arm).trained else {}


def _acted(outcomes: list[Outcome]) -> dict:
    families = {name: [v["successes"], v["trials"]] for name, v in summarise(outcomes)["by_family"].items()}
    steps = [o.steps for o in outcomes if o.success]
    return {"by_family": families, "steps_median": float(np.median(steps)) if steps else None,
            "outcomes": "".join("1" if o.success else "0" for o in outcomes)}  # trial by trial, as `trials` draws them


def _reasoning(policy: Policy, dataset: EpisodeDataset, cell: Cell) -> tuple[tuple[int, int], dict]:
    """Accuracy per field; what counts as a success is a MOVE that is right to the word."""
    fields = reasoning_accuracy(policy, dataset, cell.trials, cell.seed)
    judged = min(cell.trials, dataset.num_frames)
    return (round(fields["move"] * judged), judged), fields


def trained(folder: Path, training: Training, scale: Scale) -> bool:
    """Whether this policy is there and finished."""
    out = folder / training.name
    if not arm_named(training.arm).trained:
        return True
    return (out / "adapter" / STATE).exists() and (out / SPENT).exists() and read_json(out / SPENT, "a training")["finished"]
