"""Notebooks 00 and 05 as a student opens them: in JupyterLab, run from top to bottom, and then played with."""

from __future__ import annotations

import re

import pytest

PATIENCE = 30_000  # milliseconds: whoever tests may have other work to do
HOSTILE = (
    "<img src=x onerror=window.broken=1>",
    "</textarea></div></div><script>window.broken=2</script>",
    "<a href='javascript:window.broken=3'>x</a><svg onload=window.broken=4>",
    "[x](javascript:window.broken=5) $\\href{javascript:window.broken=6}{x}$",
)
HOSTILE_CELL = f"""
import numpy as np, radlite, mediapy
from IPython.display import HTML, display
from radlite.introspect import look_inside
from radlite.reasoning import Box, Reasoning
from radlite.show.charts import accuracy_figure, success_figure
from radlite.show.live_curves import curves_figure
from radlite.show.tokens import token_table, token_view
bad = {HOSTILE!r}
policy = radlite.load_policy("radlite-tiny", adapter="rad")
picture = np.zeros((96, 96, 3), np.uint8)
chain = Reasoning(task=bad[0], plan=bad[1], subtask=bad[2], move=bad[3], bboxes=(Box(bad[0], (10, 10, 90, 90)),))
inside = look_inside(policy, picture, " ".join(bad), chain)
display(token_view(inside), token_table(inside, "task"))
"""
FIGURES_CELL = """
import plotly.graph_objects as go
display(go.Figure(success_figure({text: {"cell": (1, 2)} for text in bad}, {"cell": bad[0]})))
display(accuracy_figure({text: {name: 0.5 for name in bad} for text in bad}))
# titles of mediapy are HTML: no notebook gives it words from data
mediapy.show_image(radlite.draw_prediction(picture, chain, np.zeros(7), size=256, panel=True))
"""


@pytest.fixture
def opened(lab, browser):
    """Opens a notebook of the repository, runs all of its cells and waits for what they show."""
    import nbformat
    from harness import ROOT, open_notebook

    pages = []

    def open_one(name):
        content = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        pages.append(open_notebook(browser, lab, content, f"notebooks/{name}"))
        pages[-1].run_all(240)
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()


def _play_and_scrub(page, root):
    """Plays the player in `root` to its end, goes back by key and by mouse; the picture follows."""
    slider, picture = root.get_by_role("slider"), root.locator(".rp-image").first
    root.scroll_into_view_if_needed()
    last = int(slider.get_attribute("aria-valuemax"))
    assert last >= 2
    slider.press("Home")
    page.page.wait_for_function("e => e.getAttribute('aria-valuenow') === '0'", arg=slider.element_handle())
    first = picture.get_attribute("src")
    root.get_by_role("button", name="Play").click()
    page.page.wait_for_function("([e, k]) => +e.getAttribute('aria-valuenow') === k", arg=[slider.element_handle(), last])
    page.page.wait_for_function("([i, src]) => i.src !== src", arg=[picture.element_handle(), first])
    box = slider.bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 1.5 / (last + 1), box["y"] + 8)
    page.page.wait_for_function("e => e.getAttribute('aria-valuenow') === '1'", arg=slider.element_handle())


def test_start_here(opened):
    """Player, pictures, playground: type a task, see the robot move, edit a field, see the action change."""
    page = opened("00_start_here.ipynb")
    find = lambda name: page.page.locator(f".radlite-{name}")  # noqa: E731
    find("status").wait_for(timeout=PATIENCE)
    page.shot("00_top")
    page.page.locator("summary").first.click()
    assert page.page.evaluate("[...document.querySelectorAll('details img')].every(i => i.complete && i.naturalWidth > 300)")
    _play_and_scrub(page, page.page.locator(".rp"))
    page.shot("00_player", page.page.locator(".rp"))
    told = page.page.get_by_text(re.compile(r"told to go (left|right):"))
    ways = dict(re.findall(r"told to go (left|right): *dy = ([+-]\d+\.\d)", "\n".join(told.all_inner_texts())))
    assert float(ways["left"]) > 1 > -1 > float(ways["right"])
    ready = "() => /^Step 0: /.test(document.querySelector('.radlite-status')?.innerText)"
    page.page.wait_for_function(ready, timeout=PATIENCE)
    task = find("task").locator("input")
    task.fill("pick up the green ball")
    task.press("Enter")
    said = find("field-task").locator("textarea")
    page.page.wait_for_function("e => e.value.includes('green ball') && !e.disabled", arg=said.element_handle(), timeout=PATIENCE)
    still = find("picture").get_attribute("src")
    find("step").click()
    page.page.wait_for_function("() => /^Step 1: /.test(document.querySelector('.radlite-status').innerText)", timeout=PATIENCE)
    assert find("picture").get_attribute("src") != still  # it moved
    sideways = []
    for number, way in enumerate(("left", "right"), 2):
        page.page.wait_for_function("e => !e.disabled", arg=said.element_handle(), timeout=PATIENCE)
        find("field-move").locator("textarea").fill(f"move {way}")
        find("step").click()
        done = f"() => /^Step {number}: .*Your words hold: Move/.test(document.querySelector('.radlite-status').innerText)"
        page.page.wait_for_function(done, timeout=PATIENCE)
        sideways.append(float(re.search(r"y ([+-]\d+\.\d)", find("last-action").inner_text())[1]))
    assert sideways[0] > 1 > -1 > sideways[1]
    page.shot("00_playground", find("playground"))
    page.check()


def test_see_what_it_thinks(opened):
    """Three players, figures, tokens, attention."""
    page = opened("05_see_what_it_thinks.ipynb")
    players = page.page.locator(".rp")
    players.nth(2).wait_for(timeout=PATIENCE)
    assert players.count() == 3
    for k, tracks in enumerate((2, 2, 1)):  # predicted and true, ECoT and RAD, a failure
        players.nth(k).locator(".rp-image").nth(tracks - 1).wait_for(timeout=PATIENCE)
        _play_and_scrub(page, players.nth(k))
        page.shot(f"05_player_{k + 1}", players.nth(k))
    charts = page.page.locator(".js-plotly-plot")
    charts.nth(1).wait_for(timeout=PATIENCE)
    for k in range(charts.count()):
        assert charts.nth(k).locator(".trace").count() >= 1
        charts.nth(k).scroll_into_view_if_needed()
        page.shot(f"05_chart_{k + 1}", charts.nth(k))
    outputs = page.page.locator(".jp-OutputArea-output")
    named = {"tokens": outputs.filter(has=page.page.locator("span[title*='%']")), "attention": outputs.filter(has_text="layer 2")}
    for name, shown in named.items():
        shown = shown.first
        shown.scroll_into_view_if_needed()
        page.shot(f"05_{name}", shown)
    page.check()


def test_hostile_words_in_every_other_viewer(open_lab):
    """Tokens, tables, figures, titles and drawn panels: words of a dataset stay words (player and playground: their files)."""
    from harness import code, notebook

    page = open_lab(notebook([code(HOSTILE_CELL), code(FIGURES_CELL)]))
    page.run_all(120)
    page.page.locator(".js-plotly-plot").nth(1).wait_for(timeout=PATIENCE)
    page.page.wait_for_timeout(500)
    page.shot("hostile_views")
    assert page.page.evaluate("window.broken") is None
    outputs = page.page.locator(".jp-OutputArea-output")
    assert outputs.locator("[onerror], [onload], a[href^='javascript'], iframe").count() == 0
    page.check()
