"""Loss curves that grow while a notebook trains: one figure, redrawn in place at most once in a while."""

from __future__ import annotations

import time
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from radlite.reasoning import FIELDS
from radlite.show.charts import loss_series
from radlite.show.html import chart_text

SHOWN = ("total", *FIELDS, "action")
_COLUMNS = 4


class LiveCurves:
    """Give it to `train(on_log=...)`; it shows the curves so far through an updated display.

    Args:
        every: least seconds between two drawings.
        name: of the run.

    Attributes:
        rows: the log so far.
    """

    def __init__(self, name: str = "run", every: float = 3.0) -> None:
        self.name, self.every, self.rows = name, every, []
        self._handle: Any = None
        self._drawn = -float("inf")

    def __call__(self, row: dict) -> None:
        """One more row of the log."""
        self.rows.append(row)
        if time.monotonic() - self._drawn >= self.every:
            self.draw()

    def draw(self) -> None:
        """Draws now; call it once more at the end."""
        from IPython.display import display  # only where there is a notebook

        figure = self.figure()
        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display(figure, display_id=True)
        else:
            self._handle.update(figure)

    def figure(self) -> go.Figure:
        """The fields of `SHOWN` in one figure, logarithmic, one panel each."""
        return curves_figure({self.name: self.rows})


def curves_figure(curves: dict[str, list[dict]]) -> go.Figure:
    """Loss per field over steps, one panel for each of `SHOWN`, one line a run.

    Args:
        curves: run -> rows of its log, see `radlite.show.charts.curve_figures`.

    Raises:
        RadliteError: a row without a step.
    """
    series = loss_series(curves)
    names = [name for name in SHOWN if name in series]
    figure = make_subplots(
        rows=max(1, -(-len(names) // _COLUMNS)), cols=_COLUMNS, shared_xaxes=True,
        subplot_titles=[chart_text(name.replace("_", " ")) for name in names],
        vertical_spacing=0.14, horizontal_spacing=0.05,
    )  # fmt: skip
    for k, name in enumerate(names):
        for number, (run, points) in enumerate(series[name].items()):
            x, y = zip(*points, strict=True)
            style = {"color": ("#0072b2", "#d55e00", "#009e73")[number % 3], "dash": ("solid", "dash", "dot")[number % 3]}
            figure.add_scatter(
                x=x, y=y, name=chart_text(run), line=style, mode="lines+markers" if len(x) < 3 else "lines",
                showlegend=k == 0 and len(curves) > 1, legendgroup=run, row=k // _COLUMNS + 1, col=k % _COLUMNS + 1,
            )  # fmt: skip
    figure.update_yaxes(type="log", exponentformat="none")
    figure.update_annotations(font_size=12)
    height = 150 + 150 * max(1, -(-len(names) // _COLUMNS))
    return figure.update_layout(height=height, margin={"l": 40, "r": 10, "t": 40, "b": 30})
