"""`report.html`: what an experiment found, in one file that opens without a network, tomorrow and in ten
years.

Success bars with intervals, controls, rollout videos of both arms, training curves per field, and the numbers
themselves with what is needed to repeat them. Captions say what one sees and what it does not show. A part
whose data is missing is left out with a sentence, never filled with something else.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from radlite.errors import RadliteError
from radlite.show import captions
from radlite.show.charts import SPLITS, cells_of, controls_figure, curve_figures, success_figure
from radlite.show.html import escape
from radlite.show.page import build_page, chart_slot, table
from radlite.show.video import write_mp4
from radlite.stats import wilson

Clip = tuple[str, "str | os.PathLike | np.ndarray | list[np.ndarray]"]


def write_report(
    out_dir: str | os.PathLike,
    results: dict,
    curves: dict[str, list[dict]] | None = None,
    clips: Iterable[Clip] = (),
    fps: float = 5.0,
) -> Path:
    """Write `out_dir/report.html`.

    Args:
        out_dir: folder; created when missing. The old report stays until the new one is complete.
        results: what `results.json` holds: {"arms": {arm: {"robot_tasks": {"successes", "trials"},
            "human_only_tasks": {...}}}, "controls": {name: cell or {split: cell}}, "steps", "datasets":
            {name: {"episodes", "frames", "sha256"}}, "seconds", "seed", "versions"}. Only "arms" is needed.
        curves: arm -> rows of its training log ({"step", "loss", "fields": {field: {"loss", ...}}}).
        clips: (title, mp4 file or frames uint8 (T, H, W, 3)); embedded into the page.
        fps: speed of clips that are given as frames.

    Returns:
        Path of the report.

    Raises:
        RadliteError: results without arms or with impossible counts, a clip that is missing or no mp4, a
            folder that cannot be written.
    """
    if not isinstance(results, dict) or not isinstance(results.get("arms"), dict):
        raise RadliteError('results with "arms"', str(results)[:80], "pass the contents of results.json")
    figures: list[dict] = []
    parts = [
        _head(results),
        _success(results, figures),
        _controls(results, figures),
        _videos(clips, fps),
        _training(curves or {}, figures),
        _numbers(results),
        _provenance(results),
    ]
    return _save(Path(out_dir) / "report.html", build_page(captions.TITLE, "\n".join(parts), figures))


def _rate(pair: tuple[int, int]) -> str:
    if not pair[1]:
        return "no trials"
    low, high = (100 * bound for bound in wilson(*pair))
    return f"{100 * pair[0] / pair[1]:.0f}% ({pair[0]} of {pair[1]}; 95% interval {low:.0f} to {high:.0f}%)"


def _part(title: str, caption: str, content: str = "", limits: str = "") -> str:
    """A section: heading, what one sees, the thing itself, what it does not show."""
    note = f'<p class="note">{limits}</p>' if limits else ""
    return f"<h2>{title}</h2><p>{caption}</p>{content}{note}"


def _head(results: dict) -> str:
    arms = cells_of(results["arms"])
    told = [
        f"<b>{escape(arm)}</b> solved {escape(_rate(cells['human_only_tasks']))}"
        for arm, cells in arms.items()
        if "human_only_tasks" in cells
    ]
    found = f"On tasks seen only in human hands, {'; '.join(told)}." if told else "No human-only trials."
    return f'<h1>{captions.TITLE}</h1><p class="lead">{found}</p><p class="note">{captions.INTRO}</p>'


def _success(results: dict, figures: list[dict]) -> str:
    arms = cells_of(results["arms"])
    if not arms:
        return _part("Success", "No success counts are recorded.")
    figures.append({"id": "chart-success", "figure": success_figure(arms)})
    return _part("Success", captions.SUCCESS, chart_slot("chart-success"), captions.SUCCESS_LIMITS)


def _controls(results: dict, figures: list[dict]) -> str:
    controls = cells_of(results.get("controls"), "human_only_tasks")
    if not controls:
        return _part("Controls", "No controls are recorded.")
    figures.append({"id": "chart-controls", "figure": controls_figure(controls)})
    return _part("Controls", captions.CONTROLS, chart_slot("chart-controls"))


def _videos(clips: Iterable[Clip], fps: float) -> str:
    options = 'controls muted loop playsinline preload="metadata"'
    cards = [
        f'<figure class="card"><video {options} src="{data_url(clip, fps)}"></video>'
        f"<figcaption>{escape(title)}</figcaption></figure>"
        for title, clip in clips
    ]
    if not cards:
        return _part("Rollouts", "No videos were recorded.")
    return _part("Rollouts", captions.ROLLOUTS, "".join(cards), captions.ROLLOUTS_LIMITS)


def data_url(clip: object, fps: float) -> str:
    """A clip (an mp4 file, or frames uint8 (T, H, W, 3)) as a data: address; frames are encoded first."""
    if isinstance(clip, (str, os.PathLike)):
        return f"data:video/mp4;base64,{base64.b64encode(_mp4_bytes(Path(clip))).decode('ascii')}"
    with tempfile.TemporaryDirectory() as folder:
        return data_url(write_mp4(Path(folder) / "clip.mp4", clip, fps), fps)


def _mp4_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RadliteError(
            "a video file for each clip", f"{path}: {error}", "write it with write_mp4 first"
        ) from error
    if data[4:8] != b"ftyp":  # the first box of every mp4
        raise RadliteError("an mp4 file", f"something else in {path}", "write it with write_mp4")
    return data


def _training(curves: dict[str, list[dict]], figures: list[dict]) -> str:
    panels = curve_figures(curves)
    if not panels:
        return _part("Training", "No training log was given.")
    names = [f"chart-loss-{number}" for number in range(len(panels))]
    figures += [{"id": name, "figure": figure} for name, (_, figure) in zip(names, panels, strict=True)]
    grid = f'<div class="grid">{"".join(map(chart_slot, names))}</div>'
    return _part("Training", captions.TRAINING, grid, captions.TRAINING_LIMITS)


def _numbers(results: dict) -> str:
    rows = []
    for group, fallback in (("arms", ""), ("controls", "human_only_tasks")):
        for name, cells in cells_of(results.get(group), fallback).items():
            for split, (successes, trials) in cells.items():
                low, high = wilson(successes, trials)
                rate = f"{100 * successes / trials:.1f}" if trials else "-"
                rows.append(
                    [
                        name,
                        SPLITS.get(split, split),
                        successes,
                        trials,
                        rate,
                        f"{100 * low:.1f} to {100 * high:.1f}",
                    ]
                )
    head = ["who", "tasks", "successes", "trials", "rate, %", "95% interval, %"]
    return "<h2>The numbers</h2>" + table(head, rows, numeric=(2, 3, 4, 5))


def _provenance(results: dict) -> str:
    datasets = results.get("datasets") if isinstance(results.get("datasets"), dict) else {}
    keys = ("episodes", "frames", "sha256")
    rows = [[n, *(d.get(key, "-") for key in keys)] for n, d in datasets.items() if isinstance(d, dict)]
    head = ["dataset", "episodes", "frames", "SHA-256 of its content"]
    tables = [table(head, rows, numeric=(1, 2))] if rows else []
    for key, title in (("seconds", "seconds"), ("steps", "training steps"), ("versions", "version")):
        flat = _flat(results.get(key))
        if flat:
            tables.append(
                table([key, title], [list(pair) for pair in flat], () if key == "versions" else (1,))
            )
    seed = f"Seed {escape(results.get('seed', 'not recorded'))}."
    return _part("To repeat it", seed, "".join(tables), captions.SECONDS)


def _flat(value: object, prefix: str = "") -> list[tuple[str, object]]:
    """Nested results as ("train / rad", 212.0) pairs; floats rounded to a tenth."""
    if isinstance(value, dict):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(inner, f"{prefix} / {key}" if prefix else str(key))
        ]
    return (
        [(prefix or "all", f"{value:.1f}" if isinstance(value, float) else value)]
        if value is not None
        else []
    )


def _save(target: Path, page: str) -> Path:
    part = target.with_name(target.name + f".{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(page, encoding="utf-8")
        os.replace(part, target)
    except OSError as error:
        part.unlink(missing_ok=True) if target.parent.is_dir() else None
        raise RadliteError(
            "a folder that can be written", f"{target.parent}: {error}", "choose another folder"
        ) from error
    return target
