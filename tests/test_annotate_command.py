"""`radlite annotate` as a person calls it: what is refused before any work, what is said, and what goes on after an accident."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from synthetic_hands import hand

from radlite import EpisodeDataset, RadliteError, write_mp4
from radlite.annotate import (
    AnnotateConfig,
    Found,
    GroundingDino,
    Recipe,
    RecordedObjects,
    annotate,
    load_clip,
    write_landmarks,
    write_objects,
)
from radlite.annotate.landmarks import Landmarks, RecordedHands
from radlite.annotate.pipeline import names_of
from radlite.cli import main
from radlite.formats.writable import check_writable
from radlite.stages import Stages

ROOT = Path(__file__).resolve().parents[1]
COUNT, SIDE = 12, 64
SECRET = "sk-0123456789"


def found_hands(count=COUNT):
    """A hand that comes from the right, closes at the middle and goes to the left."""
    return tuple((hand((np.interp(k, [0, 5, 11], [220, 130, 40]), 130), float(k < 5)),) for k in range(count))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A clip of noise, with its hands beside it in hands.json."""
    folder = tmp_path_factory.mktemp("clip")
    write_landmarks(folder / "hands.json", Landmarks(found_hands(), 5.0, SIDE, SIDE))
    frames = np.random.default_rng(0).integers(0, 255, (COUNT, SIDE, SIDE, 3), np.uint8)
    return write_mp4(folder / "clip.mp4", frames, 5.0)


def call(clip: Path, out: Path, *more: str) -> int:
    argv = ["annotate", clip, "--instruction", "pick up the red can", "--landmarks", clip.with_name("hands.json"),
            "--out", out / "d", "--cache", out / "cache", "--size", SIDE, *more]  # fmt: skip
    return main(list(map(str, argv)))


# ------------------------------------------------------------------------------------------------ refused before any work
@pytest.mark.parametrize("address", [
    f"https://user:{SECRET}@host/v1", f"https://host/v1?key={SECRET}", f"HTTPS://user:{SECRET}@host/v1", f"ftp://{SECRET}@host",
])  # fmt: skip
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_an_address_with_a_key_in_it_is_refused_and_not_repeated(clip, tmp_path, capsys, address, dry):
    assert call(clip, tmp_path, "--narrator", address, "--narrator-model", "m", *dry) == 2
    said = capsys.readouterr()
    assert "without user, query and fragment" in said.err and SECRET not in said.out + said.err and not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [
    *(["--palm", value] for value in ("-1", "0", "nan", "inf", "1e9")), *(["--threshold", value] for value in ("0", "nan", "9")),
    ["--looks", "0"], ["--box-threshold", "2"], ["--box-threshold", "nan"], ["--text-threshold", "0.2"], ["--size", "0"],
    ["--caption", "a", "--caption", "b"], ["--caption", "a cup", "--names", "cup"],
])  # fmt: skip
def test_what_no_clip_can_have_is_refused(clip, tmp_path, capsys, option):
    assert call(clip, tmp_path, *option) == 2
    assert capsys.readouterr().err.startswith("radlite: expected ") and not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [{"window": 0}, {"window": float("nan")}, {"most_gap": -1}, {"most_gap": 1.5}, {"side": "both"},
                                   {"moves": "eye"}, {"looks": 0}, {"palm": "0.1"}, {"fps": float("inf")}])  # fmt: skip
def test_a_configuration_that_cannot_be(wrong):
    with pytest.raises(RadliteError):
        AnnotateConfig(**wrong)


def test_a_report_that_cannot_be_written_is_told_before_the_work(clip, tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert call(clip, tmp_path, "--report", tmp_path / "file" / "page.html") == 2
    assert call(clip, tmp_path, "--report", tmp_path) == 2
    assert "to write" in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ["file"]
    assert call(clip, tmp_path, "--report", tmp_path / "new" / "page.html") == 0 and (tmp_path / "new" / "page.html").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system that refuses root, too")
def test_a_place_is_tried_and_left_as_it_was(tmp_path):
    check_writable(tmp_path / "a" / "b" / "page.html")
    assert not list(tmp_path.iterdir())
    (tmp_path / "page.html").write_text("kept")
    check_writable(tmp_path / "page.html")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(RadliteError, match="able to write"):
        check_writable("/proc/x/y.html")


# ------------------------------------------------------------------------------------------------ goes on after an accident
def test_a_stage_that_was_cut_off_is_done_again(clip, tmp_path, capsys):
    assert call(clip, tmp_path) == 0
    [stored] = (tmp_path / "cache").glob("*/hands.json")
    whole = json.loads(stored.read_text())["result"]
    for text in (stored.read_text()[:1000], "", "[]", "{}"):
        stored.write_text(text)
        assert call(clip, tmp_path, "--append") == 0
        assert "hands.json cannot be read, so this is done again" in capsys.readouterr().err
        assert json.loads(stored.read_text())["result"] == whole
    assert call(clip, tmp_path, "--append") == 0 and "cannot be read" not in capsys.readouterr().err


def test_a_finished_stage_is_not_done_again(tmp_path):
    stages, asked = Stages(tmp_path), []
    for _ in range(2):
        assert stages.run("one", {"k": 1}, lambda: asked.append(1) or {"found": 2})["result"] == {"found": 2}
    stages.run("one", {"k": 2}, lambda: asked.append(2) or {})
    assert asked == [1, 2]


# ------------------------------------------------------------------------------------------------ what is odd
def test_landmarks_of_a_longer_clip_are_refused(clip, tmp_path, capsys):
    one = tmp_path / "one"
    one.mkdir()
    Image.fromarray(np.zeros((SIDE, SIDE, 3), np.uint8)).save(one / "1.png")
    (tmp_path / "hands.json").write_bytes(clip.with_name("hands.json").read_bytes())
    assert call(one, tmp_path) == 2
    assert "landmarks of this clip" in capsys.readouterr().err and not (tmp_path / "d").exists()


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_pictures_that_show_nothing_are_remarked_upon(clip, tmp_path, capsys, dry):
    frames = np.random.default_rng(0).integers(0, 255, (COUNT, 36, SIDE, 3), np.uint8)
    frames[3:8] = 0
    frames[8] = 200
    write_landmarks(tmp_path / "hands.json", Landmarks(found_hands(), 5.0, SIDE, 36))
    assert call(write_mp4(tmp_path / "dark.mp4", frames, 5.0), tmp_path, *dry) == 0
    assert "6 of 12 pictures show next to nothing" in capsys.readouterr().out
    assert call(clip, tmp_path / "other", *dry) == 0
    assert "next to nothing" not in capsys.readouterr().out


@pytest.mark.parametrize("pad", [True, False])
@pytest.mark.parametrize("shape", [(36, 64), (64, 36), (9, 200)])
def test_bars_around_a_picture_show_nothing(tmp_path, shape, pad):
    for k, level in enumerate((120, None)):
        picture = np.random.default_rng(0).integers(0, 255, (*shape, 3)) if level is None else np.full((*shape, 3), level)
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"{k}.png")
    assert load_clip(tmp_path, size=64, pad=pad).blank.tolist() == [True, False]


# ------------------------------------------------------------------------------------------------ things to look for
class Everything:
    """Finds all it is asked for: the red can under the closing hand, a spoon nearer to it, other things at the side."""

    identity = "everything of a test"

    def __init__(self):
        self.asked = None

    def detect(self, pictures, names):
        self.asked, spots = names, {"spoon": (0.5, 0.5, 0.52, 0.52), "red can": (0.4, 0.53, 0.49, 0.62)}
        return [tuple(Found(name, spots.get(name, (0.8, 0.8, 0.9, 0.9))) for name in names) for _ in pictures]


def test_what_a_caption_names_is_looked_for_and_is_no_goal(clip, tmp_path):
    hands = RecordedHands(Landmarks(found_hands(), 5.0, SIDE, SIDE))
    said, things = "pick up the red can", Everything()
    plain = annotate(clip, said, hands, things, cache=tmp_path, progress=False).episode.reasoning
    assert things.asked == ("red can",)
    seen = "a spoon and a red can on a blue plate"
    chains = annotate(clip, said, hands, things, cache=tmp_path, progress=False, caption=seen).episode.reasoning
    assert things.asked == names_of(said, seen) == ("red can", "spoon", "blue plate")
    assert [box.name for box in chains[0].bboxes] == ["red can", "spoon", "blue plate"]
    assert [chain.replace(bboxes=None) for chain in chains] == [chain.replace(bboxes=None) for chain in plain]
    # by --names the spoon is as good as any; the words of the caption's run are not taken for these
    named = annotate(clip, said, hands, things, names=things.asked, cache=tmp_path, progress=False).episode.reasoning
    assert "spoon" in named[0].plan and "red can" in chains[0].plan


def test_where_nothing_of_the_instruction_was_found_a_caption_tells(clip):
    hands = RecordedHands(Landmarks(found_hands(), 5.0, SIDE, SIDE))
    chains = annotate(clip, "tidy up", hands, Everything(), progress=False, caption="a spoon").episode.reasoning
    assert "spoon" in chains[0].plan


def test_the_command_takes_captions_and_thresholds(clip, tmp_path, capsys):
    boxes = {k: (Found("red can", (0.4, 0.5, 0.5, 0.6), 0.15), Found("cup", (0.7, 0.7, 0.8, 0.8), 0.9)) for k in range(COUNT)}
    write_objects(tmp_path / "boxes.json", RecordedObjects(boxes, 5.0))
    more = ["--objects", tmp_path / "boxes.json", "--caption", "a cup"]
    assert call(clip, tmp_path, *more, "--dry-run") == 0 and "red can, cup by" in capsys.readouterr().out
    names = []
    for threshold in ([], ["--box-threshold", "0.1"], ["--box-threshold", "0.95"]):
        assert call(clip, tmp_path, *more, *threshold, "--append") == 0
        names.append([box.name for box in EpisodeDataset(tmp_path / "d")[len(names)].reasoning[0].bboxes])
    assert names == [["cup"], ["red can", "cup"], []]


def test_thresholds_reach_grounding_dino():
    recipe = Recipe(AnnotateConfig(box_threshold=0.4), objects="owner/name", text_threshold=0.1)
    told, usual = recipe.find_objects(), Recipe(objects="owner/name").find_objects()
    assert (told.box_threshold, told.text_threshold) == (0.4, 0.1) and Recipe.from_text(recipe.to_text()) == recipe
    assert (usual.box_threshold, usual.text_threshold) == (GroundingDino().box_threshold, GroundingDino().text_threshold)
    assert asdict(recipe)["config"]["box_threshold"] == 0.4


# ------------------------------------------------------------------------------------------------ the benchmark of all this
def test_the_benchmark_takes_datasets_and_prints_json(monkeypatch, capsys):
    path = ROOT / "data_samples" / "human"
    monkeypatch.setattr(sys, "argv", ["annotation.py", "--episodes", "1", "--datasets", str(path)])
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    runpy.run_path(str(ROOT / "benchmarks" / "annotation.py"), run_name="__main__")
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["datasets"] == [str(path)] and told["results"]["human"]["episodes"] == 1
