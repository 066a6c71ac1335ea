"""The editor as a student meets it: in JupyterLab, with a mouse and with a keyboard, down to the files."""

from __future__ import annotations

import pytest

PATIENCE = 30_000  # milliseconds: whoever tests may have other work to do
EPISODE = """
import pathlib, shutil, radlite
if not pathlib.Path("mine").exists():
    shutil.copytree("data_samples/robot", "mine")
editor = radlite.edit("mine", 3)
editor
"""
TELL = "print('said', editor.episode.reasoning[0].to_text())"
RENAME = "editor.edits.rename_box(0, 0, 'tangerine', scope='episode')"
HOSTILE = (
    "<img src=x onerror=window.broken=1>",
    "</textarea><script>window.broken=2</script>",
    "<svg onload=window.broken=3><a href='javascript:window.broken=4'>x</a>",
)
HOSTILE_CELL = f"""
import numpy as np, radlite
from radlite.reasoning import Box, Reasoning
bad = {HOSTILE!r}
chain = Reasoning(task=bad[0], plan=bad[1], subtask=bad[2], move=bad[0], bboxes=(Box(bad[0], (10, 10, 90, 90)), Box(bad[1], (50, 50, 99, 99))))
editor = radlite.edit(radlite.Episode(" ".join(bad), np.zeros((2, 32, 32, 3), np.uint8), [chain, None], "human"))
editor
"""  # noqa: E501


@pytest.fixture(scope="module")
def opened(lab, browser):
    """An episode of a copy of the sample dataset in the editor; below it cells that ask Python and edit from there."""
    from harness import code, notebook, open_notebook

    page = open_notebook(browser, lab, notebook([code(cell) for cell in (EPISODE, TELL, RENAME)]))
    page.page.set_default_timeout(PATIENCE)
    yield page
    page.close()


@pytest.fixture
def editor(opened):
    """The editor at its first frame, opened anew; after the test nothing may have gone wrong."""
    opened.page.evaluate("() => document.querySelectorAll('.re').forEach((e) => e.classList.add('old'))")
    _run_cell(opened, 0)
    opened.page.wait_for_function("() => !document.querySelector('.re.old') && document.querySelector('.re .re-box')")
    yield opened
    opened.check()


def _run_cell(page, number: int) -> None:
    """Runs a cell and waits until it has ended."""
    page.page.locator(".jp-InputArea-prompt").nth(number).click()
    page.command("notebook:run-cell", 120)


def _told(page, text: str) -> None:
    script = "text => document.querySelector('.re-status').textContent.includes(text)"
    page.page.wait_for_function(script, arg=text, timeout=PATIENCE)


def _drag(page, *pixels) -> None:
    """From the first to the last of these places in the 256 x 256 frame, with the button held down."""
    area = page.page.locator(".re-layer").bounding_box()
    for k, (x, y) in enumerate(pixels):
        page.page.mouse.move(area["x"] + area["width"] * x / 256, area["y"] + area["height"] * y / 256, steps=1 + 2 * k)
        if k == 0:
            page.page.mouse.down()
    page.page.mouse.up()


def _on_disk(page):
    from radlite import EpisodeDataset

    return EpisodeDataset(page.lab.folder / "mine")[3].reasoning


def test_draw_and_rename_a_box_type_into_a_field_and_save(editor):
    from radlite import EpisodeDataset
    from radlite.reasoning import Box

    before = _on_disk(editor)
    _drag(editor, (20, 30), (45, 60), (70, 90))
    _told(editor, "'new thing' drawn in frame 0.")
    assert editor.page.evaluate("document.activeElement.value") == "new thing"  # its name is what one types next
    editor.page.keyboard.type("blue tape")
    editor.page.keyboard.press("Enter")
    _told(editor, "'new thing' named 'blue tape' in frame 0.")
    _drag(editor, (30, 40), (50, 50))  # moved
    _told(editor, "'blue tape' moved")
    _drag(editor, (90, 100), (100, 120))  # pulled at its corner
    editor.page.get_by_role("button", name="blue tape, box 40 40 100 120", exact=True).wait_for()
    move = editor.page.locator("textarea[data-field=move]")
    move.fill("move left")
    move.press("Tab")
    _told(editor, "MOVE written in frame 0.")
    assert editor.page.locator(".re-unsaved").is_visible()
    editor.shot("editor_light", editor.page.locator(".re"))
    _run_cell(editor, 1)
    editor.page.get_by_text("said TASK").wait_for()
    said = editor.page.get_by_text("said TASK").inner_text()
    assert "blue tape [40, 40, 100, 120]" in said and "MOVE: move left GRIPPER" in said
    assert _on_disk(editor) == before  # not yet
    editor.page.get_by_role("button", name="Save", exact=True).click()
    _told(editor, "Saved in mine.")
    after = _on_disk(editor)
    assert after[0].bboxes == (*before[0].bboxes, Box("blue tape", (40, 40, 100, 120))) and after[0].move == "move left"
    assert after[1:] == before[1:] and len(EpisodeDataset(editor.lab.folder / "mine")) == 17
    assert not editor.page.locator(".re-unsaved").is_visible()
    editor.theme("JupyterLab Dark")
    editor.shot("editor_dark", editor.page.locator(".re"))
    editor.theme("JupyterLab Light")


def test_with_the_keyboard_alone_and_no_cell_is_deleted(editor):
    cells, page = editor.cells(), editor.page
    page.get_by_role("button", name="New box", exact=True).press("Enter")
    _told(editor, "'new thing' drawn")
    page.keyboard.type("ddd")
    page.keyboard.press("Enter")
    _told(editor, "named 'ddd'")
    page.get_by_role("button", name="ddd, box 96 96 160 160", exact=True).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.get_by_role("button", name="ddd, box 100 98 162 162", exact=True).wait_for()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("dd")
    page.keyboard.press("Delete")
    _told(editor, "'ddd' deleted")
    page.keyboard.press("Control+z")
    _told(editor, "Undone: 'ddd' deleted")
    page.keyboard.press("Control+Shift+z")
    _told(editor, "Done again")
    page.get_by_role("radio", name="the whole episode").press(" ")
    field = page.get_by_role("textbox", name="Plan")
    field.fill("1. wait")
    field.press("Enter")
    _told(editor, "PLAN written in frames 0 to 25.")
    page.get_by_role("slider").press("ArrowRight")
    page.get_by_role("slider", name="Frame").and_(page.locator("[aria-valuenow='1']")).wait_for()
    page.get_by_role("button", name="Split segment here").press("Enter")
    _told(editor, "Segment split in frame 1.")
    page.keyboard.type("look again.")  # into the new segment's subtask
    page.keyboard.press("Enter")
    _told(editor, "SUBTASK written in frame 1.")
    page.locator(".rp-legend").get_by_text("look again", exact=True).wait_for()
    editor.shot("editor_split", page.locator(".re"))
    assert editor.cells() == cells


def test_what_is_refused_is_told_and_stays_where_it_was_typed(editor):
    page = editor.page
    move, edge = page.locator("textarea[data-field=move]"), page.get_by_label("x1 of box 1", exact=True)
    had = edge.input_value()
    move.fill("move TASK: left")
    move.press("Enter")
    _told(editor, "Not done. Expected no tag inside move")
    assert move.input_value() == "move TASK: left" and move.get_attribute("aria-invalid") == "true"
    edge.fill("250")
    edge.press("Enter")
    _told(editor, "Not done. Expected 0 <= x1 <= x2 <= 256")
    editor.shot("editor_refused", page.locator(".re"))
    edge.press("Escape")
    assert edge.input_value() == had and move.input_value() == "move TASK: left"
    _run_cell(editor, 2)  # from Python
    page.wait_for_function("() => document.querySelector('.re-boxes input').value === 'tangerine'")
    page.set_viewport_size({"width": 800, "height": 1300})
    assert page.locator(".re").evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    editor.shot("editor_narrow", page.locator(".re"))
    page.set_viewport_size({"width": 1280, "height": 1150})


def test_hostile_text_is_text(open_lab):
    from harness import code, notebook

    page = open_lab(notebook([code(HOSTILE_CELL)]))
    page.run_all(120)
    page.page.locator(".re-box").first.wait_for()
    name = page.page.get_by_label("Name of box 1", exact=True)
    name.fill(HOSTILE[2])
    name.press("Enter")
    _told(page, "named")
    assert page.page.locator(".re-tag").first.inner_text() == HOSTILE[2]
    assert page.page.locator("textarea[data-field=plan]").input_value() == HOSTILE[1]
    assert page.page.evaluate("window.broken") is None
    assert page.page.locator(".re :is(script, a, [onerror], [onload])").count() == 0
    page.check()
