"""The player as a reader meets it: in JupyterLab, with a mouse and with a keyboard."""

from __future__ import annotations

import time

import pytest

EPISODE = """
import radlite
episode = radlite.EpisodeDataset("data_samples/robot")[3]
player = radlite.play(episode)
seen = []
player.observe(lambda change: seen.append(change["new"]), "index")
player
"""
SEEK = "print('at', player.index); player.index = 7"
SLOW = """
import pathlib, time
encode = player._jpeg
def wait_and_encode(*which):
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    return encode(*which)
player._jpeg = wait_and_encode
"""
TELL = "print('seen', seen); seen.clear()"
PAIR = """
one, two = (radlite.EpisodeDataset("data_samples/robot")[k] for k in (3, 0))
other = [c.replace(subtask="stop.") if 4 < k < 9 else c for k, c in enumerate(one.reasoning)]
pair = radlite.play((one.frames[:18], other[:18], one.actions[:18]), one, titles=("predicted", "true"))
pair
"""
HOSTILE = (
    "<img src=x onerror=window.broken=1>",
    "</textarea><script>window.broken=2</script>",
    "[link](javascript:window.broken=3)",
    "<a href='javascript:window.broken=4'>x</a><svg onload=window.broken=5>",
    "\"' onmouseover=window.broken=6 x='",
)
HOSTILE_CELL = f"""
import numpy as np, radlite
from radlite.reasoning import Box, Reasoning
bad = {HOSTILE!r}
chain = Reasoning(task=bad[0], plan=bad[1], subtask_reason=bad[2], subtask=bad[3], move_reason=bad[4], move=bad[0],
                  bboxes=(Box(bad[0], (10, 10, 90, 90)),), gripper=((5, 5), (9, 9)))
chains = [chain, chain.replace(subtask=bad[0]), chain.replace(subtask=bad[1]), None]
radlite.write_dataset("hostile", [radlite.Episode(" ".join(bad), np.zeros((4, 32, 32, 3), np.uint8), chains, "human")])
player = radlite.play(radlite.EpisodeDataset("hostile")[0], titles=(" ".join(bad),))
player
"""


@pytest.fixture(scope="module")
def opened(lab, browser):
    """An episode in the player, its cells run; below it cells that ask and move the player."""
    from harness import code, notebook, open_notebook

    (lab.folder / "go").touch()
    page = open_notebook(browser, lab, notebook([code(cell) for cell in (EPISODE, SEEK, SLOW, TELL)]))
    page.run_all()
    page.page.locator(".rp-image").wait_for()
    yield page
    page.close()


@pytest.fixture
def player(opened):
    """The player at its first frame, paused, nothing focused; after the test nothing may have gone wrong."""
    slider = opened.page.get_by_role("slider")
    slider.press("Home")
    _wait_for_index(opened, "k == 0")
    slider.blur()
    yield opened
    opened.check()


def _index(page) -> int:
    return int(page.page.get_by_role("slider").get_attribute("aria-valuenow"))


def _wait_for_index(page, condition: str) -> int:
    """Waits until the slider's value `k` fulfils a condition in JavaScript."""
    script = f"() => {{ const k = +document.querySelector('.rp-slider').getAttribute('aria-valuenow'); return {condition} }}"
    page.page.wait_for_function(script, timeout=10_000)
    return _index(page)


def _run_cell(page, number: int) -> None:
    page.page.locator(".jp-InputArea-prompt").nth(number).click()
    page.page.keyboard.press("Control+Enter")


def _picture(page) -> str:
    """The address of the picture once it is loaded: every frame has one of its own."""
    page.page.wait_for_function("() => { const i = document.querySelector('.rp-image'); return i.complete && i.naturalWidth }")
    return page.page.locator(".rp-image").get_attribute("src")


def test_it_renders_plays_and_pauses(player):
    assert _index(player) == 0
    first = _picture(player)
    assert player.page.evaluate("document.querySelector('.rp-image').naturalWidth") == 512
    assert player.page.get_by_text("move above the orange ball.", exact=True).is_visible()
    player.shot("player_light", player.page.locator(".rp"))
    player.page.get_by_role("button", name="Play").click()
    began = time.monotonic()
    _wait_for_index(player, "k >= 10")
    assert 1.0 < time.monotonic() - began < 5.0  # ten frames at five a second
    player.page.get_by_role("button", name="Pause").click()
    player.page.wait_for_timeout(500)
    still = _index(player)
    player.page.wait_for_timeout(700)
    assert _index(player) == still and _picture(player) != first
    player.shot("player_window")
    player.theme("JupyterLab Dark")
    player.shot("player_dark", player.page.locator(".rp"))
    player.theme("JupyterLab Light")


def test_it_stops_at_the_end_and_begins_again(player):
    player.page.get_by_label("Speed").select_option("4")
    player.page.get_by_role("slider").press("End")
    last = _wait_for_index(player, "k == 25")
    player.page.get_by_role("button", name="Play").click()
    _wait_for_index(player, "k > 0 && k < 10")
    assert _wait_for_index(player, f"k == {last}") == last
    player.page.get_by_role("button", name="Play").wait_for()


def test_keys_step_and_seek_and_delete_no_cell(player):
    cells = player.cells()
    player.page.locator(".rp-image").click()  # anywhere in the player
    for key, condition in (
        ("ArrowRight", "k == 1"),
        ("ArrowRight", "k == 2"),
        ("ArrowLeft", "k == 1"),
        ("End", "k == 25"),
        ("Home", "k == 0"),
        ("PageDown", "k == 2"),  # where "lower onto the orange ball" begins
        ("PageUp", "k == 0"),
    ):
        player.page.keyboard.press(key)
        _wait_for_index(player, condition)
    player.page.keyboard.press(" ")
    _wait_for_index(player, "k > 1")
    player.page.keyboard.press(" ")
    player.page.get_by_role("button", name="Play").wait_for()
    player.page.keyboard.type("dd")
    player.page.keyboard.type("xab")
    player.page.wait_for_timeout(300)
    assert player.cells() == cells


def test_outside_the_player_dd_deletes_a_cell(player):
    """So the test above can fail."""
    cells = player.cells()
    player.page.locator(".jp-InputArea-prompt").nth(1).click()
    player.page.keyboard.type("dd")
    player.page.wait_for_function(f"() => jupyterapp.shell.currentWidget.content.model.cells.length === {cells - 1}")
    player.page.keyboard.press("z")
    player.page.wait_for_function(f"() => jupyterapp.shell.currentWidget.content.model.cells.length === {cells}")


def test_tab_reaches_everything_and_shows_where_it_is(player):
    player.page.locator(".rp-image").click()
    reached = []
    for _ in range(5):
        player.page.keyboard.press("Tab")
        reached.append(player.page.evaluate("document.activeElement.getAttribute('aria-label')"))
        outline = player.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
    assert reached == ["One frame back", "Play", "One frame on", "Speed", "Frame"]
    player.shot("player_focus", player.page.locator(".rp"))
    text = player.page.get_by_role("slider").get_attribute("aria-valuetext")
    assert text == "frame 0 of 25: A, move above the orange ball"


def test_a_click_and_a_drag_on_the_timeline_seek(player):
    segment = player.page.locator(".rp-segment").nth(3)
    start = int(segment.get_attribute("title").split("frames ")[1].split(" ")[0])
    segment.click(position={"x": 4, "y": 10})
    assert _wait_for_index(player, f"k == {start}") == start
    assert player.page.get_by_text("lift the orange ball.", exact=True).is_visible()
    box = player.page.get_by_role("slider").bounding_box()
    y, at = box["y"] + 10, lambda k: box["x"] + box["width"] * (k + 0.5) / 26
    player.page.mouse.move(at(5), y)
    player.page.mouse.down()
    for k in (8, 12, 15, 19, 21):
        player.page.mouse.move(at(k), y, steps=3)
    _wait_for_index(player, "k == 21")
    player.page.mouse.up()
    player.page.mouse.move(at(2), y)
    player.page.wait_for_timeout(300)
    assert _index(player) == 21


def test_python_seeks_and_hears(player):
    """Where the reader is stands in `player.index`; what Python sets there is where the reader goes."""
    player.page.get_by_role("slider").press("ArrowRight")
    _wait_for_index(player, "k == 1")
    _run_cell(player, 1)
    player.page.get_by_text("at 1", exact=True).wait_for()
    _wait_for_index(player, "k == 7")


def test_a_slow_kernel_is_not_flooded(player):
    """While Python draws one question is open; of the wishes after that one, only the last is asked."""
    go, waiting = player.lab.folder / "go", player.page.get_by_text("waiting for the kernel", exact=True)
    _run_cell(player, 3)  # forgets what was seen
    player.page.get_by_text("0]", exact=False).last.wait_for()
    go.unlink()
    for _ in range(5):
        player.page.get_by_role("slider").press("ArrowRight")
    waiting.wait_for()
    player.shot("player_waiting", player.page.locator(".rp"))
    go.touch()
    _wait_for_index(player, "k == 5")
    assert not waiting.count()
    _run_cell(player, 3)
    player.page.get_by_text("seen [1, 5]", exact=True).wait_for()


def test_two_side_by_side(open_lab):
    from harness import code, notebook

    page = open_lab(notebook([code("import radlite"), code(PAIR)]))
    page.page.set_viewport_size({"width": 1400, "height": 1400})
    page.run_all()
    page.page.locator(".rp-image").nth(1).wait_for()
    slider = page.page.get_by_role("slider")
    for _ in range(6):
        slider.press("ArrowRight")
    _wait_for_index(page, "k == 6")
    assert page.page.get_by_text("differs", exact=True).locator("visible=true").count() == 1  # the subtask
    page.shot("player_pair_light", page.page.locator(".rp"))
    page.theme("JupyterLab Dark")
    slider.press("End")
    _wait_for_index(page, "k == 25")
    assert page.page.get_by_text("ended at frame 17").is_visible()
    page.shot("player_pair_dark", page.page.locator(".rp"))
    page.theme("JupyterLab Light")
    page.page.set_viewport_size({"width": 760, "height": 1400})
    page.shot("player_pair_narrow")
    page.check()


def test_hostile_text_is_shown_and_nothing_runs(open_lab):
    from harness import code, notebook

    page = open_lab(notebook([code(HOSTILE_CELL)]))
    page.run_all()
    page.page.locator(".rp-image").wait_for()
    for k in range(4):
        _wait_for_index(page, f"k == {k}")
        page.page.wait_for_timeout(200)
        page.page.get_by_role("slider").press("ArrowRight")
    page.page.get_by_role("slider").press("Home")
    _wait_for_index(page, "k == 0")
    page.page.locator(".rp-segment").first.hover()
    root = page.page.locator(".rp")
    shown = root.inner_text()
    for text in HOSTILE:
        assert text in shown
    assert page.page.evaluate("window.broken") is None
    assert root.locator("script, a, textarea, [onerror], [onload], [onmouseover]").count() == 0
    assert root.locator("img").count() == 1  # the frame
    page.shot("player_hostile", root)
    page.check()
