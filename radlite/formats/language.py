"""Chains of reasoning in LeRobot's two language columns, out of them and into them.

    language_persistent    what holds until it is replaced, the whole episode's list in each of its rows: plan, subtask, motion
    language_events        what belongs to one frame: vqa (boxes), trace (the gripper's way), both in pixels of a camera

A chain says more than these styles: its task, and why this subtask and this motion. So the column `reasoning` stays what radlite
reads where it is there, to the letter; the two are written beside it for LeRobot's recipes, and read where there is nothing else.
Boxes are the answer of a vqa row, as LeRobot's annotation pipeline writes them. For traces it has no form yet; ours is that of
its key points, with several of them. Source of the layout: LeRobot's guide `language_and_recipes`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from radlite.formats.card import REASONING_KEY
from radlite.reasoning import FRAME_SIZE, Reasoning

PERSISTENT, EVENTS = LANGUAGE = ("language_persistent", "language_events")
STYLES = {"plan": "plan", "subtask": "subtask", "motion": "move"}
"""LeRobot's styles, and the fields of a chain that they hold."""

_ASKED = "Where are the objects?"
_LATE = 1e-3  # seconds: timestamps are float32


def language_names(features: Collection[str]) -> list[str]:
    """The language columns to read a chain from: none where there is the column `reasoning`."""
    return [] if REASONING_KEY in features else [name for name in LANGUAGE if name in features]


def language_type(name: str) -> pa.DataType:
    """Arrow's type of one of the two columns."""
    calls = pa.list_(pa.json_() if hasattr(pa, "json_") else pa.string())
    kinds = {"timestamp": pa.float32(), "tool_calls": calls}
    fields = [pa.field(key, kinds.get(key, pa.string()), nullable=key not in ("role", "timestamp")) for key in _keys(name)]
    return pa.list_(pa.struct(fields))


def language_note(name: str) -> dict[str, Any]:
    """The column in the note by which the `datasets` library knows types."""
    row: dict[str, Any] = {key: {"dtype": "string", "_type": "Value"} for key in _keys(name)}
    calls = {"_type": "Json"} if hasattr(pa, "json_") else {"dtype": "string", "_type": "Value"}
    row["tool_calls"] = {"feature": calls, "_type": "List"}
    if "timestamp" in row:
        row["timestamp"] = {"dtype": "float32", "_type": "Value"}
    return {"feature": row, "_type": "List"}


def language_columns(
    chains: Sequence[Reasoning | None], times: np.ndarray, camera: str, shape: tuple[int, int, int]
) -> dict[str, pa.ListArray]:
    """The two columns of an episode, T lists of rows each.

    Args:
        chains: T of them, None for a frame that has none.
        times: float32 (T,), seconds, as in the column `timestamp`.
        camera: the feature that boxes and gripper points are seen in.
        shape: (H, W, 3) of its pictures.
    """
    lasting, last = [], dict.fromkeys(STYLES.values())
    for chain, time in zip(chains, times, strict=True):
        for style, field in STYLES.items():
            value = getattr(chain, field, None)
            if value != last[field]:
                last[field] = value  # an empty content: it no longer holds
                lasting.append({**_row(style, value), "timestamp": float(time)})
    events = [_events(chain, camera, shape) for chain in chains]
    return {PERSISTENT: _lists(PERSISTENT, [lasting] * len(chains)), EVENTS: _lists(EVENTS, events)}


def texts(columns: pa.Table | pa.RecordBatch, camera: str, shape: tuple[int, int, int]) -> list[str]:
    """The chains of some rows as JSON, like the cells of `reasoning`; "" where nothing is said.

    Fields that the styles do not hold are absent. Text is brought onto one line. Answers to questions about other things than
    boxes are left out; boxes that are none come out as they are, and whoever parses the JSON says so.

    Args:
        columns: with `timestamp` and the two columns, or one of them.
        camera: whose boxes and traces are wanted.
        shape: (H, W, 3) of its pictures.
    """
    times = columns.column("timestamp").to_pylist()
    nothing = [None] * len(times)
    persistent, events = (columns.column(name) if name in columns.schema.names else nothing for name in LANGUAGE)
    found, before, lasting = [], None, []
    for time, cell, event in zip(times, persistent, events, strict=True):
        if before is None or cell is None or not cell.equals(before):  # the same list in every row of an episode
            before, lasting = cell, (cell.as_py() if cell is not None else None) or []
        values = _active(lasting, time or 0.0) | _seen((event.as_py() if event is not None else None) or [], camera, shape)
        found.append(json.dumps(values, ensure_ascii=False) if values else "")
    return found


def _keys(name: str) -> tuple[str, ...]:
    return ("role", "content", "style", *(("timestamp",) if name == PERSISTENT else ()), "camera", "tool_calls")


def _lists(name: str, lists: list[list[dict[str, Any]]]) -> pa.ListArray:
    """Arrow cannot make JSON cells out of Python's objects; there are no tool calls, so it need not."""
    kind, rows = language_type(name).value_type, [row for part in lists for row in part]
    parts = [
        pa.nulls(len(rows), field.type)
        if field.name == "tool_calls"
        else pa.array([row[field.name] for row in rows], field.type)
        for field in kind
    ]
    offsets = pa.array(np.cumsum([0, *map(len, lists)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(parts, fields=list(kind)))


def _row(style: str, content: str | None, role: str = "assistant", camera: str | None = None) -> dict[str, Any]:
    return {"role": role, "content": content, "style": style, "camera": camera}


def _events(chain: Reasoning | None, camera: str, shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    rows, (across, down) = [], (shape[1] / FRAME_SIZE, shape[0] / FRAME_SIZE)
    if chain is not None and chain.bboxes is not None:
        boxes = [{"label": b.name, "bbox_format": "xyxy", "bbox": _scaled(b.xyxy, across, down)} for b in chain.bboxes]
        rows += [_row("vqa", _ASKED, "user", camera), _row("vqa", _json({"detections": boxes}), camera=camera)]
    if chain is not None and chain.gripper is not None:
        points = [_scaled(point, across, down) for point in chain.gripper]
        rows.append(_row("trace", _json({"label": "gripper", "point_format": "xy", "points": points}), camera=camera))
    return rows


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _scaled(numbers: Sequence[float], across: float, down: float) -> list[float]:
    return [round(v * (down if k % 2 else across), 3) for k, v in enumerate(numbers)]


def _active(rows: list[dict[str, Any]], time: float) -> dict[str, str]:
    """What holds at a time, by field."""
    told: dict[str, tuple[float, Any]] = {}
    for row in rows:
        field, since = STYLES.get(row["style"]), row["timestamp"]
        if field and row["role"] != "user" and since is not None and told.get(field, (-np.inf,))[0] <= since <= time + _LATE:
            told[field] = since, row["content"]
    lines = {field: " ".join((content or "").replace("@", " ").split()) for field, (_, content) in told.items()}
    return {field: line for field, line in lines.items() if line}


def _seen(rows: list[dict[str, Any]], camera: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Boxes and gripper points in a 256x256 frame."""
    values, (across, down) = {}, (FRAME_SIZE / shape[1], FRAME_SIZE / shape[0])
    for row in rows:
        if row["camera"] != camera or row["style"] not in ("vqa", "trace") or row["role"] == "user":
            continue
        try:
            answer = json.loads(row["content"])
            if row["style"] == "vqa" and isinstance(answer, dict) and "detections" in answer:
                boxes = answer["detections"]
                values["bboxes"] = [{"name": b["label"], "xyxy": _whole(b["bbox"], across, down)} for b in boxes]
            if row["style"] == "trace" and isinstance(answer, dict) and "points" in answer:
                values["gripper"] = [_whole(point, across, down) for point in answer["points"]]
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            values["bboxes" if row["style"] == "vqa" else "gripper"] = [row["content"]]
    return values


def _whole(numbers: Sequence[float], across: float, down: float) -> list[int]:
    return [round(v) for v in _scaled(numbers, across, down)]
