"""The editor without a browser: the edits themselves, what goes to disk, and the messages between page and Python."""

from __future__ import annotations

import io
import json
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import radlite
from radlite.edits import KEPT, SCOPES, EpisodeEdits
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.formats.language import LANGUAGE
from radlite.reasoning import FIELDS, Box, Reasoning
from radlite.resave import resave
from radlite.show.editor import Editor

ROBOT = Path(__file__).parents[1] / "data_samples" / "robot"
CAN, CUP = Box("red can", (10, 20, 30, 40)), Box("cup", (100, 100, 140, 150))
HOSTILE = "<img src=x onerror=alert(1)></textarea><script>alert(2)</script>"


def _episode() -> Episode:
    """Six frames: two that reach, two that grasp, one that says no subtask, one without a chain."""
    about = {"task": "lift the can", "plan": "1. reach 2. grasp", "gripper": ((50, 60), (52, 64), (54, 70))}
    chain = Reasoning(**about, bboxes=(CAN, CUP), subtask="reach", move="move up")
    later = chain.replace(subtask="grasp", bboxes=(CUP, Box("red can", (250, 20, 256, 40)), CAN))
    chains = [chain, chain, later, later.replace(bboxes=(CUP,)), chain.without("subtask"), None]
    frames = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 24, 32, 3), np.uint8)
    return Episode("lift the can", frames, chains, "human")


@pytest.fixture
def edits():
    return EpisodeEdits(_episode())


@pytest.fixture
def folder(tmp_path):
    """A copy of the sample robot dataset."""
    return Path(shutil.copytree(ROBOT, tmp_path / "robot"))


def _spans(edits):
    return [(run.start, run.stop) for run in edits.segments()]


# --- words ---


def test_the_episode_that_was_given_is_the_one_that_is_edited():
    episode = _episode()
    edits = EpisodeEdits(episode)
    edits.set_field(1, "move", "move down")
    assert edits.episode is episode and episode.reasoning[1].move == "move down" and episode.reasoning[0].move == "move up"


@pytest.mark.parametrize("scope,changed", [("frame", [1]), ("segment", [0, 1]), ("episode", [0, 1, 2, 3, 4, 5])])
def test_a_field_is_written_in_the_frames_of_its_scope(edits, scope, changed):
    before = list(edits.episode.reasoning)
    edits.set_field(1, "move_reason", " because\nit is there ", scope)
    after = edits.episode.reasoning
    assert [k for k in range(6) if after[k] != before[k]] == changed
    assert all(after[k] == (before[k] or Reasoning()).replace(move_reason="because it is there") for k in changed)


def test_a_field_without_text_is_absent_and_a_chain_without_fields_is_none(edits):
    edits.set_field(5, "bboxes", "red can [1, 2, 3, 4]")
    assert edits.episode.reasoning[5] == Reasoning(bboxes=(Box("red can", (1, 2, 3, 4)),))
    edits.set_field(5, "bboxes", "  ")
    assert edits.episode.reasoning[5] is None
    edits.set_field(0, "plan", None)
    assert edits.episode.reasoning[0].plan is None


def test_a_gripper_point_is_moved(edits):
    edits.move_point(0, 2, (60.4, 71.6))
    assert edits.episode.reasoning[0].gripper == ((50, 60), (52, 64), (60, 72))


# --- boxes ---


def test_a_box_goes_to_the_frames_that_lack_it(edits):
    edits.add_box(0, " blue  tape ", (1.4, 2, 30, 40))
    assert edits.episode.reasoning[0].bboxes[-1] == Box("blue tape", (1, 2, 30, 40))
    edits.add_box(4, "red can", (1, 1, 2, 2), "episode")  # a second one there: frame 2 has two already
    cans = [sum(b.name == "red can" for b in (c.bboxes or ())) for c in edits.episode.reasoning]
    assert cans == [2, 2, 2, 1, 2, 1]


def test_a_box_moves_by_as_much_elsewhere_and_stays_in_the_frame(edits):
    edits.move_box(1, 0, (14, 18, 34, 38), "episode")
    boxes = [c.bboxes if c else None for c in edits.episode.reasoning]
    assert boxes[0][0].xyxy == boxes[1][0].xyxy == (14, 18, 34, 38) and boxes[0][1] == CUP
    assert boxes[2] == (CUP, Box("red can", (254, 18, 256, 38)), CAN)  # its first can, not its second
    assert boxes[3] == (CUP,) and boxes[5] is None


def test_a_box_that_would_turn_inside_out_elsewhere_stays_a_box(edits):
    edits.move_box(1, 0, (10, 20, 11, 21), "episode")
    assert edits.episode.reasoning[2].bboxes[1].xyxy == (237, 20, 250, 21)
    edits.episode.validate()


def test_a_box_is_renamed_here_or_everywhere_and_deleted(edits):
    edits.rename_box(0, 0, "green can")
    assert [c.bboxes[0].name for c in edits.episode.reasoning[:2]] == ["green can", "red can"]
    edits.rename_box(1, 1, "mug", "episode")
    assert all("cup" not in [b.name for b in (c.bboxes or ())] for c in edits.episode.reasoning if c)
    edits.delete_box(2, 2, "episode")  # the second can of a frame: there is none elsewhere
    assert [len(c.bboxes) for c in edits.episode.reasoning if c] == [2, 2, 2, 1, 2]
    edits.delete_box(3, 0)
    assert edits.episode.reasoning[3].bboxes == ()  # somebody has looked, and there is nothing


# --- segments ---


def test_segments_are_runs_of_one_subtask_and_plan(edits):
    assert _spans(edits) == [(0, 2), (2, 4), (4, 5), (5, 6)]
    edits.set_field(1, "plan", "another")
    assert _spans(edits) == [(0, 1), (1, 2), (2, 4), (4, 5), (5, 6)]


def test_split_and_merge(edits):
    edits.split(3)
    assert [c.subtask for c in edits.episode.reasoning[:4]] == ["reach", "reach", "grasp", "grasp (2)"]
    edits.split(1, "wait")
    assert _spans(edits)[:3] == [(0, 1), (1, 2), (2, 3)]
    for _ in range(3):
        edits.merge(0)
    assert [c.subtask for c in edits.episode.reasoning[:4]] == ["reach"] * 4
    edits.merge(0)
    edits.merge(0)
    assert edits.episode.reasoning[5] == Reasoning(subtask="reach", plan="1. reach 2. grasp") and len(_spans(edits)) == 1


def test_the_words_of_a_split_are_nobody_elses():
    episode = _episode()
    chain = episode.reasoning[0]
    episode.reasoning[:] = [chain, chain, chain.replace(subtask="reach (2)"), *[chain] * 3]
    edits = EpisodeEdits(episode)
    edits.split(1)
    assert episode.reasoning[1].subtask == "reach (3)" and len(_spans(edits)) == 4


# --- what cannot be done, and what changes nothing ---


@pytest.mark.parametrize(
    "do,given",
    [
        ("set_field", (9, "move", "up")),
        ("set_field", (True, "move", "up")),
        ("set_field", (0, "colour", "red")),
        ("set_field", (0, "move", "up", "everywhere")),
        ("set_field", (0, "move", "up TASK: down")),
        ("set_field", (0, "move", "\ud800")),
        ("set_field", (0, "move", "x" * 5000)),
        ("set_field", (0, "move", 7)),
        ("set_field", (0, "bboxes", "red can [1, 2")),
        ("set_field", (0, "gripper", "[1, 300]")),
        ("set_field", (0, "gripper", ())),
        ("move_point", (0, 3, (1, 2))),
        ("move_point", (5, 0, (1, 2))),
        ("move_point", (0, 0, (1, 256))),
        ("add_box", (0, "", (1, 2, 3, 4))),
        ("add_box", (0, "a [b]", (1, 2, 3, 4))),
        ("add_box", (0, "\udfff", (1, 2, 3, 4))),
        ("add_box", (0, "can", (1, 2, 3, 257))),
        ("add_box", (0, "can", (1, 2, 3))),
        ("add_box", (0, "can", (1, 2, 3, float("nan")))),
        ("add_box", (0, "can", "1234")),
        ("move_box", (0, 0, (40, 2, 3, 4))),
        ("move_box", (0, 0, (1, 2, 3, None))),
        ("move_box", (0, 2, (1, 2, 3, 4))),
        ("rename_box", (0, -1, "can")),
        ("rename_box", (0, 0, "PLAN: can")),
        ("delete_box", (5, 0)),
        ("split", (2,)),
        ("split", (0,)),
        ("split", (1, "reach")),
        ("merge", (5,)),
        ("merge", (4,)),
        ("undo", ()),
        ("redo", ()),
        ("save", ()),
        ("save", (" ",)),
    ],
)
def test_what_cannot_be_done_changes_nothing(edits, do, given):
    before, heard = list(edits.episode.reasoning), []
    edits.heard.append(heard.append)
    with pytest.raises(RadliteError):
        getattr(edits, do)(*given)
    assert edits.episode.reasoning == before and not edits.undoes and not heard


def test_an_edit_that_changes_nothing_is_none(edits):
    edits.set_field(0, "move", "move up", "segment")
    edits.move_box(0, 0, CAN.xyxy)
    assert not edits.undoes and not edits.unsaved


@pytest.mark.parametrize("source,index", [(None, None), (_episode(), 0), ([], 1), (ROBOT, None), (ROBOT, 99)])
def test_what_cannot_be_opened(source, index):
    with pytest.raises(RadliteError):
        EpisodeEdits(source, index)


@pytest.mark.parametrize("change", [{"reasoning": [None]}, {"reasoning": ["TASK: go"] * 6}, {"instruction": ""}], ids=str)
def test_a_broken_episode_is_refused(change):
    with pytest.raises(RadliteError):
        EpisodeEdits(replace(_episode(), **change))


def test_a_box_that_is_wrong_can_be_put_right():
    episode = _episode()
    episode.reasoning[0] = episode.reasoning[0].replace(bboxes=(Box("can", (300, 1, 2, 3)), Box("cup", (9, 9, 1, 1))))
    edits = EpisodeEdits(episode)
    edits.move_box(0, 0, (1, 1, 2, 3))
    with pytest.raises(RadliteError):
        edits.save("nowhere")
    edits.delete_box(0, 1)
    episode.validate()


# --- back and forth ---

_numbers = st.integers(-1, 7)
_edges = st.tuples(*[st.integers(-5, 262)] * 4)
_words = st.sampled_from(["red can", "cup", "reach", "grasp", "", "TASK: x", "a [b]", "[1, 2, 3, 4]", "red can [1, 2, 3, 4]"])
_scopes = st.sampled_from(SCOPES)
_acts = st.one_of(
    st.tuples(st.just("set_field"), _numbers, st.sampled_from(FIELDS), _words, _scopes),
    st.tuples(st.just("add_box"), _numbers, _words, _edges, _scopes),
    st.tuples(st.just("move_box"), _numbers, _numbers, _edges, _scopes),
    st.tuples(st.just("rename_box"), _numbers, _numbers, _words, _scopes),
    st.tuples(st.just("delete_box"), _numbers, _numbers, _scopes),
    st.tuples(st.just("move_point"), _numbers, _numbers, st.tuples(_numbers, _numbers)),
    st.tuples(st.just("split"), _numbers, st.one_of(st.none(), _words)),
    st.tuples(st.just("merge"), _numbers),
    st.tuples(st.sampled_from(["undo", "redo"])),
)


@settings(max_examples=150)
@given(st.lists(_acts, max_size=25))
def test_any_edits_keep_the_episode_valid_and_can_all_be_undone_and_redone(acts):
    episode = _episode()
    edits = EpisodeEdits(episode)
    for do, *given_ in acts:
        before, undoes = list(episode.reasoning), edits.undoes
        try:
            getattr(edits, do)(*given_)
        except RadliteError:
            assert episode.reasoning == before and edits.undoes == undoes
        episode.validate()
    while edits.redoes:
        edits.redo()
    after = list(episode.reasoning)
    while edits.undoes:
        edits.undo()
    assert episode.reasoning == _episode().reasoning and not edits.unsaved
    while edits.redoes:
        edits.redo()
    assert episode.reasoning == after


def test_an_edit_after_an_undo_forgets_what_could_be_redone_and_old_ones_are_forgotten(edits):
    edits.set_field(0, "move", "a")
    edits.undo()
    assert edits.redoes and not edits.unsaved
    edits.set_field(0, "move", "b")
    assert not edits.redoes and edits.undoes == "MOVE written in frame 0"
    for k in range(KEPT + 5):
        edits.set_field(1, "move", f"{k}")
    while edits.undoes:
        edits.undo()
    assert edits.episode.reasoning[0].move == "b" and edits.episode.reasoning[1].move == "4"


# --- to disk ---


def test_saving_into_a_dataset_changes_the_chains_of_one_episode_and_nothing_else(folder):
    dataset = EpisodeDataset(folder)
    files = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    (data,) = folder.glob("data/*/*.parquet")
    table, span = pq.read_table(data), dataset.episode_slice(3)
    edits = EpisodeEdits(dataset, 3)
    edits.rename_box(0, 0, "tangerine", "episode")
    edits.set_field(4, "plan", "„wait“ 等", "frame")
    assert edits.unsaved and edits.save() == folder and not edits.unsaved
    changed = {p for p in folder.rglob("*") if p.is_file() and p.read_bytes() != files.pop(p, None)}
    assert changed == {data} and not files
    new = pq.read_table(data)
    assert new.schema.equals(table.schema, check_metadata=True)
    assert all(new[name].equals(table[name]) for name in table.column_names if name != "reasoning")
    rest = np.r_[: span.start, span.stop : len(table)]
    assert new["reasoning"].take(rest).equals(table["reasoning"].take(rest))
    again = EpisodeDataset(folder)[3]
    assert again.reasoning == edits.episode.reasoning and again.reasoning[0].bboxes[0].name == "tangerine"
    assert (again.frames == edits.episode.frames).all() and (again.actions == edits.episode.actions).all()
    assert dataset[3].reasoning == again.reasoning and dataset.frame(span.start).reasoning == again.reasoning[0]  # the open one
    groups = [pq.ParquetFile(p).metadata.num_row_groups for p in (data, next(ROBOT.glob("data/*/*.parquet")))]
    assert groups[0] == groups[1]
    edits.undo()
    assert edits.unsaved
    edits.save()
    assert EpisodeDataset(folder)[3].reasoning[4].plan != "„wait“ 等"


def test_saving_elsewhere_makes_a_dataset_and_goes_on_there(tmp_path, folder):
    edits = EpisodeEdits(folder, 2)
    edits.set_field(0, "move", "stop")
    out = edits.save(tmp_path / "new" / "one")
    assert out == edits.home == tmp_path / "new" / "one"
    (kept,) = EpisodeDataset(out)
    assert kept.reasoning[0].move == "stop" and (kept.frames == edits.episode.frames).all()
    assert "license: mit" in (out / "README.md").read_text() and "edited by hand" in (out / "README.md").read_text()
    assert EpisodeDataset(folder)[2].reasoning[0].move != "stop"
    edits.set_field(0, "move", "go on")
    edits.save()
    assert EpisodeDataset(out)[0].reasoning[0].move == "go on"
    edits.save(folder)  # where it is from: it still knows which one it was
    assert EpisodeDataset(folder)[2].reasoning == edits.episode.reasoning and len(EpisodeDataset(folder)) == 17


def test_an_episode_from_nowhere_is_saved_as_a_dataset(tmp_path, edits):
    edits.save(tmp_path / "one")
    assert EpisodeDataset(tmp_path / "one")[0].reasoning == _episode().reasoning
    assert "license: other" in (tmp_path / "one" / "README.md").read_text()


def test_a_place_that_is_taken_is_left_alone(tmp_path, folder, edits):
    before = EpisodeDataset(folder).sha256
    with pytest.raises(RadliteError, match="not empty"):
        edits.save(folder)
    assert EpisodeDataset(folder).sha256 == before and edits.home is None
    edits.save(folder, overwrite=True)
    assert len(EpisodeDataset(folder)) == 1


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(folder):
    one, other, third = EpisodeEdits(folder, 3), EpisodeEdits(folder, 3), EpisodeEdits(folder, 4)
    for k, edits in enumerate((one, other, third)):
        edits.set_field(0, "move", f"number {k}")
    one.save()
    with pytest.raises(RadliteError, match="changed it"):
        other.save()
    third.save()
    moves = [EpisodeDataset(folder)[k].reasoning[0].move for k in (3, 4)]
    assert moves == ["number 0", "number 2"]


def test_a_save_that_fails_leaves_what_was_there(folder, monkeypatch):
    edits, before = EpisodeEdits(folder, 3), EpisodeDataset(folder).sha256
    edits.set_field(0, "move", "stop")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("radlite.formats.lerobot_edit.os.replace", full)
    with pytest.raises(RadliteError, match="disk space"):
        edits.save()
    assert EpisodeDataset(folder).sha256 == before and edits.unsaved
    assert not list(folder.rglob("*.partial*"))


def test_language_columns_are_kept_in_step_and_foreign_datasets_refused(tmp_path, folder):
    told, foreign = tmp_path / "told", tmp_path / "foreign"
    chains = [c or Reasoning(task="x") for c in _episode().reasoning]
    write_dataset(told, [replace(_episode(), reasoning=chains)] * 2, language=True)
    shutil.copytree(told, foreign)
    edits = EpisodeEdits(told, 1)
    edits.set_field(0, "subtask", "wait", "episode")
    edits.save()
    expected = tmp_path / "expected"
    write_dataset(expected, [replace(_episode(), reasoning=chains), edits.episode], language=True)
    for name in (*LANGUAGE, "reasoning"):
        one, two = (pq.read_table(next(p.glob("data/*/*.parquet")))[name].to_pylist() for p in (told, expected))
        assert one == two
    info = foreign / "meta" / "info.json"
    about = json.loads(info.read_text())
    del about["features"]["reasoning"]
    info.write_text(json.dumps(about))
    with pytest.raises(RadliteError, match="column 'reasoning'"):
        resave(foreign, 0, chains)


def test_resave_checks_what_it_is_given(folder):
    chains = EpisodeDataset(folder)[0].reasoning
    for bad in (chains[:-1], [*chains[:-1], Reasoning(move="")]):
        with pytest.raises(RadliteError):
            resave(folder, 0, bad)


# --- the widget's messages ---


@pytest.fixture
def editor():
    return radlite.edit(_episode())


def _ask(editor, **message):
    editor._hear(editor, message, [])
    return editor.told


def test_the_editor_shows_a_frame_and_what_can_be_done_there(editor):
    assert isinstance(editor, Editor) and editor.size == [32, 24] and editor.lengths == [6]
    state = editor.state
    assert state["boxes"][0] == {"name": "red can", "xyxy": [10, 20, 30, 40]} and state["points"][1] == [52, 64]
    assert state["segment"] == [0, 1] and not state["undo"] and not state["unsaved"]
    assert [row["name"] for row in editor.fields] == [f for f in FIELDS if f != "bboxes"]
    assert [(s["start"], s["stop"], s["letter"]) for s in editor.segments[0]] == [(0, 2, "A"), (2, 4, "B")]
    editor.index = 5
    assert editor.shown == editor.state["step"] == 5 and editor.state["boxes"] == [] and not editor.state["looked"]


def test_messages_edit_and_are_answered(editor):
    told = _ask(editor, do="add_box", step=0, name="tape", xyxy=[1, 2, 30, 40], scope="segment")
    assert told == {"text": "'tape' drawn in frames 0 to 1.", "bad": False, "box": 2, "count": 1}
    assert editor.state["boxes"][2]["name"] == "tape" and editor.state["unsaved"]
    _ask(editor, do="split", step=1)
    assert [s["label"] for s in editor.segments[0]] == ["reach", "reach (2)", "grasp"]
    assert _ask(editor, do="undo")["text"] == "Undone: Segment split in frame 1."
    assert editor.state["redo"] and editor.episode.reasoning[1].subtask == "reach"
    assert _ask(editor, do="set_field", step=0, field="move", value="move up", scope="frame")["text"] == "Nothing to change."


@pytest.mark.parametrize(
    "message",
    [
        {"do": "move_box", "step": 0, "number": 0, "xyxy": [40, 2, 3, 4], "scope": "frame"},
        {"do": "move_box", "step": 0, "number": 0, "xyxy": [None, 2, 3, 4], "scope": "frame"},
        {"do": "move_box", "step": 0},
        {"do": "undo"},
        {"do": "undo", "more": 1},
        {"do": "_put", "chains": {}, "what": ""},
        {"do": "save", "path": ""},
        {"do": ["undo"]},
        {},
        "undo",
        None,
    ],
    ids=str,
)
def test_messages_that_cannot_be_followed_are_answered_and_change_nothing(editor, message):
    before, state = list(editor.episode.reasoning), editor.state
    editor._hear(editor, message, [])
    assert editor.told["bad"] and editor.told["text"].startswith("Not done. Expected ")
    assert editor.episode.reasoning == before and editor.state == state


def test_edits_in_python_reach_the_page(editor):
    editor.edits.rename_box(0, 0, "green can", scope="episode")
    assert editor.state["boxes"][0]["name"] == "green can" and "green can" in editor.told["text"]


def test_the_save_button_and_save_do_the_same(tmp_path, folder):
    editor = radlite.edit(folder, 1)
    assert editor.target == str(folder)
    _ask(editor, do="set_field", step=0, field="move", value="stop", scope="frame")
    assert _ask(editor, do="save", path=editor.target)["text"] == f"Saved in {folder}." and not editor.state["unsaved"]
    assert EpisodeDataset(folder)[1].reasoning[0].move == "stop"
    editor = radlite.edit(_episode(), save_to=tmp_path / "one")
    assert editor.save() == tmp_path / "one" and len(EpisodeDataset(tmp_path / "one")) == 1


def test_the_picture_is_the_frame_alone_and_the_still_one_follows(editor):
    picture = np.asarray(Image.open(io.BytesIO(editor.pictures[0])))
    assert picture.shape == (384, 512, 3) and picture.max() <= 2  # frame 0 is black: nothing is drawn over it
    before = editor.film_strip()
    editor.edits.set_field(0, "subtask", "something else", "episode")
    assert editor.film_strip().shape != before.shape or (editor.film_strip() != before).any()


def test_hostile_text_is_cleaned_and_the_front_end_makes_no_markup():
    episode = _episode()
    episode.reasoning[0] = Reasoning(task=HOSTILE + "\u202e", subtask=HOSTILE, bboxes=(Box(HOSTILE, (1, 2, 30, 40)),))
    editor = radlite.edit(episode)
    assert editor.state["fields"]["task"] == HOSTILE and editor.state["boxes"][0]["name"] == HOSTILE
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "srcdoc"):
        assert word not in Editor._esm


def test_all_parts_of_the_front_ends_are_packaged():
    root = ROBOT.parents[1]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["radlite"]
    packaged = {path for pattern in patterns for path in (root / "radlite").glob(pattern)}
    assert {p for p in (root / "radlite" / "show").iterdir() if p.suffix in (".js", ".css")} <= packaged


# --- the form ---


def test_the_form_does_the_same_edits(tmp_path):
    form = radlite.edit(_episode(), form=True, save_to=tmp_path / "one")
    view = form.view
    view["frame"].value = 1
    view["field_move"].value = "move down"
    assert form.episode.reasoning[1].move == "move down" and "MOVE written" in view["status"].value
    view["box"].value, view["scope"].value = 0, "segment"
    assert view["name"].value == "red can" and [view[s].value for s in ("x1", "y1", "x2", "y2")] == [10, 20, 30, 40]
    view["x1"].value = 12
    view["move_box"].click()
    assert form.episode.reasoning[0].bboxes[0].xyxy == (12, 20, 30, 40)
    view["name"].value = "green can"
    assert form.episode.reasoning[0].bboxes[0].name == "green can"
    view["x1"].value = 200
    view["move_box"].click()
    assert "Not done" in view["status"].value and form.episode.reasoning[1].bboxes[0].xyxy == (12, 20, 30, 40)
    view["delete_box"].click()
    assert form.episode.reasoning[0].bboxes == (CUP,)
    view["box"].value = -1
    view["name"].value = "tape"
    view["add_box"].click()
    assert form.episode.reasoning[1].bboxes[-1].name == "tape" and view["box"].value == 1
    view["split"].click()
    assert form.episode.reasoning[1].subtask == "reach (2)"
    view["undo"].click()
    view["redo"].click()
    view["save"].click()
    assert EpisodeDataset(tmp_path / "one")[0].reasoning == form.episode.reasoning


def test_form_and_editor_show_one_episode(editor):
    form = editor.form()
    form.view["field_move"].value = HOSTILE
    assert editor.state["fields"]["move"] == HOSTILE and form is editor.form()
    form.view["field_move"].value = f"{HOSTILE} TASK: x"
    assert "<img" not in form.view["status"].value and "&lt;img" in form.view["status"].value
    _ask(editor, do="undo")
    assert form.view["field_move"].value == "move up"


def test_without_anywidget_there_is_the_form(monkeypatch):
    from radlite.show import edit_form, editing

    monkeypatch.setattr(editing, "find_spec", lambda name: None)
    assert isinstance(radlite.edit(_episode()), edit_form.EditForm)
