"""`radlite data robot-pixels`: the simulator's robot with its camera hidden, and found again from poor detections."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radlite import EpisodeDataset, RadliteError, Reasoning, write_dataset
from radlite.annotate.robot_pixels import by_camera, by_detections
from radlite.cli import main
from radlite.show import read_video
from radlite.tabletop.viewpoint import ELSEWHERE_VIEW, HOME_VIEW
from radlite.validate import examine

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples" / "robot"
EPISODES = 6


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """(dataset without GRIPPER POSITION, true pixels of each episode); one frame has no chain at all."""
    dataset, path = EpisodeDataset(SAMPLES), tmp_path_factory.mktemp("hidden") / "robot"
    whole = [dataset[k] for k in range(EPISODES)]
    blind = [replace(e, reasoning=[chain.without("gripper") for chain in e.reasoning]) for e in whole]
    blind[0].reasoning[3] = None
    write_dataset(path, blind)
    return path, [np.array([chain.gripper[0] for chain in e.reasoning], float) for e in whole]


def put(folder, content, name="told.json"):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def poor(truth, width=640, height=480):
    """Detections: 3 pixels of noise, 30% of them anywhere, a fifth of the frames without one; in pixels of another picture."""
    rng, listed = np.random.default_rng(0), []
    for points in truth:
        seen = points + rng.normal(0, 3, points.shape)
        wrong = rng.random(len(seen)) < 0.3
        seen[wrong] = rng.uniform(0, 256, (wrong.sum(), 2))
        seen *= np.array([width, height]) / 256
        listed.append([None if rng.random() < 0.2 else point for point in seen.tolist()])
    return {"episodes": listed, "width": width, "height": height}


def errors(path, truth):
    """Pixels between what the chains of a dataset say and the truth, of every frame."""
    chains = [chain for episode in EpisodeDataset(path) for chain in episode.reasoning]
    return np.linalg.norm([chain.gripper[0] for chain in chains] - np.concatenate(truth), axis=1)


@pytest.mark.parametrize(("kind", "median", "most"), [("linear", 3.0, 10.0), ("projective", 1.5, 5.0)])
def test_a_hidden_camera_is_found_from_poor_detections(hidden, tmp_path, capsys, kind, median, most):
    """Measured: linear 2.0 in the median and 6.3 at most, projective 1.0 and 2.8, of which 1 is the truth's even numbers."""
    source, truth = hidden
    told = put(tmp_path, poor(truth))
    assert main(["data", "robot-pixels", str(source), str(tmp_path / "out"), "--detections", str(told), "--kind", kind]) == 0
    off = errors(tmp_path / "out", truth)
    said = capsys.readouterr().out
    print(f"\n{kind}: median {np.median(off):.2f}, at most {off.max():.2f} pixels")
    assert np.median(off) < median and off.max() < most
    assert re.search(r"one camera for all episodes: \d+ of \d+ detections agree", said) and "picture in 100.0% of them" in said
    assert not examine(tmp_path / "out", decode=True).bad


def test_everything_else_of_the_dataset_stays(hidden, tmp_path):
    source, truth = hidden
    by_camera(source, put(tmp_path, {"camera": HOME_VIEW.matrix.tolist(), "width": 256, "height": 256})).write(tmp_path / "out")
    before, after = EpisodeDataset(source), EpisodeDataset(tmp_path / "out")
    assert errors(tmp_path / "out", truth).max() < 1.5  # the tabletop's are even numbers
    assert after[0].reasoning[3] == Reasoning(gripper=after[0].reasoning[3].gripper)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.frames, new.frames)
        np.testing.assert_array_equal(old.states, new.states)
        np.testing.assert_array_equal(old.actions, new.actions)
        assert [c and c.without("gripper") for c in new.reasoning[4:]] == old.reasoning[4:]
        assert all(len(chain.gripper) == 5 for chain in new.reasoning)
    assert "calibrated camera" in (tmp_path / "out" / "README.md").read_text()


def test_pixels_are_those_of_the_pictures_unless_told_otherwise(hidden, tmp_path):
    source, _ = hidden
    height, width, _ = EpisodeDataset(source).image_shape
    own = np.diag([width / 256, height / 256, 1]) @ HOME_VIEW.matrix
    other = np.diag([2.5, 480 / 256, 1]) @ HOME_VIEW.matrix
    wants = by_camera(source, put(tmp_path, {"camera": HOME_VIEW.matrix.tolist(), "width": 256, "height": 256})).points
    for told in ({"camera": own.tolist()}, {"camera": other.tolist(), "width": 640, "height": 480}):
        for a, b in zip(by_camera(source, put(tmp_path, told)).points, wants, strict=True):
            np.testing.assert_allclose(a, b)


def test_each_episode_may_have_its_own_camera(hidden, tmp_path, capsys):
    source, truth = hidden
    states = [episode.states for episode in EpisodeDataset(source)]
    seen = [(ELSEWHERE_VIEW if k % 2 else HOME_VIEW).project(s[:, :3]).tolist() for k, s in enumerate(states)]
    told = put(tmp_path, {"episodes": seen, "width": 256, "height": 256})
    pixels = by_detections(source, told, each=True)
    for points, true in zip(pixels.points, seen, strict=True):
        assert np.nanmedian(np.linalg.norm(points - true, axis=1)) < 2
    assert len(pixels.fits) == EPISODES and pixels.detections(0) == len(seen[0])
    out = tmp_path / "out"
    assert main(["data", "robot-pixels", str(source), str(out), "--detections", str(told), "--each"]) == 0
    assert re.search(r"episode 5: \d+ of \d+ detections agree", capsys.readouterr().out)


def test_the_overlay_shows_the_path_and_which_detections_agree(hidden, tmp_path):
    source, truth = hidden
    told, film = put(tmp_path, poor(truth)), tmp_path / "new" / "look.mp4"
    more = ["--detections", str(told), "--overlay", str(film)]
    assert main(["data", "robot-pixels", str(source), str(tmp_path / "out"), *more]) == 0
    drawn, fps = read_video(film)
    assert len(drawn) == sum(map(len, truth[:3])) and fps == 5.0
    pixels = by_detections(source, told)
    agree, shown = pixels.agrees(0), [point is not None for point in json.loads(told.read_text())["episodes"][0]]
    assert agree.any() and not agree[~np.array(shown)].any()
    k = int(np.flatnonzero(agree)[0])
    x, y = (pixels.seen[0][k] * 1.5).astype(int)
    red, green, blue = drawn[k][y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int).T
    assert ((green > red + 40) & (green > blue + 40)).any()


BAD = {
    "no camera": ("--camera", {}, "camera"),
    "another shape": ("--camera", {"camera": np.eye(3).tolist()}, "3, 4"),
    "words": ("--camera", {"camera": [["1"] * 4] * 3}, "3, 4"),
    "ragged": ("--camera", {"camera": [[1, 2], [3]]}, "3, 4"),
    "not finite": ("--camera", '{"camera": [[1, 2, 3, NaN], [1, 2, 3, 4], [1, 2, 3, 4]]}', "3, 4"),
    "one size": ("--camera", {"camera": HOME_VIEW.matrix.tolist(), "width": 640}, "width and height"),
    "no size": ("--camera", {"camera": HOME_VIEW.matrix.tolist(), "width": 0, "height": 0}, "width and height"),
    "behind": ("--camera", {"camera": (-HOME_VIEW.matrix).tolist()}, "sees the gripper"),
    "no json": ("--camera", "{", "camera"),
    "no list": ("--detections", {"episodes": 3}, "6 episodes"),
    "too few episodes": ("--detections", {"episodes": [[None]]}, "6 episodes"),
    "too few frames": ("--detections", {"episodes": [[None]] * EPISODES}, "one a frame"),
    "no point": ("--detections", {"episodes": [[[1, 2, 3]]] * EPISODES}, "episode 0"),
    "a word": ("--detections", {"episodes": ["abc"] * EPISODES}, "episode 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_in_the_form_is_refused(hidden, tmp_path, capsys, name):
    option, content, said = BAD[name]
    told = put(tmp_path, content)
    assert main(["data", "robot-pixels", str(hidden[0]), str(tmp_path / "out"), option, str(told)]) == 2
    assert said in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ["told.json"]


def test_no_detection_and_no_states(hidden, tmp_path):
    source, truth = hidden
    nothing = put(tmp_path, {"episodes": [[None] * len(points) for points in truth]})
    with pytest.raises(RadliteError, match="with a detection"):
        by_detections(source, nothing)
    with pytest.raises(RadliteError, match="in episode 0"):
        by_detections(source, nothing, each=True)
    write_dataset(tmp_path / "stateless", [replace(e, states=None) for e in EpisodeDataset(source)])
    with pytest.raises(RadliteError, match="states"):
        by_detections(tmp_path / "stateless", nothing)


def test_an_overlay_of_another_kind_is_refused_before_the_work(hidden, tmp_path, capsys):
    argv = ["data", "robot-pixels", str(hidden[0]), str(tmp_path / "out"), "--camera", "none.json"]
    assert main([*argv, "--overlay", str(tmp_path / "film.gif")]) == 2 and ".mp4" in capsys.readouterr().err
