"""The report's charts as plotly figures: made of numbers and already escaped words.

Four pictures: success per arm and kind of task, accuracy per field, the controls, and loss per field over training. Colours
differ, and so do bar patterns, line dashes and labels, so nothing hangs on colour alone.
"""

from __future__ import annotations

import math
import textwrap

import plotly.graph_objects as go

from radlite.errors import RadliteError
from radlite.reasoning import FIELDS
from radlite.show.html import chart_text
from radlite.stats import wilson

SPLITS = {"robot_tasks": "robot's own tasks", "human_only_tasks": "tasks seen only in human hands"}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_PATTERNS = ("", "/", "x", ".", "-", "+")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_MAX_POINTS = 400  # per curve; more cannot be told apart in a panel and only swell the file
_LEAST_LOSS = 1e-3  # nats; smaller ones are drawn here, as a logarithm has no zero


def cells_of(group: dict | None, fallback: str = "") -> dict[str, dict[str, tuple[int, int]]]:
    """Counts from results: {name: {split: (successes, trials)}}.

    A name may hold one cell ({"successes", "trials"}: the split is `fallback`) or one per split. Anything
    else beside the cells is ignored.

    Raises:
        RadliteError: counts that are no counts (checked by `wilson`).
    """
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for name, entry in (group or {}).items():
        cells = {fallback: entry} if _is_cell(entry) else entry if isinstance(entry, dict) else {}
        counts = {str(k): (v["successes"], v["trials"]) for k, v in cells.items() if _is_cell(v)}
        for pair in counts.values():
            wilson(*pair)
        if counts:
            found[str(name)] = counts
    return found


def _is_cell(value: object) -> bool:
    return isinstance(value, dict) and "successes" in value and "trials" in value


def success_figure(arms: dict[str, dict[str, tuple[int, int]]], labels: dict[str, str] = SPLITS) -> dict:
    """Grouped bars, one group a split, one bar an arm, whiskers at the 95% Wilson interval (per cent)."""
    splits = [s for s in labels if any(s in cells for cells in arms.values())]
    splits += sorted({s for cells in arms.values() for s in cells} - set(splits))
    figure, width = go.Figure(), 0.8 / max(1, len(arms))
    for number, (arm, cells) in enumerate(arms.items()):
        shift = (number - (len(arms) - 1) / 2) * width
        here = [s for s in splits if s in cells]
        marker = {"color": _COLOURS[number % 6], "pattern": {"shape": _PATTERNS[number % 6]}}
        _add_bars(
            figure,
            arm,
            [splits.index(s) + shift for s in here],
            [cells[s] for s in here],
            width * 0.9,
            marker,
            gap=2,
        )
    _name_groups(figure, [labels.get(s, s) for s in splits])
    figure.update_layout(
        yaxis={"title": {"text": "success, %"}, "range": [0, 122], "tickvals": [*range(0, 101, 20)]},
        height=420,
    )
    return _finished(figure)


def accuracy_figure(accuracy: dict[str, dict[str, float]]) -> go.Figure:
    """Bars of what `evaluate.reasoning_accuracy` gives for several policies: shares written right, and box overlap (0 to 1).

    Errors in pixels and centimetres have another unit and are left out.
    """
    fields = [*dict.fromkeys(f for row in accuracy.values() for f in row if not f.endswith(("_px", "_cm")))]
    rank = {name: n for n, name in enumerate(FIELDS)}
    fields.sort(key=lambda f: rank.get(f.removesuffix("_iou"), 99))
    figure = go.Figure()
    for number, (name, row) in enumerate(accuracy.items()):
        marker = {"color": _COLOURS[number % 6], "pattern": {"shape": _PATTERNS[number % 6]}}
        values = [row.get(f) for f in fields]
        text = [f"{v:.2f}" if v is not None else "" for v in values]
        labels = [chart_text(f.replace("bboxes_iou", "boxes (overlap)").replace("_", " ")) for f in fields]
        figure.add_bar(name=chart_text(name), x=labels, y=values, marker=marker, text=text, textposition="outside")
    figure.update_yaxes(range=[0, 1.12], title="right, or overlap")
    return figure.update_layout(height=320, barmode="group", margin={"t": 20, "b": 40}, template="plotly_white")


def controls_figure(controls: dict[str, dict[str, tuple[int, int]]]) -> dict:
    """Bars of the controls on human-only tasks, with the 5% they should stay below as a dashed line."""
    rows = [
        (name if len(cells) == 1 else f"{name}, {SPLITS.get(split, split)}", pair)
        for name, cells in controls.items()
        for split, pair in cells.items()
    ]
    figure, pairs = go.Figure(), [pair for _, pair in rows]
    top = max([100 * wilson(*pair)[1] for pair in pairs], default=0)
    _add_bars(figure, "controls", list(range(len(rows))), pairs, 0.5, {"color": "#7f7f7f"}, gap=0.2, above=5)
    figure.add_hline(y=5, line={"dash": "dash", "width": 1.5, "color": "#808080"}, annotation={"text": "5%"})
    _name_groups(figure, [name.replace("_", " ") for name, _ in rows])
    figure.update_layout(
        yaxis={"title": {"text": "success, %"}, "range": [0, max(12, top * 1.4)]}, height=320
    )
    return _finished(figure, legend=False)


def _add_bars(
    figure: go.Figure,
    name: str,
    x: list[float],
    pairs: list[tuple[int, int]],
    width: float,
    marker: dict,
    gap: float,
    above: float = 0,
) -> None:
    """Bars with whiskers, and counts `gap` over the whiskers and over `above`, where nothing hides them."""
    rates = [100 * s / t if t else 0.0 for s, t in pairs]
    bounds = [[100 * b for b in wilson(s, t)] for s, t in pairs]
    whiskers = {
        "type": "data",
        "symmetric": False,
        "thickness": 1.5,
        "width": 6,
        "color": "#808080",
        "array": [b[1] - r for r, b in zip(rates, bounds, strict=True)],
        "arrayminus": [r - b[0] for r, b in zip(rates, bounds, strict=True)],
    }
    figure.add_bar(
        name=chart_text(name),
        x=x,
        y=rates,
        width=width,
        error_y=whiskers,
        marker=marker,
        hovertemplate="%{y:.1f}%<extra></extra>",
    )
    words = [f"{r:.0f}%<br>{s}/{t}" if t else "no trials" for r, (s, t) in zip(rates, pairs, strict=True)]
    figure.add_scatter(
        x=x,
        y=[max(b[1], above) + gap for b in bounds],
        text=words,
        mode="text",
        textposition="top center",
        showlegend=False,
        hoverinfo="skip",
    )


def _name_groups(figure: go.Figure, names: list[str]) -> None:
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": ["<br>".join(map(chart_text, textwrap.wrap(name, 16)[:4])) for name in names],
    }
    figure.update_xaxes(**ticks, range=[-0.5, len(names) - 0.5], showgrid=False)


def curve_figures(curves: dict[str, list[dict]]) -> list[tuple[str, dict]]:
    """One figure per field (and the total first), all arms in each: training loss over steps.

    Args:
        curves: arm -> rows of the training log, {"step", "loss", "fields": {field: {"loss", "accuracy"}}}.

    Returns:
        [(field name, figure)], fields in ECoT's order; rows without a finite loss are left out.

    Raises:
        RadliteError: a row without a step.
    """
    series = loss_series(curves)
    rank = {name: n for n, name in enumerate(("total", *FIELDS, "action"))}
    names = sorted(series, key=lambda f: (rank.get(f, 99), f))
    arms = [str(a) for a in curves or {}]
    return [(name, _curve(name, series[name], arms)) for name in names]


def loss_series(curves: dict[str, list[dict]]) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Logs as field -> run -> [(step, loss)], "total" for the loss of all; see `curve_figures` for the rows."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for arm, rows in (curves or {}).items():
        for row in rows:
            step = _step(arm, row)
            fields = row.get("fields") if isinstance(row.get("fields"), dict) else {}
            values = {
                "total": row.get("loss"),
                **{f: v.get("loss") for f, v in fields.items() if isinstance(v, dict)},
            }
            for field, loss in values.items():
                if isinstance(loss, (int, float)) and math.isfinite(loss):
                    series.setdefault(str(field), {}).setdefault(str(arm), []).append((step, float(loss)))
    return series


def _step(arm: str, row: object) -> float:
    step = row.get("step") if isinstance(row, dict) else None
    if not isinstance(step, (int, float)) or not math.isfinite(step):
        raise RadliteError(
            "log rows with a step", f"{str(row)[:80]!r} in arm {arm!r}", "pass the rows of train's JSONL log"
        )
    return step


def _curve(field: str, by_arm: dict[str, list[tuple[float, float]]], arms: list[str]) -> dict:
    figure = go.Figure()
    for arm, points in by_arm.items():
        points = points[:: max(1, math.ceil(len(points) / _MAX_POINTS))]
        number = arms.index(arm) % 6
        figure.add_scatter(
            name=chart_text(arm),
            x=[p[0] for p in points],
            y=[max(p[1], _LEAST_LOSS) for p in points],
            mode="lines+markers" if len(points) == 1 else "lines",
            line={"color": _COLOURS[number], "dash": _DASHES[number], "width": 2},
        )
    figure.update_layout(
        title={"text": chart_text(field.replace("_", " "), 40), "font": {"size": 14}, "x": 0.02},
        height=250,
        yaxis={"type": "log", "dtick": 1, "exponentformat": "none"},  # all that matters happens below a tenth of the start
        xaxis={"title": {"text": "step", "standoff": 4}},
    )
    return _finished(figure)


def _finished(figure: go.Figure, legend: bool = True) -> dict:
    """Neutral look; the page's script sets the text colour to fit light or dark."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=legend,
        margin={"l": 52, "r": 12, "t": 36, "b": 44},
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.2)", zeroline=False, fixedrange=True)
    figure.update_yaxes(
        gridcolor="rgba(128,128,128,0.3)", zerolinecolor="rgba(128,128,128,0.6)", fixedrange=True
    )
    return figure.to_plotly_json()
