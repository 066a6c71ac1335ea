"""The datasets of an experiment, each made once and opened by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from radlite.annotate.relabel import relabel
from radlite.annotate.simulated import Noise
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.experiment.scale import Scale
from radlite.tabletop.collect import HUMAN_AXES, collect

HELD_OUT_SEED = 9_001  # no training data has it
RECIPES: dict[str, dict] = {
    # many tables and lamps: on a few it learns to read its own height off them, and misreads it on every other
    "robot": {"embodiment": "robot", "environment": "many"},
    "human": {"embodiment": "human"},
    "human_elsewhere": {"embodiment": "human", "environment": "elsewhere"},
    "robot_everywhere": {"embodiment": "robot", "axes": HUMAN_AXES},  # the human clips' tasks and scenes, done by the robot
    "held_out_robot": {"embodiment": "robot", "seed": HELD_OUT_SEED},
    "held_out_human": {"embodiment": "human", "seed": HELD_OUT_SEED},
}
"""Name -> arguments of `collect`."""
DETECTED = Noise(pixels=0.02, drop=0.1, fingers=0.05, box=0.03, miss=0.05)
"""How the detectors err whose findings `human_annotated` is made of."""
SOURCES = {"human_annotated": "human"}
"""Name -> the dataset whose pictures it has, with chains by the annotation pipeline."""


def episodes_of(name: str, scale: Scale) -> int:
    """How many episodes a dataset has at a scale."""
    known = (*RECIPES, *SOURCES)
    if name not in known:
        raise RadliteError(f"a dataset out of {', '.join(known)}", repr(name), "add its recipe, or correct the name")
    if name.startswith("held_out"):
        return scale.held_out
    return scale.robot_episodes if name == "robot" else scale.human_episodes


def make(folder: Path, name: str, scale: Scale) -> Path:
    """Makes a dataset in this process, unless it is there; returns its folder."""
    count = episodes_of(name, scale)
    out = Path(folder) / f"{name}_{count}"
    if out.exists():  # datasets are there whole or not at all
        return out
    if name in SOURCES:
        relabel(make(folder, SOURCES[name], scale), out, DETECTED)
    else:
        collect(out, count=count, workers=1, progress=False, **RECIPES[name])
    return out


@cache
def opened(path: Path) -> EpisodeDataset:
    """The dataset at a path with its pictures decoded, once a process."""
    return EpisodeDataset(path).cache()
