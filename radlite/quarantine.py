"""The good episodes of a dataset into a new one, the bad ones into a list with their reasons; the source stays as it is."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from radlite.actions import ACTION_DIM
from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.findings import Report
from radlite.formats.card import ACTION_KEY, STATE_KEY
from radlite.formats.lerobot_rows import LeRobotRows, pictures, vectors
from radlite.formats.picture import decode_image
from radlite.formats.staging import replace_text
from radlite.validate import action_rows, chain_texts, open_rows, read_chain, wanted_columns

MOST_EPISODE = 1 << 32  # bytes of an episode's pictures, unpacked


def quarantine(reports: list[Report], out: Path, licenses: list[str]) -> list[Path]:
    """Writes OUT/<name> with the good episodes of each source, and OUT/<name>.bad.json with the bad ones and why.

    Cameras and columns that radlite does not read are not copied. A source without a good episode gives only the list.

    Args:
        reports: of `examine`, with pictures.
        out: a folder; nothing in it is replaced.
        licenses: for the cards, one a source.

    Returns:
        The lists, one a source.

    Raises:
        RadliteError: two sources have one name, a target is there already, an episode is too large to be held in memory, or
            the disk refuses.
    """
    names = [Path(r.path).resolve().name for r in reports]
    if len(set(names)) < len(names) or not all(names):
        raise RadliteError("sources with different names", ", ".join(names), "quarantine each to a folder of its own")
    targets = [out / name for name in names]
    lists = [out / f"{name}.bad.json" for name in names]
    there = [str(path) for path in (*targets, *lists) if path.exists()]
    if there:
        raise RadliteError(f"free places in {out}", f"{there[0]} is there already", "choose another folder")
    for report, target, listed, license in zip(reports, targets, lists, licenses, strict=True):
        bad, kept = report.bad, report.num_episodes - len(report.bad)
        if kept:
            origin = f"{kept} of the {report.num_episodes} episodes of {target.name}: `radlite data validate` found no error"
            write_dataset(target, good_episodes(report), origin=origin, license=license)
        rows = [{"episode": i, "frames": report.lengths[i], "reasons": [asdict(f) for f in found]} for i, found in bad.items()]
        replace_text(listed, json.dumps({"source": report.path, "episodes": report.num_episodes, "bad": rows}, indent=1) + "\n")
    return lists


def good_episodes(report: Report) -> Iterator[Episode]:
    """The episodes without an error, one in memory at a time, as `EpisodeDataset` would give them.

    Raises:
        RadliteError: the pictures were not examined and one is broken, or an episode is too large to be held in memory.
    """
    return read_episodes(open_rows(Path(report.path)), set(range(report.num_episodes)) - set(report.bad))


def read_episodes(
    opened: tuple[LeRobotRows, EpisodeDataset, str], wanted: Collection[int], numbers: Sequence[int] | None = None
) -> Iterator[Episode]:
    """Some episodes of a dataset that may be damaged elsewhere, in their order, one in memory at a time.

    Args:
        opened: the dataset, by `open_rows`.
        wanted: numbers of the episodes.
        numbers: of every episode, what errors call it; its own number by default.

    Raises:
        RadliteError: one of them is damaged, or too large to be held in memory.
    """
    rows, dataset, camera = opened
    kept, shape, lengths = _Kept(), dataset.image_shape, np.diff(rows.starts).tolist()
    for episode, step, count, part in rows.segments(wanted_columns(rows, camera), wanted):
        if episode not in wanted:
            continue
        if isinstance(part, RadliteError):
            raise part
        where, length = f"of episode {episode if numbers is None else numbers[episode]} of {dataset.path}", lengths[episode]
        if step == 0:
            if length * int(np.prod(shape)) > MOST_EPISODE:
                expected, found = f"at most {MOST_EPISODE >> 30} GiB of pixels {where}", f"{length} frames of {shape}"
                raise RadliteError(expected, found, "cut it in two")
            kept = _Kept()
            task = rows.tasks[part.column("task_index")[0].as_py()]
        if rows.is_video(camera):
            first = rows.starts[episode] + step
            kept.add("frames", np.stack([rows.picture(k, camera, shape) for k in range(first, first + count)]))
        else:
            images = enumerate(pictures(part.column(camera)), step)
            kept.add("frames", np.stack([decode_image(data, shape, f"frame {k} {where}") for k, data in images]))
        texts = chain_texts(part, camera, shape)
        kept.add("reasoning", [read_chain(text() if callable(text) else text) for text in texts])
        if ACTION_KEY in rows.features:
            kept.add("actions", action_rows(part))
        if STATE_KEY in rows.features:
            kept.add("states", vectors(part.column(STATE_KEY), ACTION_DIM))
        if step + count == length:
            meta = json.loads(rows.metas[episode])
            yield Episode(task, embodiment=dataset.embodiment, fps=dataset.fps, meta=meta, **kept.all())


class _Kept:
    """Parts of an episode, by name."""

    def __init__(self) -> None:
        self._parts: dict[str, list] = {}

    def add(self, name: str, part: Any) -> None:
        self._parts.setdefault(name, []).append(part)

    def all(self) -> dict[str, Any]:
        return {name: sum(parts, []) if name == "reasoning" else np.concatenate(parts) for name, parts in self._parts.items()}
