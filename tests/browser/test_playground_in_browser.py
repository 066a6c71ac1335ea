"""The playground as a student meets it: in JupyterLab, with a mouse and a keyboard."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest

CELL = """
import torch
torch.set_num_threads(1)
import radlite
ground = radlite.playground(seed=0)
ground
"""
HOSTILE = (
    "<img src=x onerror=window.broken=1>",
    "</textarea></div><script>window.broken=2</script>",
    "<a href='javascript:window.broken=3'>x</a><svg onload=window.broken=4>",
    "$\\href{javascript:window.broken=5}{x}$ $$x$$",
)
PATIENCE = 30_000  # milliseconds: whoever tests may have other work to do


# counts how often the fields open again: every answer to a click ends with that
WATCH = """() => {
    const area = document.querySelector('.radlite-field-move textarea')
    window.answers = 0
    window.watch?.disconnect()
    window.watch = new MutationObserver(() => { window.answers += !area.disabled })
    window.watch.observe(area, { attributeFilter: ['disabled'] })
}"""


@pytest.fixture(scope="module")
def opened(lab, browser):
    """A notebook with the playground."""
    from harness import code, notebook, open_notebook

    page = open_notebook(browser, lab, notebook([code(CELL), code("# a cell that must survive")]), "playground.ipynb")
    yield page
    page.close()


@pytest.fixture
def ground(opened):
    """A new playground, as the cell makes it; after the test nothing may have gone wrong."""
    opened.page.evaluate("document.querySelector('.radlite-playground')?.remove()")
    opened.run_all(150)
    _wait_for_status(opened, "^Step 0: the task is not solved yet.$")
    yield opened
    opened.check()


def _find(page, name):
    return page.page.locator(f".radlite-{name}")


def _field(page, name):
    return _find(page, f"field-{name}").locator("textarea")


@contextmanager
def _answered(page):
    """What is done in the block has been answered at its end: the thought is complete, the fields are open."""
    page.page.evaluate(WATCH)
    yield
    page.page.wait_for_function("window.answers > 0", timeout=PATIENCE)


def _click(page, name):
    with _answered(page):
        _find(page, name).click()


def _give_task(page, text):
    with _answered(page):
        _find(page, "task").locator("input").fill(text)
        _find(page, "task").locator("input").press("Enter")


def _wait_for_status(page, pattern):
    script = "(pattern) => new RegExp(pattern).test(document.querySelector('.radlite-status')?.innerText)"
    page.page.wait_for_function(script, arg=pattern, timeout=PATIENCE)


def _sideways(page, which):
    """Centimetres to the left of the last or the next action, as it is told."""
    return float(re.search(r"y ([+-]\d+\.\d)", _find(page, f"{which}-action").inner_text())[1])


def _picture(page):
    return _find(page, "picture").get_attribute("src")


def test_type_a_task_run_pause_edit_step(ground):
    _give_task(ground, "pick up the green ball")
    assert "green ball" in _field(ground, "task").input_value()  # the policy says so itself
    ground.shot("playground_first", _find(ground, "playground"))
    seen = {_picture(ground)}
    _find(ground, "run").click()
    pause = ground.page.get_by_role("button", name="Pause")
    pause.wait_for()
    for step in (1, 2, 3):
        _wait_for_status(ground, f"^Step ([{step}-9]|\\d\\d):")
        seen.add(_picture(ground))
    assert len(seen) >= 3 and not _field(ground, "move").is_enabled()  # the robot moves
    with _answered(ground):
        pause.click()
    ground.page.get_by_role("button", name="Run", exact=True).wait_for()
    still = _picture(ground)
    ground.page.wait_for_timeout(800)
    assert _picture(ground) == still and "(step " in _find(ground, "last-action").inner_text()
    _click(ground, "reset")
    for number, (way, sign) in enumerate((("left", 1), ("right", -1)), 1):
        _field(ground, "move").fill(f"move {way}")
        ground.page.get_by_text("Move (edited)", exact=True).wait_for()
        ground.shot(f"playground_edited_{way}", _find(ground, "playground"))
        _click(ground, "step")
        _wait_for_status(ground, f"^Step {number}: .*Your words hold: Move")
        assert sign * _sideways(ground, "last") > 1 and _field(ground, "move").input_value() == f"move {way}"
    _click(ground, "release")
    ground.page.get_by_text("Move", exact=True).wait_for()


def test_thinking_shows_what_an_edit_would_do(ground):
    before, picture = _find(ground, "next-action").inner_text(), _picture(ground)
    _field(ground, "move").fill("move right")
    _click(ground, "think")
    _wait_for_status(ground, "^Step 0: .*Your words hold: Move")
    assert _find(ground, "next-action").inner_text() != before and _sideways(ground, "next") < -1
    assert _picture(ground) != picture  # the arrow


def test_policies_scenes_and_tasks_are_chosen(ground):
    said, picture = _field(ground, "subtask-reason").input_value(), _picture(ground)
    with _answered(ground):
        _find(ground, "adapter").get_by_text("ECoT", exact=True).click()
    assert _field(ground, "subtask-reason").input_value() != said
    with _answered(ground):
        _find(ground, "seed").locator("input").fill("3")
        _find(ground, "seed").locator("input").press("Enter")
    assert _picture(ground) != picture
    tasks = _find(ground, "tasks").locator("select")
    chosen = tasks.locator("option").nth(4).inner_text().replace("\xa0", " ")
    with _answered(ground):
        tasks.select_option(index=4)
    assert _find(ground, "task").locator("input").input_value() == chosen


def test_what_is_wrong_is_told_in_the_status_line(ground):
    _field(ground, "bboxes").fill("red can [1, 2")
    _click(ground, "step")
    _wait_for_status(ground, "^That did not work: expected .*red can \\[1, 2")
    ground.shot("playground_error", _find(ground, "playground"))
    assert _field(ground, "bboxes").input_value() == "red can [1, 2"


def test_typing_deletes_no_cell_and_runs_nothing(ground):
    cells = ground.cells()
    _field(ground, "plan").press_sequentially("dd")
    for text in HOSTILE:
        _give_task(ground, text)
        _wait_for_status(ground, "nobody can judge")
        _field(ground, "plan").fill(text)
        _click(ground, "step")
        _wait_for_status(ground, "Your words hold: Plan")
        assert _field(ground, "plan").input_value() == text
    ground.page.wait_for_timeout(500)
    assert ground.page.evaluate("window.broken") is None and ground.cells() == cells
    assert ground.page.locator(".radlite-playground :is(script, a, svg, mjx-container, .katex)").count() == 0


def test_it_looks_right_in_the_dark_and_in_a_narrow_window(ground):
    ground.theme("JupyterLab Dark")
    ground.page.locator("#jupyterlab-splash").wait_for(state="detached")
    ground.shot("playground_dark", _find(ground, "playground"))
    ground.theme("JupyterLab Light")
    size = ground.page.viewport_size
    ground.page.set_viewport_size({"width": 800, "height": 1100})
    root = _find(ground, "playground")
    assert root.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    ground.shot("playground_narrow", root)
    ground.page.set_viewport_size(size)
