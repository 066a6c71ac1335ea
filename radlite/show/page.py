"""The report's page: style, the script that draws the charts, and the frame that holds them.

The page may load nothing: its Content-Security-Policy allows inline style, embedded (data:) media, and
exactly the two scripts written here, by their hashes. So even a string that slipped past `escape` could
neither run nor call home.
"""

from __future__ import annotations

from plotly.offline import get_plotlyjs

from radlite.show.html import csp_hash, escape, script_json

STYLE = """
:root { color-scheme: light dark;
  --ink: #1d1f23; --soft: #5b606a; --paper: #fff; --card: #f5f6f8; --line: #dcdfe4 }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e8e9ec; --soft: #a4a9b3; --paper: #15171b; --card: #1f2227; --line: #363a42 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 1080px; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, -apple-system, Roboto, sans-serif }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line) }
p { max-width: 74ch; margin: .5rem 0; overflow-wrap: anywhere }
.lead { font-size: 1.1rem }
.note { color: var(--soft); font-size: .94rem }
.grid { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)) }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .5rem;
  min-width: 0; margin: .8rem 0 }
.grid .card { margin: 0 }
figcaption { padding: .4rem .3rem .1rem; overflow-wrap: anywhere }
video { display: block; width: 100%; height: auto; border-radius: 4px; background: #000 }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .94rem; margin: .6rem 0 1.2rem; min-width: 50% }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
"""

# Text and grid follow the page's colours, also when the reader switches between light and dark.
_DRAW = """
(function(){
  var charts = JSON.parse(document.getElementById("charts").textContent);
  function ink(){ return getComputedStyle(document.body).color; }
  charts.forEach(function(chart){
    chart.figure.layout.font.color = ink();
    Plotly.newPlot(chart.id, chart.figure.data, chart.figure.layout, {responsive:true, displayModeBar:false});
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function(){
    charts.forEach(function(chart){ Plotly.relayout(chart.id, {"font.color": ink()}); });
  });
})();
"""


def build_page(title: str, body: str, figures: list[dict]) -> str:
    """The whole file.

    Args:
        title: plain text; escaped here.
        body: HTML whose every word from data has gone through `escape`. A chart's place is `chart_slot(id)`.
        figures: {"id": place, "figure": plotly figure as JSON-able dict}; labels through `chart_text`.

    Returns:
        A complete HTML document with plotly.js inside (about 5 MB).
    """
    bundle = get_plotlyjs().replace("</script", "<\\/script")
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; media-src data:; "
        f"base-uri 'none'; form-action 'none'; script-src {csp_hash(bundle)} {csp_hash(_DRAW)}"
    )
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
            body,
            f'<script type="application/json" id="charts">{script_json(figures)}</script>',
            f"<script>{bundle}</script>",
            f"<script>{_DRAW}</script>",
            "</body></html>\n",
        ]
    )


def chart_slot(name: str) -> str:
    """The place where the page's script draws the chart of this id (an id of ours, not from data)."""
    return f'<div class="card"><div id="{escape(name)}"></div></div>'


def table(head: list[str], rows: list[list[object]], numeric: tuple[int, ...] = ()) -> str:
    """An HTML table; every cell is escaped here; columns in `numeric` are set right-aligned."""

    def cell(tag: str, column: int, value: object) -> str:
        mark = ' class="n"' if column in numeric else ""
        return f"<{tag}{mark}>{escape(value)}</{tag}>"

    lines = ["".join(cell("th", n, v) for n, v in enumerate(head))]
    lines += ["".join(cell("td", n, v) for n, v in enumerate(row)) for row in rows]
    return '<div class="scroll"><table>' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"
