"""Statistics of a dataset's columns, as meta/stats.json holds them."""

from __future__ import annotations

import numpy as np


def vector_stats(values: np.ndarray) -> dict[str, list]:
    """Statistics of (N, D) vectors, each a list of D numbers, and `count` as [N]."""
    values = values.astype(np.float64)
    rows = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "q01": np.quantile(values, 0.01, axis=0),
        "q99": np.quantile(values, 0.99, axis=0),
    }
    return {name: row.tolist() for name, row in rows.items()} | {"count": [len(values)]}


def image_stats(histogram: np.ndarray, count: int) -> dict[str, list]:
    """Statistics of pixels in 0..1 per channel, in LeRobot's (3, 1, 1) shape, from how often each of the 256
    levels occurs, (3, 256); `count` is the number of pictures. q01 and q99 are the levels at those shares."""
    level = np.arange(256) / 255.0
    share = histogram / histogram.sum(1, keepdims=True)  # (3, 256)
    mean = share @ level
    std = np.sqrt((share * (level - mean[:, None]) ** 2).sum(1))
    at = share.cumsum(1)
    rows = {
        "min": level[(histogram > 0).argmax(1)],
        "max": level[255 - (histogram[:, ::-1] > 0).argmax(1)],
        "mean": mean,
        "std": std,
        "q01": level[(at >= 0.01).argmax(1)],
        "q99": level[(at >= 0.99).argmax(1)],
    }
    return {name: row.reshape(3, 1, 1).tolist() for name, row in rows.items()} | {"count": [count]}
