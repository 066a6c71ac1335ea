"""How well does annotation agree with the simulator, stage by stage, for robot and hand, with one camera and with two?

Every demonstration is annotated by the stages that a clip goes through, from what detectors would have found in it: without
errors, and with those that the command line gives. A frame is judged where annotation says something; what share that is,
`frames with a subtask` tells.

- `gripper`: pixels from the chain's point to the true one.
- `boxes`: of what the instruction names: overlap (IoU) with the true box, pixels of the worst edge.
- `open`: against the chain's own word: open, or closed and holding; frames in which it says "half open" are not judged.
- `subtask`: against the expert's; its "rise" is none of annotation's subtasks and counts as wrong.
- `image_plane`: ECoT's primitives of the picture's two axes, against those of the path without noise.
- `ecot`: ECoT's primitives against those of the true states, jaws as in `open`.
- `tabletop`: MOVE against that of the expert's next action.

Primitives are told by axis and whole; with one camera, up and forward are told apart by the subtask.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from machine import report
from tqdm.auto import tqdm

from radlite import EpisodeDataset
from radlite.actions import GRIPPER, primitive_to_vector, primitives
from radlite.annotate.evidence import GripperTrack
from radlite.annotate.hands import gripper_track
from radlite.annotate.motion import Axes, metric_path, moves, smoothed
from radlite.annotate.paths import overlaps
from radlite.annotate.pipeline import AnnotateConfig
from radlite.annotate.relabel import simulated_evidence
from radlite.annotate.simulated import FRAME, Noise, simulated_tracks
from radlite.annotate.simulated_grip import simulated_grip
from radlite.episode import Episode
from radlite.phrases import SUBTASK_WORDS
from radlite.stats import wilson
from radlite.tabletop.collect import HUMAN_AXES, episodes
from radlite.tabletop.viewpoint import HOME_VIEW

AXES = {"forward": 0, "left": 1, "up": 2, "jaws": GRIPPER}


def subtask_of(text: str) -> str:
    """The expert's subtask of a chain's sentence."""
    begins = {name: words.split("{")[0].strip() for name, words in SUBTASK_WORDS.items()}
    return max((name for name, words in begins.items() if text.startswith(words)), key=lambda name: len(begins[name]))


def truly_open(episode: Episode) -> np.ndarray:
    """float (T,): 1 open, 0 closed or holding, NaN where the chain says half open."""
    words = [chain.subtask_reason.split(";")[0] for chain in episode.reasoning]
    return np.array([np.nan if "half open" in w else float(" is open" in w) for w in words])


class Tally:
    """What one embodiment, number of views and noise comes to, episode by episode."""

    def __init__(self) -> None:
        self.hits: dict[str, list[bool]] = {}
        self.numbers: dict[str, list[float]] = {}
        self.pairs: Counter[str] = Counter()

    def labels(self, name: str, said: list, true: list, axes: tuple[str, ...]) -> None:
        """Adds primitives, by axis and whole; None says nothing."""
        both = [(primitive_to_vector(a), primitive_to_vector(b)) for a, b in zip(said, true, strict=True) if a is not None]
        at = [AXES[axis] for axis in axes]
        for a, b in both:
            for axis, k in zip(axes, at, strict=True):
                self.hit(f"{name} {axis}", a[k] == b[k])
            self.hit(f"{name} whole", (a[at] == b[at]).all())

    def hit(self, name: str, right: bool) -> None:
        self.hits.setdefault(name, []).append(bool(right))

    def add(self, name: str, values: np.ndarray) -> None:
        self.numbers.setdefault(name, []).extend(np.asarray(values, float)[np.isfinite(values)].tolist())

    def table(self) -> dict:
        shares = {name: {"share": round(float(np.mean(v)), 3), "interval": [round(x, 3) for x in wilson(sum(v), len(v))],
                         "n": len(v)}
                  for name, v in sorted(self.hits.items())}  # fmt: skip
        spread = {name: {"median": round(float(np.median(v)), 2), "p5": round(float(np.quantile(v, 0.05)), 2),
                         "p95": round(float(np.quantile(v, 0.95)), 2), "n": len(v)}
                  for name, v in self.numbers.items()}  # fmt: skip
        return {**shares, **spread, "subtask, worst pairs (true > said)": dict(self.pairs.most_common(6))}


def judge(tally: Tally, episode: Episode, noise: Noise, views: int, looks: int) -> None:
    """Adds one episode."""
    evidence, true = simulated_evidence(episode, noise, views, looks=looks), episode.reasoning
    motion, opened = evidence.motion, truly_open(episode)
    tally.add("gripper", np.linalg.norm(evidence.gripper.points - [chain.gripper[0] for chain in true], axis=1))
    for track in evidence.objects:
        if track.name in episode.instruction:
            judge_boxes(tally, track.boxes, next(t for t in simulated_tracks(episode) if t.name == track.name).boxes)
    for said, word in zip(evidence.gripper.open, opened, strict=True):
        if np.isfinite([said, word]).all():
            tally.hit("open", said == word)
    for said, chain in zip(motion.subtasks, true, strict=True):
        tally.hit("frames with a subtask", said is not None)
        if said is not None:
            tally.hit("subtask", said == subtask_of(chain.subtask))
            tally.pairs[f"{subtask_of(chain.subtask)} > {said}"] += said != subtask_of(chain.subtask)
    states = np.array(episode.states, float)
    states[:, GRIPPER] = np.where(np.isfinite(opened), opened, states[:, GRIPPER] > 0.7)
    tally.labels("ecot", motion.moves, primitives(states, rotations=False), tuple(AXES))
    tally.labels("tabletop", evidence.moves, [chain.move for chain in true], tuple(AXES))


def judge_boxes(tally: Tally, said: np.ndarray, true: np.ndarray) -> None:
    known = np.isfinite(said).all(1) & np.isfinite(true).all(1)
    pairs = list(zip(said[known], true[known], strict=True))
    tally.add("boxes, IoU", np.array([overlaps(a[None], b[None])[0][0, 0] for a, b in pairs]))
    tally.add("boxes, pixels", np.array([np.abs(a - b).max() for a, b in pairs]))


def judge_picture(tally: Tally, episode: Episode, noise: Noise, looks: int) -> None:
    """Adds the primitives of the home camera's two axes."""
    flat = Axes(elevation=HOME_VIEW.elevation)
    seen = gripper_track(simulated_grip(episode, noise, looks=looks), FRAME, "right", looks=looks)
    exact = HOME_VIEW.project(np.array(episode.states, float)[:, :3])
    size = np.full(len(exact), np.nanmedian(seen.size))
    clean = GripperTrack(exact, np.ones(len(exact)), size, np.ones(len(exact), bool))
    said = moves(smoothed(metric_path(seen, flat)), seen.open, episode.fps)
    tally.labels("image_plane", said, moves(metric_path(clean, flat), clean.open, episode.fps), ("forward", "left"))


def collected(args: argparse.Namespace, embodiment: str) -> list[Episode]:
    """The episodes of one embodiment."""
    if args.datasets:
        found = [e for path in args.datasets for e in EpisodeDataset(path) if e.embodiment == embodiment]
        return found[: args.episodes]
    axes = HUMAN_AXES if embodiment == "human" else (None,)
    return list(episodes(args.episodes, embodiment, axes, args.seed, size=16, workers=1, progress=False))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=60, help="of each embodiment (default 60)")
    parser.add_argument("--datasets", type=Path, nargs="*", default=[], help="take these instead of collecting")
    parser.add_argument("--looks", type=int, default=AnnotateConfig().looks,
                        help="pictures a frame in which a hand is looked for, each with errors of its own (default 6)")
    parser.add_argument("--pixel-noise", type=float, default=0.02)
    parser.add_argument("--finger-noise", type=float, default=0.05)
    parser.add_argument("--drop", type=float, default=0.1)
    parser.add_argument("--box-noise", type=float, default=0.03)
    parser.add_argument("--miss", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    noises = {"no noise": Noise(), "noise": Noise(
        box=args.box_noise, miss=args.miss, pixels=args.pixel_noise, drop=args.drop, fingers=args.finger_noise, seed=args.seed
    )}  # fmt: skip
    results: dict = {}
    for embodiment in ("human", "robot"):
        shown = collected(args, embodiment)
        rows = {"episodes": len(shown), "frames": sum(map(len, shown))}
        for name, noise in noises.items():
            tallies = {f"{views} views" if views > 1 else "1 view": Tally() for views in (1, 2)}
            for episode in tqdm(shown, desc=f"{embodiment}, {name}", leave=False):
                for views, tally in zip((1, 2), tallies.values(), strict=True):
                    judge(tally, episode, noise, views, args.looks)
                judge_picture(tallies["1 view"], episode, noise, args.looks)
            rows[name] = {views: tally.table() for views, tally in tallies.items()}
        results[embodiment] = rows
    report("annotation", vars(args), results)


if __name__ == "__main__":
    main()
