"""The playground without a front end: widgets are set and clicked as a person would, and say what a person would read."""

import asyncio
import inspect
import re
import sys

import pytest

w = pytest.importorskip("ipywidgets")

from scribe import Scribe  # noqa: E402

import radlite  # noqa: E402
from radlite.episodes import EpisodeDataset  # noqa: E402
from radlite.errors import RadliteError  # noqa: E402
from radlite.reasoning import FIELDS  # noqa: E402
from radlite.show import playground_view, read_video  # noqa: E402
from radlite.show.background import Background  # noqa: E402
from radlite.show.playground import Playground  # noqa: E402

ADAPTERS = [("ECoT", "ecot"), ("RAD", "rad"), ("broken", "broken")]
HOSTILE = "<img src=x onerror=alert(1)> $\\href{javascript:x}{y}$ </textarea><script>z</script>"


def load(adapter):
    if adapter == "broken":
        raise RadliteError("an adapter", "none", "train one")
    return Scribe(f"{adapter} ")


@pytest.fixture
def ground():
    return Playground(load, ADAPTERS, "rad")


def status(ground):
    return re.sub(r"<.*?>", "", ground.view.status.value)


# ------------------------------------------------------------------------------------------------ at first sight
def test_it_shows_a_scene_a_thought_and_possible_tasks(ground):
    view = ground.view
    assert bytes(view.picture.value).startswith(b"\x89PNG") and ground.live.steps == 0 and ground.live.thought is not None
    assert (view.fields["move"].value, view.fields["bboxes"].value) == ("rad move 1", "red can [10, 10, 21, 20]")
    assert view.task.value == ground.live.trial.task.instruction in [label for label, _ in view.tasks.options]
    assert "not solved yet" in status(ground) and "Next action" in view.actions.value and "none yet" in view.actions.value
    assert not any(area.disabled for area in view.fields.values()) and view.run.description == "Run"


def test_everything_is_found_by_its_class(ground):
    def classes(widget):
        return {*widget._dom_classes, *(c for child in getattr(widget, "children", ()) for c in classes(child))}

    wanted = "playground picture actions status-line run step think release reset adapter kind seed task tasks path hold "
    wanted += "save-dataset save-video " + " ".join(f"field-{f.replace('_', '-')}" for f in FIELDS)
    assert {f"radlite-{name}" for name in wanted.split()} <= classes(ground.view.root)


def test_only_widgets_that_ipywidgets_7_has():
    old = set("Image HTML Textarea Text Dropdown ToggleButtons Button BoundedIntText HBox VBox Layout Widget".split())
    assert set(re.findall(r"\bw\.(\w+)", inspect.getsource(playground_view))) <= old


def test_a_notebook_shows_it_and_a_page_without_widgets_its_picture(ground):
    shown = ground._repr_mimebundle_()
    assert shown["application/vnd.jupyter.widget-view+json"]["model_id"] == ground.view.root.model_id
    assert shown["image/png"].startswith("iVBOR") and "0 steps" in shown["text/plain"]


# ------------------------------------------------------------------------------------------------ act, correct, go on
def test_run_pause_edit_step_save(ground, tmp_path):
    view = ground.view
    ground.run(3)
    assert ground.live.steps == 3 and "(step 3)" in view.actions.value and ground.live.thought is not None
    picture, shown = view.picture.value, view.fields["subtask"].value
    view.fields["move"].value = "move left"
    assert view.fields["move"].description == "Move (edited)" and "radlite-edited" in view.fields["move"]._dom_classes
    view.step.click()
    assert ground.live.moments[3].edits == {"move": "move left"} and "y +3.0" in view.actions.value
    assert ground.live.thoughts[3].reasoning.subtask == shown != view.fields["subtask"].value
    assert view.picture.value != picture and view.fields["move"].value == "move left"
    assert view.fields["move"].description == "Move (edited)" and "Your words hold: Move." in status(ground)
    view.path.value = str(tmp_path / "run")
    view.save_dataset.click()
    assert "Saved 4 steps" in status(ground) and EpisodeDataset(tmp_path / "run")[0].reasoning[3].move == "move left"
    view.save_video.click()
    assert len(read_video(tmp_path / "run.mp4")[0]) == 5
    view.save_dataset.click()
    assert "That did not work" in status(ground)


def test_thinking_from_an_edit_changes_the_next_action_and_nothing_else(ground):
    view = ground.view
    assert "y +0.0" in view.actions.value
    ground.edit(move="move right")
    view.think.click()
    assert "y -3.0" in view.actions.value and ground.live.steps == 0 and view.fields["move"].value == "move right"
    view.release.click()
    assert "y +0.0" in view.actions.value and view.fields["move"].description == "Move" and ground.live.edits == {}


def test_an_edit_for_one_step(ground):
    ground.view.hold.value = 1
    ground.edit(move="move left")
    ground.view.step.click()
    assert ground.live.moments[0].edits == {"move": "move left"} and ground.live.edits == {}
    assert ground.view.fields["move"].description == "Move"


@pytest.mark.parametrize(
    ("field", "text"), [("bboxes", "red can [1, 2"), ("gripper", "there"), ("move", ""), ("plan", "a TASK: b")]
)
def test_a_wrong_edit_is_answered_in_words(ground, field, text):
    view = ground.view
    view.fields[field].value = text
    view.step.click()
    assert status(ground).startswith("That did not work: expected") and ground.live.steps == 0
    assert view.fields[field].value == text and not view.fields[field].disabled  # to be corrected
    with pytest.raises(RadliteError):
        ground.step()
    view.release.click()
    assert view.fields[field].value != text and view.fields[field].description == view.titles([field])


# ------------------------------------------------------------------------------------------------ tasks, scenes, policies
def test_tasks_are_typed_or_chosen(ground):
    view = ground.view
    view.task.value = "frobnicate the red can"
    assert ground.live.instruction == "frobnicate the red can" and "nobody can judge" in status(ground)
    assert "never read: frobnicate" in status(ground)
    chosen = view.tasks.options[3][1]
    view.tasks.value = chosen
    assert ground.live.instruction == view.task.value == chosen and view.tasks.value == "" and "not solved yet" in status(ground)
    view.task.value = " "
    assert "instruction in words" in status(ground) and ground.live.instruction == chosen


def test_whatever_is_typed_stays_text(ground):
    ground.view.task.value = HOSTILE
    ground.view.fields["plan"].value = HOSTILE
    ground.view.step.click()
    assert ground.live.instruction == HOSTILE and ground.view.fields["plan"].value == HOSTILE
    for page in (ground.view.status.value, ground.view.actions.value):
        assert "<img" not in page and "<script" not in page
    assert "&lt;img" in ground.view.status.value


def test_scenes_are_chosen_by_kind_and_number(ground):
    view, first = ground.view, ground.live.trial
    ground.run(2)
    view.seed.value = 5
    assert ground.live.trial.seed != first.seed and ground.live.steps == 0
    assert view.task.value == ground.live.trial.task.instruction
    for kind in ("compositional", "new_object", "new_scene"):
        view.kind.value = kind
        assert ground.live.trial.axis == kind
    view.kind.value, view.seed.value = "home", 0
    assert ground.live.trial == first
    view.task.value = "dance"
    ground.run(1)
    view.reset.click()
    assert ground.live.steps == 0 and ground.live.trial == first and ground.live.instruction == "dance"
    with pytest.raises(RadliteError, match="scene's number"):
        Playground(load, ADAPTERS, "rad", -1)


def test_policies_are_switched_and_loaded_once():
    loaded = []
    ground = Playground(lambda name: loaded.append(name) or load(name), ADAPTERS, "rad")
    for name in ("ecot", "rad", "ecot"):
        ground.view.adapter.value = name
        assert ground.live.policy.name == f"{name} " and ground.view.fields["move"].value.startswith(name)
    assert loaded == ["rad", "ecot"]
    ground.view.adapter.value = "broken"
    assert "train one" in status(ground) and ground.view.adapter.value == "ecot" and ground.live.policy.name == "ecot "


# ------------------------------------------------------------------------------------------------ beside the kernel's messages
def beside(does):
    """Runs `does()`, a coroutine function, on an event loop, as a kernel does."""
    asyncio.run(asyncio.wait_for(does(), 30))


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_run_lets_other_clicks_through(ground):
    view = ground.view

    async def clicks():
        view.run.click()
        assert ground.live.steps == 0 and view.run.description == "Pause" and view.fields["move"].disabled
        await until(lambda: ground.live.steps == 2)
        view.run.click()
        await until(lambda: view.run.description == "Run")
        assert 2 <= ground.live.steps <= 3 and ground.live.thought is not None and not view.fields["move"].disabled

    beside(clicks)


def test_a_chain_is_seen_as_it_grows(ground, monkeypatch):
    monkeypatch.setattr("radlite.show.playground.PACE", 0)
    seen = []
    ground.view.fields["plan"].observe(lambda change: seen.append(change.new), "value")

    async def clicks():
        ground.view.task.value = "dance"
        await until(lambda: not ground._work.busy)

    beside(clicks)
    assert [text for text in seen if text][:3] == ["rad", "rad plan", "rad plan 2"] == [seen[-1][:n] for n in (3, 8, 10)]
    assert len(seen) < 12  # nothing is sent that has not changed


def test_a_task_that_is_typed_while_it_runs_is_taken_up(ground):
    async def clicks():
        ground.view.run.click()
        await until(lambda: ground.live.steps == 2)
        ground.view.task.value = "dance"
        await until(lambda: ground.live.steps == 4)
        ground.view.adapter.value = "ecot"
        await until(lambda: ground.live.steps == 5)
        ground.view.step.click()  # instead of going on
        await until(lambda: not ground._work.busy)

    beside(clicks)
    assert ground.live.steps == 6 and ground.view.run.description == "Run"
    assert [m.instruction == "dance" for m in ground.live.moments] == [False] * 2 + [True] * 4
    assert ground.live.thoughts[-1].reasoning.move.startswith("ecot")


def test_it_runs_until_the_end(ground, monkeypatch):
    monkeypatch.setattr("radlite.live.MAX_STEPS", 3)

    async def clicks():
        ground.view.run.click()
        await until(lambda: not ground._work.busy)

    beside(clicks)
    assert ground.live.steps == 3 and ground.live.done and "not solved within" in status(ground) and "ended" in status(ground)
    ground.view.step.click()
    assert ground.live.steps == 3
    ground.view.task.value = "dance"  # there is time again
    ground.view.step.click()
    assert ground.live.steps == 4


def test_without_an_event_loop_run_makes_one_step(ground):
    ground.view.run.click()
    assert ground.live.steps == 1 and ground.view.run.description == "Run"


def test_an_interrupt_leaves_it_usable(ground, monkeypatch):
    view, scribe = ground.view, ground.live.policy
    states = Scribe._states

    def interrupted(self, given, own):
        yield from list(states(self, given, own))[:9]
        raise KeyboardInterrupt

    monkeypatch.setattr(Scribe, "_states", interrupted)
    monkeypatch.setattr("radlite.show.playground.PACE", 0)
    with pytest.raises(KeyboardInterrupt):
        ground.run(5)
    assert ground.live.steps == 1 and not view.fields["move"].disabled and view.run.description == "Run"
    monkeypatch.setattr(Scribe, "_states", states)
    view.step.click()  # what was half written is nobody's edit
    assert ground.live.steps == 2 and ground.live.edits == {} and scribe is ground.live.policy


def test_a_mistake_of_ours_is_told_too(ground, monkeypatch):
    def broken(self, given, own):
        raise ZeroDivisionError("a bug")
        yield

    monkeypatch.setattr(Scribe, "_states", broken)

    async def clicks():
        ground.view.task.value = "dance"
        await until(lambda: not ground._work.busy)

    beside(clicks)
    assert "mistake in radlite" in status(ground) and "a bug" in status(ground)


def test_work_gives_way_to_newer_work():
    done, busy = [], []

    def work(name):
        for k in range(3):
            done.append((name, k))
            yield

    background = Background(busy.append, pytest.fail)

    async def both():
        background.begin(work("a"))
        await until(lambda: done)
        background.begin(work("b"))
        await until(lambda: not background.busy)

    beside(both)
    assert done == [("a", 0), ("b", 0), ("b", 1), ("b", 2)] and busy == [True, True, False]
    assert not background.begin(work("c")) and not background.busy


# ------------------------------------------------------------------------------------------------ as students get it
def test_the_real_one():
    import torch

    torch.set_num_threads(1)
    ground = radlite.playground()
    ground.run(2)
    assert ground.live.steps == 2 and ground.live.thought.reasoning.gripper
    ground.view.adapter.value = "ecot"
    ground.view.step.click()
    assert ground.live.steps == 3 and radlite.playground("ecot").live.policy is ground.live.policy
    with pytest.raises(RadliteError, match="adapter"):
        radlite.playground("nothing")


def test_without_ipywidgets_it_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "radlite.show.playground_view", None)
    with pytest.raises(RadliteError, match="pip install ipywidgets"):
        Playground(load, ADAPTERS, "rad")
