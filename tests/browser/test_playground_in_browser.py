"""The playground as a student meets it: in JupyterLab, with a mouse and a keyboard."""

from __future__ import annotations

import re

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


@pytest.fixture(scope="module")
def opened(lab, browser):
    """A notebook with the playground, its cells run."""
    from harness import code, notebook, open_notebook

    page = open_notebook(browser, lab, notebook([code(CELL), code("# a cell that must survive")]), "playground.ipynb")
    page.run_all(150)
    page.page.locator(".radlite-playground").wait_for()
    yield page
    page.close()


@pytest.fixture
def ground(opened):
    """The playground at its first step, without edits; after the test nothing may have gone wrong."""
    _click(opened, "release")
    _click(opened, "reset")
    _wait_for_status(opened, "^Step 0: the task is not solved yet.$")
    yield opened
    opened.check()


def _find(page, name):
    return page.page.locator(f".radlite-{name}")


def _click(page, name):
    _find(page, name).click()


def _field(page, name):
    return _find(page, f"field-{name}").locator("textarea")


def _wait_for_status(page, pattern):
    """Waits until the status line reads like that and the fields are open again or still."""
    script = "(pattern) => new RegExp(pattern).test(document.querySelector('.radlite-status').innerText)"
    page.page.wait_for_function(script, arg=pattern, timeout=PATIENCE)


def _wait_until_idle(page):
    script = "() => !document.querySelector('.radlite-field-move textarea').disabled"
    page.page.wait_for_function(script, timeout=PATIENCE)


def _sideways(page, which):
    """Centimetres to the left of the last or the next action, as it is told."""
    return float(re.search(r"y ([+-]\d+\.\d)", _find(page, f"{which}-action").inner_text())[1])


def _picture(page):
    return _find(page, "picture").get_attribute("src")


def test_type_a_task_run_pause_edit_step(ground):
    task = _find(ground, "task").locator("input")
    task.fill("pick up the green ball")
    task.press("Enter")
    script = "() => document.querySelector('.radlite-field-task textarea').value.includes('green ball')"
    ground.page.wait_for_function(script, timeout=PATIENCE)  # the policy says so itself
    _wait_until_idle(ground)
    ground.shot("playground_first", _find(ground, "playground"))
    seen = {_picture(ground)}
    _click(ground, "run")
    ground.page.get_by_role("button", name="Pause").wait_for()
    for step in (1, 2, 3):
        _wait_for_status(ground, f"^Step ([{step}-9]|\\d\\d):")
        seen.add(_picture(ground))
    assert len(seen) >= 3  # the robot moves
    assert not _field(ground, "move").is_enabled()
    ground.page.get_by_role("button", name="Pause").click()
    ground.page.get_by_role("button", name="Run", exact=True).wait_for()
    _wait_until_idle(ground)
    still = _picture(ground)
    ground.page.wait_for_timeout(800)
    assert _picture(ground) == still and "(step " in _find(ground, "last-action").inner_text()
    _click(ground, "reset")
    _wait_for_status(ground, "^Step 0:")
    _wait_until_idle(ground)
    for number, (way, sign) in enumerate((("left", 1), ("right", -1)), 1):
        _field(ground, "move").fill(f"move {way}")
        ground.page.get_by_text("Move (edited)", exact=True).wait_for()
        if way == "left":
            ground.shot("playground_edited", _find(ground, "playground"))
        _click(ground, "step")
        _wait_for_status(ground, f"^Step {number}: .*Your words hold: Move")
        _wait_until_idle(ground)
        assert sign * _sideways(ground, "last") > 1 and _field(ground, "move").input_value() == f"move {way}"
    _click(ground, "release")
    ground.page.get_by_text("Move", exact=True).wait_for()


def test_thinking_shows_what_an_edit_would_do(ground):
    before, picture = _find(ground, "next-action").inner_text(), _picture(ground)
    _field(ground, "move").fill("move right")
    _click(ground, "think")
    _wait_for_status(ground, "^Step 0: .*Your words hold: Move")
    _wait_until_idle(ground)
    assert _find(ground, "next-action").inner_text() != before and _sideways(ground, "next") < -1
    assert _picture(ground) != picture  # the arrow


def test_policies_and_scenes_are_switched(ground):
    picture = _picture(ground)
    ground.page.get_by_role("button", name="ECoT").or_(ground.page.get_by_role("radio", name="ECoT")).click()
    _wait_for_status(ground, "^Step 0:")
    _wait_until_idle(ground)
    number = _find(ground, "seed").locator("input")
    number.fill("3")
    number.press("Enter")
    ground.page.wait_for_function(
        "(old) => document.querySelector('.radlite-picture').src !== old", arg=picture, timeout=PATIENCE
    )
    _wait_until_idle(ground)
    tasks = _find(ground, "tasks").locator("select")
    chosen = tasks.locator("option").nth(4).inner_text()
    tasks.select_option(label=chosen)
    ground.page.wait_for_function(
        "(text) => document.querySelector('.radlite-task input').value === text", arg=chosen, timeout=PATIENCE
    )
    _wait_until_idle(ground)


def test_what_is_wrong_is_told_in_the_status_line(ground):
    _field(ground, "bboxes").fill("red can [1, 2")
    _click(ground, "step")
    _wait_for_status(ground, "^That did not work: expected .*red can \\[1, 2")
    ground.shot("playground_error", _find(ground, "playground"))
    assert _field(ground, "bboxes").input_value() == "red can [1, 2"


def test_typing_deletes_no_cell_and_runs_nothing(ground):
    cells = ground.cells()
    for text in HOSTILE:
        _field(ground, "plan").fill(text)
        _field(ground, "plan").press_sequentially("dd")
        task = _find(ground, "task").locator("input")
        task.fill(text)
        task.press("Enter")
        _wait_for_status(ground, "nobody can judge")
        _wait_until_idle(ground)
        _field(ground, "plan").fill(text)
        _click(ground, "step")
        _wait_for_status(ground, "Your words hold: Plan")
        _wait_until_idle(ground)
        assert _field(ground, "plan").input_value() == text
        _click(ground, "release")
        _wait_until_idle(ground)
    ground.page.wait_for_timeout(300)
    assert ground.page.evaluate("window.broken") is None and ground.cells() == cells
    assert ground.page.locator(".radlite-playground :is(script, a, svg, mjx-container, .katex)").count() == 0
    task.fill("move the bottle left")
    task.press("Enter")
    _wait_for_status(ground, "not solved yet")


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
