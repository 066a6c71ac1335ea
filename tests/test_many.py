"""Many clips: manifests from anywhere, a store that holds each clip once, processes that die, and the command."""

from __future__ import annotations

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_hands import hand

from radlite import EpisodeDataset, RadliteError, write_mp4
from radlite.annotate import AnnotateConfig, write_landmarks
from radlite.annotate.clip_store import ClipStore, clip_key
from radlite.annotate.engines import local_processes
from radlite.annotate.landmarks import Landmarks
from radlite.annotate.manifest import COLUMNS, ListedClip, list_clips
from radlite.annotate.many import annotate_many, annotate_one, write_annotated
from radlite.annotate.motion import Axes
from radlite.annotate.recipe import Recipe
from radlite.cli import main
from radlite.formats.staging import replace_text
from radlite.validate import examine

FRAMES, SIZE = 6, 32
RECIPE = Recipe(AnnotateConfig(size=SIZE))


def make_clip(folder: Path, name: str, seed: int, lost: bool = False) -> Path:
    """A clip of noise with the landmarks of a hand that goes to the left beside it, or of none."""
    pictures = np.random.default_rng(seed).integers(0, 255, (FRAMES, SIZE, SIZE, 3), np.uint8)
    hands = tuple(() if lost else (hand((200 - 20 * k, 100 + seed), float(k % 4 < 2)),) for k in range(FRAMES))
    write_landmarks(folder / f"{name}.landmarks.json", Landmarks(hands, 5.0, SIZE, SIZE))
    return write_mp4(folder / f"{name}.mp4", pictures, 5.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Four clips; c has no hand in it."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate("abcd"):
        make_clip(folder, name, seed, lost=name == "c")
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """The same clips in a folder of one's own."""
    own = tmp_path / "clips"
    own.mkdir()
    for path in made.iterdir():
        (own / path.name).write_bytes(path.read_bytes())
    return own


def at_once(tasks):
    """An engine of no processes at all."""
    return map(annotate_one, tasks)


# ------------------------------------------------------------------------------------------------ manifests
def test_a_manifest_in_csv_and_in_json_lines_says_the_same(folder):
    lines = ["\ufeffclip,instruction,landmarks,objects", 'b.mp4,"put it, all of it",,', "", "./a.mp4, tidy ,c.landmarks.json,"]
    (folder / "manifest.csv").write_text("\r\n".join(lines), newline="")
    listed = list_clips(folder)
    assert listed == (
        ListedClip(2, "b.mp4", "put it, all of it", "b.landmarks.json"), ListedClip(4, "a.mp4", "tidy", "c.landmarks.json"),
    )  # fmt: skip
    rows = [{"clip": "b.mp4", "instruction": "put it, all of it"},
            {"clip": "a.mp4", "instruction": "tidy", "landmarks": "c.landmarks.json", "objects": None}]  # fmt: skip
    other = folder.parent / "other.jsonl"
    other.write_text("\n\n".join(map(json.dumps, rows)))
    assert [replace(clip, line=0) for clip in list_clips(folder, other)] == [replace(clip, line=0) for clip in listed]


def test_without_a_manifest_every_video_gets_the_one_instruction(folder):
    (folder / "notes.txt").write_text("no clip")
    assert [(c.line, c.clip, c.landmarks) for c in list_clips(folder, instruction="go")] == [
        (k, f"{name}.mp4", f"{name}.landmarks.json") for k, name in enumerate("abcd", 1)
    ]
    for wrong in ({}, {"instruction": "a\nb"}):
        with pytest.raises(RadliteError):
            list_clips(folder, **wrong)
    (folder / "manifest.csv").write_text("clip,instruction\na.mp4,go\n")
    with pytest.raises(RadliteError, match="both"):
        list_clips(folder, instruction="go")


def test_captions_stand_in_the_manifest_or_are_one_for_all(folder):
    assert {clip.caption for clip in list_clips(folder, instruction="go", caption="a cup")} == {"a cup"}
    (folder / "manifest.csv").write_text("clip,instruction,caption\na.mp4,go,a cup and a plate\nb.mp4,go,\n")
    assert [clip.caption for clip in list_clips(folder)] == ["a cup and a plate", None]
    with pytest.raises(RadliteError, match="column 'caption'"):
        list_clips(folder, caption="a cup")
    assert main(["annotate-many", str(folder), "--out", str(folder / "data"), "--names", "cup"]) == 2


BAD_CSV = {
    "no heading": ("a.mp4,go\n", "heading"),
    "another column": ("clip,instruction,url\na.mp4,go,x\n", "heading"),
    "a column twice": ("clip,clip,instruction\na.mp4,a.mp4,go\n", "heading"),
    "a cell too many": ("clip,instruction\na.mp4,go,x\n", "line 2"),
    "a cell too few": ("clip,instruction\na.mp4,go\nb.mp4\n", "line 3"),
    "an open quote": ('clip,instruction\na.mp4,"go\n', "line"),
    "no words": ("clip,instruction\na.mp4,\n", "line 2"),
    "a tag": ("clip,instruction\na.mp4,ACTION: stop\n", "line 2"),
    "not there": ("clip,instruction\na.mp4,go\ne.mp4,go\n", "line 3"),
    "out of the folder": ("clip,instruction\n../clips/a.mp4,go\n", "line 2"),
    "from the root": ("clip,instruction\n/etc/passwd,go\n", "line 2"),
    "by a link": ("clip,instruction\nlink.mp4,go\n", "line 2.*link"),
    "landmarks by a link": ("clip,instruction,landmarks\na.mp4,go,link.mp4\n", "landmarks in .*line 2.*link"),
    "a loop of links": ("clip,instruction\nloop.mp4,go\n", "line 2"),
    "an invisible character": ("clip,instruction\na\u202e.mp4,go\n", "line 2"),
    "the folder itself": ("clip,instruction\n.,go\n", "line 2"),
    "twice": ("clip,instruction\na.mp4,go\nb.mp4,go\n./a.mp4,go\n", "line 4 as in line 2"),
    "nothing": ("clip,instruction\n", "1 to"),
    "no text": (b"clip,instruction\n\xff\xfe,go\n", "UTF-8"),
    "a null": (b"clip,instruction\na\x00.mp4,go\n", "line 2"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_manifest_that_is_wrong_is_refused_with_its_line(name, folder):
    text, said = BAD_CSV[name]
    (folder.parent / "outside.mp4").write_bytes(b"secret")
    (folder / "link.mp4").symlink_to(folder.parent / "outside.mp4")
    (folder / "loop.mp4").symlink_to(folder / "loop.mp4")
    (folder / "manifest.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RadliteError, match=said):
        list_clips(folder)


@pytest.mark.parametrize(
    "line",
    ["[]", '[["clip", "a.mp4"], ["instruction", "go"]]', '"a.mp4"', '{"clip": "a.mp4"}', '{"clip": 1, "instruction": "go"}', "{",
     '{"clip": "a.mp4", "clip": "b.mp4", "instruction": "go"}', '{"clip": "a.mp4", "instruction": "go", "url": "x"}',
     '{"clip": "a.mp4", "instruction": null}', '{"clip": "a.mp4", "instruction": "go", "landmarks": ["x"]}',
     '{"clip": "a\\ud800.mp4", "instruction": "go"}', '{"clip": "a.mp4", "instruction": "\\ud800"}', "[" * 100_000],
)  # fmt: skip
def test_a_line_of_json_that_is_wrong_is_refused(line, folder):
    (folder / "manifest.jsonl").write_text('{"clip": "b.mp4", "instruction": "go"}\n' + line)
    with pytest.raises(RadliteError, match="line 2"):
        list_clips(folder)


@given(text=st.text(max_size=60) | st.lists(st.lists(st.sampled_from([*COLUMNS, "a.mp4", "../a.mp4", 'go "', "x"]), max_size=4)),
       suffix=st.sampled_from([".csv", ".jsonl"]))  # fmt: skip
def test_no_manifest_gets_past_its_check(made, text, suffix):
    if isinstance(text, list):
        buffer = io.StringIO()
        csv.writer(buffer).writerows(text)
        text = buffer.getvalue()
    path = made.parent / f"any{suffix}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        listed = list_clips(made, path)
    except RadliteError:
        return
    for clip in listed:
        assert (made / clip.clip).resolve().is_relative_to(made.resolve()) and clip.instruction


# ------------------------------------------------------------------------------------------------ recipe and store
def test_a_recipe_travels_as_text():
    config = AnnotateConfig(fps=2.5, side="left", axes=Axes(up="up", nearer="backward"))
    recipe = Recipe(config, names=("red can",), quantize="nf4")
    assert Recipe.from_text(recipe.to_text()) == recipe and Recipe.from_text(RECIPE.to_text()) == RECIPE
    secret, score = {"narrator": "https://user:sk-0@host/v1", "narrator_model": "m"}, {"objects": "m", "text_threshold": 2.0}
    for wrong in ({"narrator": "http://localhost:1/v1"}, {"text_threshold": 0.5}, score, secret):
        with pytest.raises(RadliteError) as told:
            Recipe(**wrong)
        assert "sk-0" not in str(told.value)
    whole = json.loads(recipe.to_text())
    whole["config"]["fps"] = float("nan")
    with pytest.raises(RadliteError, match="frames a second"):
        Recipe.from_text(json.dumps(whole))


def test_the_key_tells_what_an_episode_depends_on(folder):
    clip = ListedClip(1, "a.mp4", "go", "a.landmarks.json")
    others = [replace(clip, clip="b.mp4"), replace(clip, instruction="stop"), replace(clip, landmarks="b.landmarks.json"),
              replace(clip, landmarks=None), replace(clip, caption="a cup")]  # fmt: skip
    keys = [clip_key(folder, c, RECIPE) for c in (clip, *others)] + [clip_key(folder, clip, replace(RECIPE, names=("x",)))]
    assert len(set(keys)) == len(keys)
    (folder / "copy.mp4").write_bytes((folder / "a.mp4").read_bytes())
    assert clip_key(folder, replace(clip, clip="copy.mp4", line=7), RECIPE) == keys[0]
    with pytest.raises(RadliteError):
        clip_key(folder, replace(clip, clip="none.mp4"), RECIPE)


def writes(store: ClipStore) -> list[int]:
    """How often each clip was written."""
    return [sum(event["event"] == "written" for event in events) for events in store.events().values()]


def test_of_many_who_store_a_clip_at_once_one_does(made, tmp_path):
    clips = list_clips(made, instruction="go left")
    [first, *_] = annotate_many(made, clips[:1], RECIPE, ClipStore(tmp_path / "first"), at_once)
    episode, store = ClipStore(tmp_path / "first").get(first.key), ClipStore(tmp_path / "work")
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda _: store.put("ab" * 16, episode), range(8)))
    assert sum(won) == 1 and writes(store) == [1] and not list((store.folder / "new").iterdir())
    assert store.get("ab" * 16).reasoning == episode.reasoning


def test_two_who_write_the_same_file_at_once_both_succeed(tmp_path):
    """Two workers may find the hands of one clip, for two instructions, and keep them in one place."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda k: replace_text(tmp_path / "hands.json", str(k) * 10_000), range(200)))
    assert [path.name for path in tmp_path.iterdir()] == ["hands.json"] and len(set((tmp_path / "hands.json").read_text())) <= 3


# ------------------------------------------------------------------------------------------------ many
def test_a_clip_that_fails_is_tried_again_and_the_others_go_on(made, tmp_path):
    store, told = ClipStore(tmp_path), []
    clips = list_clips(made, instruction="go left")
    tell = lambda clip, outcome: told.append((clip.clip, outcome.state))  # noqa: E731
    outcomes = annotate_many(made, clips, RECIPE, store, at_once, retries=1, told=tell)
    assert [(o.state, o.tries) for o in outcomes] == [("done", 1), ("done", 1), ("failed", 2), ("done", 1)]
    assert told == [("a.mp4", "done"), ("b.mp4", "done"), ("c.mp4", "failed"), ("d.mp4", "done"), ("c.mp4", "failed")]
    assert "a hand in the clip" in outcomes[2].reason
    again = annotate_many(made, clips, RECIPE, store, at_once, retries=0)
    assert [(o.state, o.frames) for o in again] == [("kept", FRAMES), ("kept", FRAMES), ("failed", 0), ("kept", FRAMES)]
    assert sorted(writes(store)) == [0, 1, 1, 1]
    info = write_annotated(tmp_path / "out", clips, again, store)
    dataset = EpisodeDataset(tmp_path / "out")
    assert info.num_episodes == 3 and [e.meta["clip"] for e in dataset] == ["a.mp4", "b.mp4", "d.mp4"]
    assert all(chain.gripper and chain.task == "go left." for episode in dataset for chain in episode.reasoning)


def test_the_order_is_the_manifests_and_not_that_of_the_answers(made, tmp_path):
    manifest = tmp_path / "m.csv"
    manifest.write_text("clip,instruction\nd.mp4,go\na.mp4,go\na.mp4,stop\n")
    clips, store = list_clips(made, manifest), ClipStore(tmp_path / "work")
    outcomes = annotate_many(made, clips, RECIPE, store, lambda tasks: at_once(tasks[::-1]))
    write_annotated(tmp_path / "out", clips, outcomes, store)
    dataset = EpisodeDataset(tmp_path / "out")
    assert [(e.meta["clip"], e.instruction) for e in dataset] == [("d.mp4", "go"), ("a.mp4", "go"), ("a.mp4", "stop")]


def test_two_copies_of_a_clip_are_two_episodes_and_one_work(folder, tmp_path):
    for end in (".mp4", ".landmarks.json"):
        (folder / f"z{end}").write_bytes((folder / f"a{end}").read_bytes())
    (folder / "manifest.csv").write_text("clip,instruction\na.mp4,go\nz.mp4,go\n")
    clips, store = list_clips(folder), ClipStore(tmp_path / "work")
    outcomes = annotate_many(folder, clips, RECIPE, store, at_once)
    write_annotated(tmp_path / "out", clips, outcomes, store)
    assert [o.state for o in outcomes] == ["done", "kept"] and writes(store) == [1]
    assert [e.meta["clip"] for e in EpisodeDataset(tmp_path / "out")] == ["a.mp4", "z.mp4"]


def test_what_does_not_answer_has_failed(made, tmp_path):
    def forgetful(tasks):
        return (annotate_one(task) for task in tasks if json.loads(task)["clip"]["clip"] != "b.mp4")

    outcomes = annotate_many(made, list_clips(made, instruction="go"), RECIPE, ClipStore(tmp_path), forgetful, retries=0)
    assert [o.state for o in outcomes] == ["done", "failed", "failed", "done"] and "ended" in outcomes[1].reason


def test_a_stored_episode_that_was_damaged_is_told_by_its_place(made, tmp_path):
    store, clips = ClipStore(tmp_path), list_clips(made, instruction="go")[:1]
    [outcome] = annotate_many(made, clips, RECIPE, store, at_once)
    (store.folder / "episodes" / outcome.key / "meta" / "info.json").write_text("{")
    [again] = annotate_many(made, clips, RECIPE, store, at_once, retries=0)
    assert again.state == "failed" and outcome.key in again.reason


# ------------------------------------------------------------------------------------------------ processes
def dies_once(task: str) -> str:
    """A worker that is killed in the middle of a clip the first time, and always by d.mp4; otherwise `annotate_one`."""
    told = json.loads(task)
    name, marks = told["clip"]["clip"], Path(told["store"]) / "marks"
    marks.mkdir(exist_ok=True)
    with (marks / name).open("a") as file:
        file.write("x")
    if name == "d.mp4" or name == "a.mp4" and (marks / name).stat().st_size == 1:
        os._exit(1)
    return annotate_one(task)


def test_processes_that_die_are_replaced_and_nothing_is_done_twice(made, tmp_path):
    store, clips = ClipStore(tmp_path), list_clips(made, instruction="go")
    with local_processes(2, dies_once) as engine:
        outcomes = annotate_many(made, clips, RECIPE, store, engine, retries=1)
    assert [(o.state, o.tries) for o in outcomes] == [("done", 2), ("done", 1), ("failed", 2), ("failed", 2)]
    assert str(os.getpid()) not in {outcome.worker.split(":")[1] for outcome in outcomes if outcome.worker}
    assert {m.name: m.stat().st_size for m in (tmp_path / "marks").iterdir()} == {"a.mp4": 2, "b.mp4": 1, "c.mp4": 2, "d.mp4": 2}
    assert sorted(writes(store)) == [0, 1, 1]


# ------------------------------------------------------------------------------------------------ the command
def call(folder, out, *more):
    return main(["annotate-many", str(folder), "--out", str(out), "--size", str(SIZE), "--retries", "0", *map(str, more)])


def test_the_command_writes_a_dataset_and_a_report(folder, tmp_path, capsys):
    out = tmp_path / "data"
    (folder / "c.mp4").rename(folder / "<c>.mp4")
    assert call(folder, out, "--instruction", "go") == 1  # one of four
    said = capsys.readouterr().out
    assert "FAILED: 3 clips done, 0 finished before, 1 of 4 failed (25.0%, 5.0% accepted)" in said
    report = json.loads((tmp_path / "data.clips.json").read_text())
    assert [row["state"] for row in report["rows"]] == ["failed", "done", "done", "done"] and not report["passed"]
    assert "mediapipe" in report["rows"][0]["reason"].lower()  # no landmarks beside it any more
    assert call(folder, out, "--instruction", "go") == 2 and "--overwrite" in capsys.readouterr().err
    assert call(folder, out, "--instruction", "go", "--overwrite", "--most", "0.25") == 0
    assert "passed: 0 clips done, 3 finished before, 1 of 4 failed" in capsys.readouterr().out
    assert EpisodeDataset(out).num_episodes == 3 and not examine(out, decode=True).bad


def test_where_nothing_is_done_nothing_is_written(folder, tmp_path, capsys):
    (folder / "manifest.csv").write_text("clip,instruction\nc.mp4,go\n")
    assert call(folder, tmp_path / "data", "--most", "1") == 1
    assert "no dataset was written" in capsys.readouterr().out and not (tmp_path / "data").exists()


@pytest.mark.parametrize("more", [["--objects", "boxes.json"], ["--narrator", "http://localhost:1/v1"], ["--fps", "0"],
                                  ["--palm", "nan"], ["--report", "boxes.json/clips.json"]])  # fmt: skip
def test_a_recipe_that_cannot_be_is_refused_before_any_work(folder, tmp_path, more, capsys):
    (tmp_path / "boxes.json").write_text("{}")
    more = [str(tmp_path / word) if word.startswith("boxes.json") else word for word in more]
    assert call(folder, tmp_path / "data", "--instruction", "go", *more) == 2
    assert "expected" in capsys.readouterr().err and not list(tmp_path.glob("data*"))


def test_without_ray_the_command_says_how_to_get_it(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # an import of it fails, installed or not
    assert call(folder, tmp_path / "data", "--instruction", "go", "--ray") == 2
    assert "pip install" in capsys.readouterr().err


