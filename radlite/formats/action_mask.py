"""Which frames of somebody else's dataset have an action, where robot and action-free frames lie in one.

LeRobot has no field for it. Two ways of saying "none here" are understood: a row of `action` with NaN in it, and a column
`action_mask` or `has_action` that is false there, whatever `action` holds. A zero says nothing: it is a robot that stands still,
or a video whose actions were invented, and nobody can tell from the file. So masked frames are taken apart
(`radlite data subset --embodiment`), and zeros are refused where one trains (`EpisodeDataset.actions`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from radlite.errors import RadliteError

MASKS = ("action_mask", "has_action")
APART = "take the two apart: `radlite data subset SRC OUT --embodiment robot`, and again with `human`"


def masks(features: Collection[str]) -> list[str]:
    """The columns of a dataset that say where there is an action."""
    return [name for name in MASKS if name in features]


def without_action(columns: pa.RecordBatch | pa.Table, names: Sequence[str]) -> np.ndarray:
    """Where one of the columns `names` says that there is no action, bool (N,). An empty cell says so, too.

    Raises:
        RadliteError: a column that holds neither true and false nor numbers, one a row.
    """
    absent = np.zeros(len(columns), bool)
    for name in names:
        values = columns.column(name)
        try:
            kind = values.type
            if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
                values = pc.list_element(values, 0)  # LeRobot's shape [1]
            absent |= ~pc.fill_null(values.cast(pa.bool_()), False).to_numpy(zero_copy_only=False).astype(bool)
        except (pa.ArrowException, ValueError, TypeError) as error:
            expected = f"true and false in column {name!r}"
            raise RadliteError(expected, f"{values.type} ({error})"[:200], "write 1 where there is an action, else 0") from error
    return absent


def frames_with_action(path: Path, action: str, names: Sequence[str]) -> np.ndarray:
    """Which rows of a data file have an action, bool (N,).

    Args:
        path: the parquet file.
        action: name of the column with actions.
        names: of the columns that `masks` found.
    """
    parts = []
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(1 << 14, columns=[action, *names]):
            values = batch.column(action)
            flat = pc.list_flatten(values).cast(pa.float64()).to_numpy(zero_copy_only=False)
            rows = pc.list_parent_indices(values).to_numpy()
            told = np.bincount(rows[np.isnan(flat)], minlength=len(batch)) == 0
            parts.append(told & (np.bincount(rows, minlength=len(batch)) > 0) & ~without_action(batch, names))
    return np.concatenate(parts) if parts else np.zeros(0, bool)
