"""Does it act? Closed-loop success with intervals, and the accuracy of every field of the chain."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from radlite.episodes import EpisodeDataset, Sample
from radlite.policy import Policy, Prediction
from radlite.reasoning import FRAME_SIZE, Reasoning
from radlite.rollouts import BATCH, Agent, Outcome, PolicyAgent, rollout
from radlite.stats import wilson
from radlite.tabletop.env import Trial

FAR = 40.0  # centimetres: longer ones are not told


def summarise(outcomes: Sequence[Outcome]) -> dict:
    """{"successes", "trials", "rate", "interval": 95% Wilson, "by_axis", "by_family"}."""
    table = _count(outcomes)
    for key, of in (
        ("by_axis", lambda o: o.trial.axis or "home"),
        ("by_family", lambda o: o.trial.task.family),
    ):
        groups = sorted({of(o) for o in outcomes})
        table[key] = {g: _count([o for o in outcomes if of(o) == g]) for g in groups}
    return table


def _count(outcomes: Sequence[Outcome]) -> dict:
    wins, total = sum(o.success for o in outcomes), len(outcomes)
    low, high = wilson(wins, total)
    return {"successes": wins, "trials": total, "rate": wins / total, "interval": [low, high]}


def evaluate(agent: Agent | Policy, trials: Sequence[Trial], **kwargs) -> dict:
    """Success of an agent or a policy on trials; see `summarise` and `rollout`."""
    agent = PolicyAgent(agent) if isinstance(agent, Policy) else agent
    return summarise(rollout(agent, trials, **kwargs))


# -- reasoning, field by field ---------------------------------------------------------------------------------------
def reasoning_accuracy(
    policy: Policy, dataset: EpisodeDataset, count: int = 200, seed: int = 0
) -> dict[str, float]:
    """How right the freely written chain is on frames of a dataset.

    Returns:
        For task, plan, subtask, move and the two reasons: share written exactly. For bboxes: `bboxes_iou` (mean over
        the true boxes of what the instruction names, of all where it names none; 0 where the name is missing). For
        gripper: `gripper_px` (median error of its first point, pixels of 256; the frame's diagonal where it is missing).
        For the two reasons also `_cm`: median over frames of the largest error of their lengths (40 where other things
        are told). Where the data has actions: `action_cm` (median error of the translation).
    """
    order = np.random.default_rng(seed).permutation(dataset.num_frames)[:count]
    samples = [dataset.frame(int(i)) for i in order]
    said: list[Prediction] = []
    for start in range(0, len(samples), BATCH):
        part = samples[start : start + BATCH]
        said += policy.predict([s.image for s in part], [s.instruction for s in part])
    rows = [_marks(s, p) for s, p in zip(samples, said, strict=True)]
    keys = sorted({k for row in rows for k in row})
    pool = {k: [row[k] for row in rows if k in row] for k in keys}
    return {k: float(np.median(v) if k.endswith(("_px", "_cm")) else np.mean(v)) for k, v in pool.items()}


def _marks(sample: Sample, said: Prediction) -> dict[str, float]:
    truth, guess = sample.reasoning or Reasoning(), said.reasoning
    marks = {
        f: float(getattr(truth, f) == getattr(guess, f))
        for f in ("task", "plan", "subtask_reason", "subtask", "move_reason", "move")
        if getattr(truth, f)
    }
    for f in ("subtask_reason", "move_reason"):
        if lengths := _lengths(getattr(truth, f)):
            told = _lengths(getattr(guess, f))
            same = len(told) == len(lengths)
            marks[f"{f}_cm"] = float(np.abs(np.subtract(told, lengths)).max()) if same else FAR
    boxes = {b.name: b.xyxy for b in guess.bboxes or ()}
    if truth.bboxes:
        asked = [b for b in truth.bboxes if b.name in sample.instruction] or truth.bboxes
        marks["bboxes_iou"] = float(np.mean([iou(b.xyxy, boxes[b.name]) if b.name in boxes else 0.0 for b in asked]))
    if truth.gripper:
        away = np.subtract(truth.gripper[0], guess.gripper[0]) if guess.gripper else (FRAME_SIZE, FRAME_SIZE)
        marks["gripper_px"] = float(np.hypot(*away))
    if sample.action is not None:
        marks["action_cm"] = float(np.linalg.norm(sample.action[:3] - said.action[:3]) * 100)
    return marks


def _lengths(text: str | None) -> list[int]:
    """Every length of a sentence in centimetres, those to the right, back and down negative."""
    found = re.findall(r"(\d+) cm (\w+)", text or "")
    return [-int(n) if word in ("right", "back", "below", "down") else int(n) for n, word in found]


def iou(a: Sequence[int], b: Sequence[int]) -> float:
    """Overlap of two boxes (x1, y1, x2, y2): intersection over union, 0 for empty ones."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / area if area > 0 else 0.0
