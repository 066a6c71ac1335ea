"""Statistics of a dataset's columns, as meta/stats.json holds them."""

from __future__ import annotations

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
"""Those of LeRobot's datasets, by the name that they have there."""


def vector_stats(values: np.ndarray) -> dict[str, list]:
    """Statistics of (N, D) vectors, each a list of D numbers, and `count` as [N]."""
    values = values.astype(np.float64)
    rows = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        **{name: np.quantile(values, part, axis=0) for name, part in QUANTILES.items()},
    }
    return {name: row.tolist() for name, row in rows.items()} | {"count": [len(values)]}


def image_stats(histogram: np.ndarray, count: int) -> dict[str, list]:
    """Statistics of pixels in 0..1 per channel, in LeRobot's (3, 1, 1) shape, from how often each of the 256
    levels occurs, (3, 256); `count` is the number of pictures. A quantile is the level at its share."""
    level = np.arange(256) / 255.0
    share = histogram / histogram.sum(1, keepdims=True)  # (3, 256)
    mean = share @ level
    std = np.sqrt((share * (level - mean[:, None]) ** 2).sum(1))
    at = histogram.cumsum(1)  # whole numbers: sums of shares would end a hair below a tenth
    rows = {
        "min": level[(histogram > 0).argmax(1)],
        "max": level[255 - (histogram[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": std,
        **{name: level[(at >= part * at[:, -1:] - 1e-6).argmax(1)] for name, part in QUANTILES.items()},
    }
    return {name: row.reshape(3, 1, 1).tolist() for name, row in rows.items()} | {"count": [count]}
