"""Actions: seven numbers, 256 tokens, and the words for a motion.

A robot action is (dx, dy, dz, droll, dpitch, dyaw, gripper): a displacement in metres, a rotation in
radians, and an absolute gripper opening (1 open, 0 closed), in Bridge's frame: x forward, y left, z up. A
language model emits it as one token per dimension. `encode` squeezes each dimension from the 1st..99th
percentile of the data to -1..1, clips, and takes one of 256 equal bins; `decode` gives back the centre of
the bin, `expectation` the mean over all bins.

The second half names motions: ECoT's movement primitives such as "move forward left, close gripper".

Sources: OpenVLA's action tokeniser as used by ECoT (arXiv 2407.08693) and the primitives of ECoT's released
labelling code. One difference: ECoT lays 256 *edges* on -1..1, which makes 255 bins; here there are 256 bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radlite.errors import RadliteError

ACTION_DIM: int = 7
"""dx, dy, dz (m), droll, dpitch, dyaw (rad), gripper (1 open, 0 closed)."""

BINS: int = 256
"""Bins, and so action tokens, per dimension."""

GRIPPER: int = 6
"""Index of the gripper; it is never normalised: 0..1 maps to -1..1 whatever the statistics say."""

MIDDLE_BIN: int = BINS // 2
"""Bin of a dimension that never moves in the data (q01 == q99)."""

BIN_CENTRES: NDArray[np.float64] = (np.arange(BINS) + 0.5) / BINS * 2 - 1
"""Centres of the bins in normalised units -1..1, shape (256,)."""


def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Values as float64, after checking that they are numbers and finite."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RadliteError(f"numbers in {name}", str(error), "pass an array of numbers") from error
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(bad[0].tolist())
        raise RadliteError(f"finite {name}", f"{array[where]} at index {where}", "drop or repair that step")
    return array


def _check_last(shape: tuple[int, ...], last: tuple[int, ...], name: str) -> None:
    if shape[-len(last):] != last:
        wanted = ", ".join(map(str, ("...", *last)))
        raise RadliteError(f"{name} of shape ({wanted})", f"shape {shape}", "one entry per action dimension")


@dataclass(frozen=True)
class ActionStats:
    """Percentiles of a robot dataset that normalise its actions.

    Args:
        q01: 1st percentile of each of the 7 dimensions.
        q99: 99th percentile; nowhere below q01.
    """

    q01: tuple[float, ...]
    q99: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("q01", "q99"):
            numbers = _finite(getattr(self, name), name)
            if numbers.shape != (ACTION_DIM,):
                raise RadliteError(f"7 numbers in {name}", f"shape {numbers.shape}", "one per dimension")
            object.__setattr__(self, name, tuple(numbers.tolist()))  # tuples, so that stats compare and hash
        if any(low > high for low, high in zip(self.q01, self.q99, strict=True)):
            raise RadliteError("q01 <= q99 in every dimension", f"{self.q01} and {self.q99}", "swap them")

    @classmethod
    def fit(cls, actions: ArrayLike) -> ActionStats:
        """Percentiles of `actions` (N, 7); the gripper's are 0 and 1. NaN or inf raises `RadliteError`."""
        table = _finite(actions, "actions")
        if table.ndim != 2 or table.shape[1] != ACTION_DIM or not len(table):
            raise RadliteError("actions of shape (N, 7), N > 0", f"shape {table.shape}", "stack all steps")
        q01, q99 = np.quantile(table, (0.01, 0.99), axis=0)
        q01[GRIPPER], q99[GRIPPER] = 0.0, 1.0
        return cls(tuple(q01), tuple(q99))

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-able dictionary with keys "q01" and "q99"."""
        return {"q01": list(self.q01), "q99": list(self.q99)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ActionStats:
        """Inverse of `to_dict`; a missing key raises `RadliteError`."""
        if not isinstance(data, Mapping) or not {"q01", "q99"} <= set(data):
            raise RadliteError("keys 'q01' and 'q99'", f"{data!r:.80}", "save them with ActionStats.to_dict")
        return cls(data["q01"], data["q99"])

    def _range(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower end and width of what the bins cover, each (7,)."""
        low, high = np.array(self.q01), np.array(self.q99)
        low[GRIPPER], high[GRIPPER] = 0.0, 1.0
        return low, high - low


BRIDGE_STATS = ActionStats(
    q01=(-0.02873, -0.04170, -0.02609, -0.08092, -0.09289, -0.20718, 0.0),
    q99=(0.02831, 0.04086, 0.04016, 0.08192, 0.07793, 0.20383, 1.0),
)
"""Statistics of Bridge V2 ("bridge_orig", 5 Hz), as published with OpenVLA checkpoints."""


def encode(actions: ArrayLike, stats: ActionStats) -> NDArray[np.int64]:
    """Actions (..., 7) to bins 0..255 (..., 7); values outside q01..q99 are clipped.

    A dimension with q01 == q99 gives `MIDDLE_BIN`. NaN or inf raises `RadliteError`.
    """
    values = _finite(actions, "actions")
    _check_last(values.shape, (ACTION_DIM,), "actions")
    low, width = stats._range()
    still = width == 0
    unit = (np.clip(values, low, low + width) - low) / np.where(still, 1.0, width)  # 0..1
    bins = np.minimum((unit * BINS).astype(np.int64), BINS - 1)  # q99 itself belongs to the last bin
    return np.where(still, MIDDLE_BIN, bins)


def decode(bins: ArrayLike, stats: ActionStats) -> NDArray[np.float32]:
    """Bins (..., 7) to actions (..., 7): the centre of each bin, at most half a bin from what was encoded.

    So a gripper comes back as 0.002 or 0.998; compare it with 0.5. A dimension with q01 == q99 gives q01.
    Bins that are not integers in 0..255 raise `RadliteError`.
    """
    numbers = np.asarray(bins)
    _check_last(numbers.shape, (ACTION_DIM,), "bins")
    if numbers.dtype.kind not in "iu" or (numbers.size and (numbers.min() < 0 or numbers.max() >= BINS)):
        found = f"{numbers.dtype} values {np.unique(numbers)[:4]}..."
        fix = "subtract the id of the first action token"
        raise RadliteError(f"integer bins in 0..{BINS - 1}", found, fix)
    return _denormalise(BIN_CENTRES[numbers], stats)


def expectation(probs: ArrayLike, stats: ActionStats) -> NDArray[np.float32]:
    """Mean action (..., 7) under probabilities (..., 7, 256).

    Smoother than the most likely bin: a policy torn between two neighbours moves in between. Probabilities
    are divided by their sum, which low precision leaves only near 1. Negative, non-finite or all-zero ones
    raise `RadliteError`.
    """
    weights = _finite(probs, "probabilities")
    _check_last(weights.shape, (ACTION_DIM, BINS), "probabilities")
    total = weights.sum(axis=-1)
    if (weights < 0).any() or (total <= 0).any():
        raise RadliteError("probabilities", "negative or all-zero values", "apply softmax to the logits")
    return _denormalise(weights @ BIN_CENTRES / total, stats)


def _denormalise(normal: NDArray[np.float64], stats: ActionStats) -> NDArray[np.float32]:
    """Normalised actions -1..1 (..., 7) to physical units."""
    low, width = stats._range()
    return (low + (normal + 1) / 2 * width).astype(np.float32)


# -- words for motions ---------------------------------------------------------------------------------------

_WORDS: tuple[tuple[int, str, str], ...] = (  # dimension, word for +1, word for -1, in the order of the label
    (0, "forward", "backward"),
    (1, "left", "right"),
    (2, "up", "down"),
    (3, "tilt up", "tilt down"),
    (5, "rotate counterclockwise", "rotate clockwise"),
    (GRIPPER, "open gripper", "close gripper"),
)
_SIGNS = {  # "move left" -> (1, 1), "tilt down" -> (3, -1)
    f"move {word}" if dim < 3 else word: (dim, sign)
    for dim, plus, minus in _WORDS
    for word, sign in ((plus, 1), (minus, -1))
}


def primitive(
    delta_state: ArrayLike,
    threshold: float = 0.03,
    max_norm: float = 0.09,
    rotation_scale: float = 10.0,
    rotations: bool = True,
) -> str:
    """Words for a change of state (7,), such as "move forward left, close gripper", or "stop".

    Args:
        delta_state: later minus earlier state: metres, radians, gripper opening.
        threshold: a dimension is named when it changes by more than this (m; rad / rotation_scale; opening).
        max_norm: a translation with a larger L1 norm is shrunk to it, which hides its minor axes; with ECoT's
            3 x threshold, at most two of x, y, z are named.
        rotation_scale: rotations are divided by it, so that 0.3 rad weighs as much as 3 cm.
        rotations: False leaves rotations out, as RAD does for hands, whose tracked rotation is too noisy.

    The defaults are ECoT's, chosen for a WidowX over 0.6 s; set your own for another arm or for hands. Tilt
    is dimension 3, or 4 where 3 is still. Raises `RadliteError` for a wrong shape, NaN, and thresholds that
    exclude every motion.
    """
    delta = _finite(delta_state, "the change of state").copy()
    if delta.shape != (ACTION_DIM,):
        raise RadliteError("a change of state of 7 numbers", f"shape {delta.shape}", "see ACTION_DIM")
    if not (0 < threshold < max_norm and rotation_scale > 0):
        found = f"threshold {threshold}, max_norm {max_norm}, rotation_scale {rotation_scale}"
        raise RadliteError("0 < threshold < max_norm and rotation_scale > 0", found, "ECoT: 0.03, 0.09, 10")
    norm = np.abs(delta[:3]).sum()
    if norm > max_norm:
        delta[:3] *= max_norm / norm
    delta[3:6] *= 1 / rotation_scale if rotations else 0.0
    signs = (delta > threshold).astype(int) - (delta < -threshold)
    if signs[3] == 0:
        signs[3] = signs[4]
    return _describe(signs)


def _describe(signs: NDArray[np.int64]) -> str:
    """Words for signs (7,)."""
    named = [(dim, plus if signs[dim] > 0 else minus) for dim, plus, minus in _WORDS if signs[dim]]
    moves = " ".join(word for dim, word in named if dim < 3)
    groups = [f"move {moves}"] if moves else []
    return ", ".join(groups + [word for dim, word in named if dim >= 3]) or "stop"


def primitives(
    states: ArrayLike,
    window: int = 4,
    threshold: float = 0.03,
    max_norm: float = 0.09,
    rotation_scale: float = 10.0,
    rotations: bool = True,
) -> list[str]:
    """The primitive *about to be* executed at each step of an episode.

    Args:
        states: (T, 7) xyz in metres, roll, pitch, yaw in radians, gripper opening.
        window: states looked at, the present one included; 4 states are 3 steps, 0.6 s at 5 Hz. Windows at
            the end are as long as there are states.
        threshold, max_norm, rotation_scale, rotations: see `primitive`.

    Returns T labels; the last repeats the one before it (and is "stop" in an episode of one step). Angles
    that jump from pi to -pi are taken the short way round, which ECoT's code does not do. Raises
    `RadliteError` for a wrong shape, no steps, NaN, and a window below 2.
    """
    path = _finite(states, "states")
    if path.ndim != 2 or path.shape[1] != ACTION_DIM or not len(path):
        raise RadliteError("states of shape (T, 7), T > 0", f"shape {path.shape}", "one state per step")
    if window < 2:
        raise RadliteError("a window of at least 2 states", f"{window}", "ECoT uses 4")
    last = len(path) - 1
    ends = np.minimum(np.arange(last) + window - 1, last)
    deltas = path[ends] - path[:last]  # (T-1, 7)
    deltas[:, 3:6] -= np.round(deltas[:, 3:6] / (2 * np.pi)) * 2 * np.pi  # zero turns below pi
    labels = [primitive(delta, threshold, max_norm, rotation_scale, rotations) for delta in deltas]
    return labels + (labels[-1:] or ["stop"])


def primitive_to_vector(label: str) -> NDArray[np.int64]:
    """Signs (7,) of -1, 0, 1 that a label such as "move left down, close gripper" asks for.

    Inverse of `primitive`, up to size; "tilt" fills dimension 3. Serves signed tests of whether an action
    obeys its MOVE. Case, extra spaces and a final full stop are forgiven; other words, and a dimension
    named twice, raise `RadliteError`.
    """
    signs = np.zeros(ACTION_DIM, dtype=np.int64)
    text = " ".join(str(label).lower().split()).removesuffix(".")
    for word in [] if text == "stop" else _words(text):
        dim, sign = _SIGNS.get(word, (0, 0))
        if not sign or signs[dim]:
            found, fix = f"{word!r} in {label!r}", "use the words of radlite.actions.primitive"
            raise RadliteError("a primitive such as 'move left down, close gripper'", found, fix)
        signs[dim] = sign
    return signs


def _words(text: str) -> list[str]:
    """Words of a label: "move left down, tilt up" -> ["move left", "move down", "tilt up"]."""
    words: list[str] = []
    for group in (part.strip() for part in text.split(",")):
        is_move = group.startswith("move ")
        words += [f"move {word}" for word in group.split()[1:]] if is_move else [group]
    return words
