"""Do the words drive the action? A direction turned round, a floor of rewording, and a null of saying the same again.

On frames that nobody has trained on the policy writes its own chain. One horizontal direction of MOVE REASONING and MOVE is
turned round: the action must turn round, too (signed: that it changes is not enough). The chain in other words of the same
meaning must leave the action as it is, and so must the very same chain, given instead of written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from radlite.episodes import EpisodeDataset, Sample
from radlite.errors import RadliteError
from radlite.policy import Policy, Prediction
from radlite.reasoning import Reasoning

LEAST_CM = 3  # a way shorter than this is no direction worth turning round
CHANGED_M = 0.005  # metres along that direction which count as a change
BATCH = 64
OPPOSITE = {"left": "right", "right": "left", "forward": "back", "back": "forward", "backward": "forward"}
WAYS = {"left": (1, 1.0), "right": (1, -1.0), "forward": (0, 1.0), "back": (0, -1.0)}  # word -> action's axis and sign
SAME_MEANING = (("move above", "go above"), ("carry", "take"), ("lower onto", "move down onto"), ("reach", "move to"))


def main_way(chain: Reasoning) -> str | None:
    """The longer horizontal direction of MOVE REASONING, if it is at least `LEAST_CM` and MOVE names it, too."""
    found = re.findall(r"(\d+) cm (left|right|forward|back)\b", chain.move_reason or "")
    length, word = max(((int(n), w) for n, w in found), default=(0, ""))
    named = re.search(rf"\b{word}", chain.move or "") if word else None  # MOVE says backward, the way says back
    return word if length >= LEAST_CM and named else None


def turned_round(chain: Reasoning, word: str) -> Reasoning:
    """The chain with that direction turned round in MOVE REASONING and MOVE, and nothing after them."""
    move = re.sub(r"\bbackward\b", "back", chain.move).replace(word, OPPOSITE[word])
    return chain.without("gripper").replace(
        move_reason=chain.move_reason.replace(f"cm {word}", f"cm {OPPOSITE[word]}"),
        move=re.sub(r"\bback\b", "backward", move),
    )


def reworded(chain: Reasoning) -> Reasoning:
    """The chain in other words: boxes in another order, another verb of the same meaning."""
    def swap(text: str | None) -> str | None:
        for one, other in SAME_MEANING:
            text = text.replace(one, other) if text else text
        return text

    boxes = chain.bboxes[::-1] if chain.bboxes else chain.bboxes
    return chain.without("gripper").replace(bboxes=boxes, subtask=swap(chain.subtask), plan=swap(chain.plan))


def faithfulness(policy: Policy, dataset: EpisodeDataset, count: int, seed: int = 0) -> dict:
    """Turns round, rewords and repeats the chains of up to `count` frames.

    Returns:
        {"trials", "reversed", "changed", "reworded_changed", "repeated_changed": counts; "effect_cm": by how much the action
        follows the turn, mean; "reworded_cm", "repeated_cm": mean size of the change along the same direction}. Fewer trials
        than `count` where not enough chains name a direction, and none for a policy that never does.

    Raises:
        RadliteError: a count below 1.
    """
    if count < 1:
        raise RadliteError("a count of at least 1", repr(count), "100 is a good number")
    rows: list[tuple[Sample, Prediction, str]] = []
    order = np.random.default_rng([seed, 31]).permutation(dataset.num_frames)
    for start in range(0, len(order), BATCH):
        samples = [dataset.frame(int(i)) for i in order[start : start + BATCH]]
        said = policy.predict([s.image for s in samples], [s.instruction for s in samples])
        rows += [(s, p, way) for s, p in zip(samples, said, strict=True) if (way := main_way(p.reasoning))]
        if len(rows) >= count:
            break
    rows = rows[:count]
    if not rows:
        return {"trials": 0, **dict.fromkeys(("reversed", "changed", "reworded_changed", "repeated_changed"), 0)}
    written = np.array([_along(p.action, way) for _, p, way in rows])  # metres along the direction that the chain names
    turned, other, again = (
        np.array(_act(policy, rows, [change(p.reasoning, way) for _, p, way in rows]))
        for change in (turned_round, lambda c, _: reworded(c), lambda c, _: c)
    )
    return {
        "trials": len(rows),
        "reversed": int(((written >= CHANGED_M) & (turned <= -CHANGED_M)).sum()),
        "changed": int((np.abs(turned - written) > CHANGED_M).sum()),
        "reworded_changed": int((np.abs(other - written) > CHANGED_M).sum()),
        "repeated_changed": int((np.abs(again - written) > CHANGED_M).sum()),
        "effect_cm": float((written - turned).mean() * 100),
        "reworded_cm": float(np.abs(other - written).mean() * 100),
        "repeated_cm": float(np.abs(again - written).mean() * 100),
    }


def _act(policy: Policy, rows: Sequence[tuple[Sample, Prediction, str]], chains: list[Reasoning]) -> list[float]:
    moved = []
    for start in range(0, len(rows), BATCH):
        part, told = rows[start : start + BATCH], chains[start : start + BATCH]
        said = policy.predict([s.image for s, _, _ in part], [s.instruction for s, _, _ in part], told)
        moved += [_along(p.action, way) for p, (_, _, way) in zip(said, part, strict=True)]
    return moved


def _along(action: np.ndarray, way: str) -> float:
    axis, sign = WAYS[way]
    return float(action[axis]) * sign
