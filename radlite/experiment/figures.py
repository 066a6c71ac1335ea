"""The tables as plotly figures, and all of it into files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from radlite.errors import RadliteError
from radlite.experiment.cells import TABLES
from radlite.experiment.results import Count, Results, name_of
from radlite.experiment.tables import AXIS_NAMES, PLACES, at_place, markdown
from radlite.formats.staging import replace_text
from radlite.show.charts import accuracy_figure
from radlite.show.html import chart_text

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")


def figure(table: str, results: Results) -> go.Figure | None:
    """The picture of a table; None where there are no cells of it."""
    cells = results.where(table=table)
    if not cells:
        return None
    drawn = {"reasoning": _fields, "faithfulness": _shares, "ratio": _ratio, "scaling": _scaling}.get(table, _bars)(cells)
    title = f"{table}: {TABLES[table]}"
    return drawn.update_layout(title={"text": title, "x": 0.01, "y": 0.98, "yanchor": "top"}, template="plotly_white",
                               margin={"t": 90, "l": 60, "r": 20, "b": 60})  # fmt: skip


def _bars(cells: Results) -> go.Figure:
    axes = {a: AXIS_NAMES.get(a, a.replace("_", " ")) for a in cells.values("axis")}
    rows = {name_of(*row): cells.where(arm=row[0], variant=row[1]) for row in cells.rows()}
    columns = {words: {n: r.count(axis=a) for n, r in rows.items() if r.where(axis=a)} for a, words in axes.items()}
    return _forest({**columns, "all": {n: r.count() for n, r in rows.items() if set(r.values("axis")) == set(axes)}})


def _forest(columns: dict[str, dict[str, Count]]) -> go.Figure:
    """A column a question, a row an arm, a dot a rate with its interval: rows are read across, and none hides another."""
    drawn = make_subplots(1, len(columns), shared_yaxes=True, horizontal_spacing=0.03, subplot_titles=[*map(chart_text, columns)])
    names = list(dict.fromkeys(n for rows in columns.values() for n in rows))[::-1]
    for number, rows in enumerate(columns.values(), 1):
        here = [n for n in names if n in rows]
        counts = [rows[n] for n in here]
        bars = _whiskers(counts) | {"color": "#808080", "thickness": 1.5}
        words = [f"{c.successes}/{c.trials}" for c in counts]
        drawn.add_scatter(x=[100 * c.rate for c in counts], y=[*map(chart_text, here)], mode="markers", error_x=bars,
                          text=words, showlegend=False,
                          marker={"size": 9, "color": COLOURS[0]}, hovertemplate="%{y}: %{x:.0f}%, %{text}<extra></extra>",
                          row=1, col=number)  # fmt: skip
        drawn.update_xaxes(range=[-3, 103], tickvals=[0, 50, 100], ticktext=["0", "50%", "100%"], row=1, col=number)
    drawn.update_yaxes(categoryorder="array", categoryarray=[*map(chart_text, names)])
    return drawn.update_layout(height=150 + 28 * len(names))


def _whiskers(counts: Sequence[Count]) -> dict:
    """The intervals of counts as plotly's error bars, in points to both sides of the rate."""
    return {"type": "data", "symmetric": False, "array": [100 * (c.interval[1] - c.rate) for c in counts],
            "arrayminus": [100 * (c.rate - c.interval[0]) for c in counts]}  # fmt: skip


def _fields(cells: Results) -> go.Figure:
    names = ("plan", "bboxes_iou", "subtask", "move")  # the reasons are told in centimetres
    human = cells.where(axis="human") or cells
    return go.Figure(accuracy_figure({c["arm"]: {n: c["metrics"][n] for n in names if n in c["metrics"]} for c in human}))


def _shares(cells: Results) -> go.Figure:
    names = {"reversed": "turned round: action reverses", "reworded_changed": "reworded: action changes",
             "repeated_changed": "repeated: action changes"}  # fmt: skip
    told = {c["arm"]: {**c["metrics"], "reversed": c["successes"]} for c in cells if c["trials"]}
    trials = {c["arm"]: c["trials"] for c in cells}
    return _forest({words: {arm: Count(m[key], trials[arm]) for arm, m in told.items()} for key, words in names.items()})


def _line(drawn: go.Figure, name: str, cells: Results, number: int, text: str = "", places: Sequence[float] = ()) -> None:
    """A curve over `x`, or over a place of its own for each x; `text` is where its counts stand."""
    xs = sorted({c["x"] for c in cells})
    counts = [cells.count(x=x) for x in xs]
    drawn.add_scatter(
        name=chart_text(name), x=places or xs, y=[100 * c.rate for c in counts],
        mode="lines+markers+text" if text else "lines+markers",
        text=[f"{c.successes}/{c.trials}" for c in counts], textposition=text or None,
        line={"color": COLOURS[number], "dash": ("solid", "dash", "dot", "dashdot")[number]},
        error_y=_whiskers(counts),
    )  # fmt: skip


def _ratio(cells: Results) -> go.Figure:
    drawn = go.Figure()
    for number, axis in enumerate(cells.values("axis")):
        _line(drawn, axis.replace("_", " "), cells.where(axis=axis), number)
    _line(drawn, "all", cells, 3, "bottom center")
    drawn.update_xaxes(title="share of human samples among those with a picture", range=[-0.04, 0.9])
    return drawn.update_yaxes(title="success, %", range=[0, 105])


def _scaling(cells: Results) -> go.Figure:
    """Numbers of clips double, so they stand evenly; none has no place on a logarithm."""
    drawn, values = go.Figure(), sorted({c["x"] for c in cells})
    for number, (place, words) in enumerate(PLACES.items()):
        mine, side = at_place(cells, place), (-1, 1)[number]  # side by side, so that neither interval hides the other
        places = [values.index(x) + 0.06 * side for x in sorted({c["x"] for c in mine})]
        _line(drawn, words, mine, number, f"{('top', 'bottom')[number]} {('left', 'right')[number]}", places)
    drawn.update_xaxes(title="human clips", tickvals=[*range(len(values))], ticktext=[str(v) for v in values])
    return drawn.update_yaxes(title="success on new objects, %", range=[0, 105])


def write(results: Results, out: Path, pictures: bool = True) -> list[Path]:
    """Writes `TABLE.md`, `TABLE.html` and, where a browser draws them, `TABLE.png` for every table that has cells.

    The pages share one `plotly.min.js` beside them, so they open without a network.

    Returns:
        What was written.
    """
    written: list[Path] = []
    out = Path(out)
    for table in TABLES:
        drawn = figure(table, results)
        if drawn is None:
            continue
        written.append(replace_text(out / f"{table}.md", markdown(table, results)))
        page = drawn.to_html(include_plotlyjs="directory", full_html=True)
        written.append(replace_text(out / f"{table}.html", page))
        if pictures:
            written.append(picture(drawn, out / f"{table}.png"))
    if written and not (out / "plotly.min.js").exists():
        from plotly.offline import get_plotlyjs

        replace_text(out / "plotly.min.js", get_plotlyjs())
    return written


def picture(drawn: go.Figure, path: Path) -> Path:
    """The figure as PNG, drawn by kaleido and a Chromium.

    Raises:
        RadliteError: one of them is not here.
    """
    try:
        drawn.write_image(path, width=1100, height=drawn.layout.height or 480, scale=1.5)
    except (ImportError, ValueError, RuntimeError, OSError) as error:
        raise RadliteError("kaleido and a Chromium for PNG figures", " ".join(str(error).split())[:120],
                           "pip install 'radlite[figures]' and install chromium, or leave pictures out with --no-pictures"
                           ) from error
    return path

