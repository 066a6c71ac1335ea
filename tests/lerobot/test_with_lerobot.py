"""LeRobot opens what radlite writes, and radlite what LeRobot records, frame by frame; `radlite train` learns from the latter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from radlite.dataset_writer import write_dataset
from radlite.episodes import EpisodeDataset
from radlite.formats import lerobot_writer, video_writer
from radlite.policy import load_policy
from radlite.reasoning import Reasoning
from radlite.trainlog import read_log
from radlite.validate import examine

pytestmark = pytest.mark.lerobot

EPISODES = {0: 9, 1: 6, 5: 8, 9: 7}  # of data_samples/, which the simulator made, and the first that many frames of each
OURS = [("robot", "png"), ("robot", "mp4"), ("human", "png"), ("human", "mp4"), ("human", "webp")]
MAIN, FRONT, WRIST = "observation.images.main", "observation.images.front", "observation.images.wrist"
LEVELS = 2  # of 255: the most that two versions of ffmpeg may differ in a pixel of the same video; 0 where it was tried


@cache
def samples(kind):
    data, short = EpisodeDataset(f"data_samples/{kind}"), []
    for i, length in EPISODES.items():
        episode = data[i]
        parts = {name: getattr(episode, name) for name in ("frames", "reasoning", "actions", "states")}
        short.append(replace(episode, **{name: part if part is None else part[:length] for name, part in parts.items()}))
    return short


def load(path):
    with np.load(path) as file:
        told = dict(file)
    return told, json.loads(str(told.pop("about")))


def same_pictures(ours, theirs, video):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype == np.uint8
    assert np.abs(ours.astype(int) - theirs).max() <= (LEVELS if video else 0)


# ------------------------------------------------------------------------------------------------ what the judge is asked
FEATURE = {"dtype": "float32", "names": None}
TASKS = ["put the white mug on the plate", "stelle die Dose zurück", "put the white mug on the plate", "move up"]


def source(kind):
    """Four episodes as somebody might record them: two cameras, rewards, tasks of their own; what judge.py writes."""
    episodes = samples("robot")
    frames = np.concatenate([e.frames for e in episodes])
    states = np.concatenate([e.states for e in episodes])
    picture = {"dtype": kind, "names": ["height", "width", "channels"]}
    arrays = {
        WRIST: np.ascontiguousarray(frames[:, 16:80:, ::-1]),
        FRONT: frames,
        "observation.state": states if kind == "video" else np.concatenate([states, states[:, :1]], 1),  # 7 or 8 numbers
        "action": np.concatenate([e.actions for e in episodes]),
        "next.reward": np.linspace(0, 1, len(frames), dtype=np.float32)[:, None],
        "next.done": (np.arange(len(frames)) % 7 == 0)[:, None],
    }
    features = {name: {**FEATURE, "shape": list(values.shape[1:])} for name, values in arrays.items()}
    features["next.done"] |= {"dtype": "bool"}
    for camera in (WRIST, FRONT):
        features[camera] |= picture
    about = {"fps": 10, "features": features, "robot_type": "so100", "use_videos": kind == "video"}
    about["sizes"] = {"data_files_size_in_mb": 0.2 if kind == "image" else 100, "video_files_size_in_mb": 0.01}
    return arrays | {"lengths": np.array([len(e) for e in episodes]), "tasks": np.array(TASKS), "about": json.dumps(about)}


@pytest.fixture(scope="module")
def told(judge, tmp_path_factory):
    """The folder with all datasets, and what LeRobot says of each: NAME is a dataset, NAME.npz and so on the answer."""
    folder, asked = tmp_path_factory.mktemp("judged"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lerobot_writer, "FILE_MB", 0.1)
        patch.setattr(video_writer, "VIDEO_MB", 0.01)
        for kind, form in OURS:
            name = folder / f"{kind}-{form}"
            write_dataset(name, samples(kind), image_format=form)
            asked += ["read", name, f"{name}.npz"]
    name = folder / "language"
    write_dataset(name, samples("robot"), language=True)
    asked += ["refuse", name, f"{name}.txt", "columns", name, f"{name}.json"]
    for kind in ("image", "video"):
        name = folder / kind
        np.savez(f"{name}-in.npz", **source(kind))
        asked += ["write", name, f"{name}-in.npz", "read", name, f"{name}.npz"]
    judge(*asked)
    return folder


# ------------------------------------------------------------------------------------------------ LeRobot reads
@pytest.mark.parametrize(("kind", "form"), OURS)
def test_lerobot_reads_every_frame_as_it_was_written(told, kind, form):
    folder = told / f"{kind}-{form}"
    (told, about), wrote = load(f"{folder}.npz"), samples(kind)
    assert len(list(folder.glob("videos/*/*/*" if form == "mp4" else "data/*/*"))) > 1
    lengths = [len(e) for e in wrote]
    starts = np.cumsum([0, *lengths])
    assert (about["fps"], about["frames"], about["episodes"]) == (5, sum(lengths), len(wrote))
    assert about["starts"] == starts[:-1].tolist() and about["robot_type"] == kind and about["cameras"] == [MAIN]

    same_pictures(np.concatenate([e.frames for e in EpisodeDataset(folder)]), told[MAIN], form == "mp4")
    if form != "mp4":
        same_pictures(np.concatenate([e.frames for e in wrote]), told[MAIN], False)
    steps = np.concatenate([np.arange(n) for n in lengths])
    expected = {
        "observation.state": np.concatenate([e.states for e in wrote]),
        "timestamp": (steps / 5).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.repeat(np.arange(len(wrote)), lengths),
        "index": np.arange(sum(lengths)),
        "task": np.repeat([e.instruction for e in wrote], lengths),
    }
    if kind == "robot":
        expected["action"] = np.concatenate([e.actions for e in wrote])
    for name, values in expected.items():
        np.testing.assert_array_equal(told[name], values, name)
    assert ("action" in told) == ("action" in about["features"]) == (kind == "robot")
    chains = [chain for e in wrote for chain in e.reasoning]
    assert [Reasoning.from_dict(json.loads(text)) for text in told["reasoning"]] == chains
    assert [about["tasks"][i] for i in told["task_index"]] == told["task"].tolist()
    assert about["episode_tasks"] == [[e.instruction] for e in wrote]


@pytest.mark.parametrize(("kind", "form"), OURS)
def test_lerobot_finds_the_frames_before_and_after(told, kind, form):
    told, about = load(told / f"{kind}-{form}.npz")
    starts, near = np.array(about["starts"]), told["near"]
    episode = np.searchsorted(starts, near, "right") - 1
    first, last = starts[episode], np.append(starts[1:], about["frames"])[episode] - 1
    wanted = near[:, None] + [-1, 0, 2]
    outside = (wanted < first[:, None]) | (wanted > last[:, None])
    assert outside.any() and not outside.all()
    for name in (MAIN, "observation.state", *(["action"] if kind == "robot" else [])):
        np.testing.assert_array_equal(told[f"near:{name}"], told[name][np.clip(wanted, first[:, None], last[:, None])], name)
        np.testing.assert_array_equal(told[f"near:{name}_is_pad"], outside, name)
    assert about["batch"][MAIN] == [4, 3, 96, 96] and about["batch"]["observation.state"] == [4, 7]


@pytest.mark.parametrize(("kind", "form"), OURS)
def test_lerobot_takes_the_statistics(told, kind, form):
    told, about = load(told / f"{kind}-{form}.npz")
    assert set(about["stats"]) == {MAIN, "observation.state", *(["action"] if kind == "robot" else [])}
    for name in set(about["stats"]) - {MAIN}:
        values, stats = told[name].astype(float), about["stats"][name]
        expected = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
        for key, row in expected.items():
            np.testing.assert_allclose(stats[key], row, atol=1e-6, err_msg=f"{name} {key}")
        assert stats["count"] == [len(values)]
    mean, pixels = np.array(about["stats"][MAIN]["mean"]), told[MAIN] / 255.0
    assert mean.shape == (3, 1, 1)  # what its normalisation wants, to subtract it from (B, 3, H, W)
    np.testing.assert_allclose(mean.ravel(), pixels.mean((0, 1, 2)), atol=0.005)  # mp4: those of the frames before packing


def test_lerobots_language_columns(told):
    """LeRobot has them since 0.6, which needs Python 3.12; 0.4 says that it does not know them, `datasets` reads them."""
    folder = told / "language"
    assert "language" in (told / "language.txt").read_text()
    told = json.loads((told / "language.json").read_text())
    chains = [chain for e in EpisodeDataset(folder) for chain in e.reasoning]
    for time, lasting, events, chain in zip(*told.values(), chains, strict=True):
        holds = {row["style"]: row["content"] for row in lasting if row["timestamp"] <= time}
        assert (holds["plan"], holds["subtask"], holds["motion"]) == (chain.plan, chain.subtask, chain.move)
        assert {row["style"] for row in events} == {"vqa", "trace"} and {row["camera"] for row in events} == {MAIN}


# ------------------------------------------------------------------------------------------------ LeRobot writes
@pytest.mark.parametrize("kind", ["image", "video"])
def test_radlite_reads_every_frame_as_lerobot_recorded_it(told, kind):
    folder = told / kind
    (told, about), wrote = load(f"{folder}.npz"), source(kind)
    assert len(list(folder.glob("videos/*/*/*" if kind == "video" else "data/*/*"))) > (2 if kind == "video" else 1)
    opened = EpisodeDataset(folder, camera=FRONT)
    assert (opened.embodiment, opened.fps, opened.num_frames) == ("robot", 10, about["frames"])
    assert [len(e) for e in opened] == wrote["lengths"].tolist() and [e.instruction for e in opened] == TASKS
    assert opened.instructions == tuple(dict.fromkeys(TASKS)) == tuple(about["tasks"])
    np.testing.assert_array_equal(opened.actions(), wrote["action"])
    for e in opened:
        assert e.reasoning == [None] * len(e) and (e.states is None) == (kind == "image")  # eight numbers are no pose
    if kind == "video":
        np.testing.assert_array_equal(np.concatenate([e.states for e in opened]), wrote["observation.state"])
    for name in (FRONT, WRIST):
        view = EpisodeDataset(folder, camera=name)
        frames = np.concatenate([e.frames for e in view])
        same_pictures(frames, told[name], kind == "video")
        same_pictures(np.stack([view.cache().frame(k).image for k in range(view.num_frames)]), frames, False)
        if kind == "image":
            same_pictures(frames, wrote[name], False)
    assert EpisodeDataset(folder).frame(0).image.shape == wrote[WRIST].shape[1:]  # the camera that comes first


@pytest.mark.parametrize("kind", ["image", "video"])
def test_radlite_finds_nothing_wrong_and_the_same_statistics(told, kind):
    folder, (_, about) = told / kind, load(told / f"{kind}.npz")
    report = examine(folder)
    assert not report.bad
    for key in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(report.vectors["action"][key], about["stats"]["action"][key], atol=1e-5, err_msg=key)


def test_radlite_trains_on_what_lerobot_recorded_and_the_policy_predicts(told, tmp_path):
    folder, wrote = told / "video", source("video")
    options = ("--steps", "20", "--robot-per-batch", "4", "--rate", "0.01", "--out", str(tmp_path / "run"))
    command = [sys.executable, "-m", "radlite", "train", "--robot", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "no reasoning" in done.stdout and "20 of 20 steps" in done.stdout
    log = read_log(tmp_path / "run" / "log.jsonl")
    assert [row["step"] for row in log] == [10, 20] and log[1]["loss"] < log[0]["loss"]
    policy = load_policy("radlite-tiny", adapter=tmp_path / "run")
    sample = EpisodeDataset(folder, camera=WRIST).frame(3)
    [prediction] = policy.predict([sample.image], sample.instruction)
    assert prediction.reasoning == Reasoning() and prediction.action.shape == (7,)  # it acts at once: it knows no chain
    low, high = wrote["action"].min(0), wrote["action"].max(0)
    assert ((prediction.action >= low - 1e-6) & (prediction.action <= high + 1e-6)).all()
