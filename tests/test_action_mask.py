"""Robot and action-free frames in one foreign dataset: masked ones are never learnt from, and zeros are refused."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from radlite.actions import ActionStats
from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.action_mask import frames_with_action, without_action
from radlite.mixture import Mixture
from radlite.subset import subset
from radlite.validate import examine

DATA, LENGTHS = "data/chunk-000/file-000.parquet", (3, 4, 2, 5)
ABSENT = [False] * 3 + [True] * 4 + [False] * 2 + [True] * 5  # episodes 1 and 3 are people's


def episodes():
    for i, length in enumerate(LENGTHS):
        rng = np.random.default_rng(i)
        frames = rng.integers(0, 256, (length, 6, 8, 3), np.uint8)
        actions = rng.uniform(0.1, 0.2, (length, 7)).astype(np.float32)
        yield Episode(f"task {i}", frames, [None] * length, "robot", actions=actions, meta={"number": i})


def put(path, actions=None, mask=None, name="action_mask"):
    table = pq.read_table(path / DATA)
    if actions is not None:
        at = table.column_names.index("action")
        table = table.set_column(at, "action", pa.array(actions.tolist(), pa.list_(pa.float32(), 7)))
    if mask is not None:
        table = table.append_column(name, mask)
        info = json.loads((path / "meta/info.json").read_text())
        info["features"][name] = {"dtype": "bool", "shape": [1], "names": None}
        (path / "meta/info.json").write_text(json.dumps(info))
    pq.write_table(table, path / DATA, row_group_size=4)  # as others write: row groups that are not episodes


def numbers(path):
    return [e.meta["number"] for e in EpisodeDataset(path)]


MARKS = {
    "NaN": lambda actions: (np.where(np.array(ABSENT)[:, None], np.nan, actions), None),
    "one NaN in a row": lambda actions: (np.where(np.array(ABSENT)[:, None] & (np.arange(7) == 3), np.nan, actions), None),
    "zeros under a mask": lambda actions: (np.where(np.array(ABSENT)[:, None], 0, actions), pa.array(~np.array(ABSENT))),
    "rubbish under a mask": lambda actions: (np.where(np.array(ABSENT)[:, None], 1e9, actions), pa.array(~np.array(ABSENT))),
    "numbers": lambda actions: (actions, pa.array(1 - np.array(ABSENT, int))),
    "lists of one": lambda actions: (actions, pa.array([[float(not a)] for a in ABSENT], pa.list_(pa.float32(), 1))),
    "empty cells": lambda actions: (actions, pa.array([None if a else True for a in ABSENT])),
}


@pytest.fixture(params=MARKS)
def mixed(request, tmp_path):
    path = write_dataset(tmp_path / "mixed", episodes()).path
    actions, mask = MARKS[request.param](EpisodeDataset(path).actions())
    name = "has_action" if request.param == "numbers" else "action_mask"
    put(path, actions, mask, name)
    return path


def test_the_two_are_taken_apart_and_nothing_masked_is_learnt_from(mixed, tmp_path):
    robot = EpisodeDataset(subset(mixed, tmp_path / "robot", embodiment="robot").path)
    human = EpisodeDataset(subset(mixed, tmp_path / "human", embodiment="human").path)
    assert (numbers(robot.path), numbers(human.path)) == ([0, 2], [1, 3])
    source = list(episodes())
    expected = np.concatenate([source[i].actions for i in (0, 2)])
    np.testing.assert_array_equal(robot.actions(), expected)
    np.testing.assert_array_equal(ActionStats.fit(robot.actions()).q99, ActionStats.fit(expected).q99)
    assert human.embodiment == "human" and "action" not in pq.read_schema(human.path / DATA).names
    assert [s.action is None for s in Mixture(robot, human, 4, 1.0).batch(0)] == [False] * 4 + [True] * 4
    np.testing.assert_array_equal(human[1].frames, source[3].frames)
    assert not examine(robot.path).bad


def test_a_mixed_folder_is_not_trained_on_as_it_is(mixed, tmp_path):
    with pytest.raises(RadliteError, match="--embodiment"):
        EpisodeDataset(mixed).actions()
    with pytest.raises(RadliteError, match="--embodiment"):
        EpisodeDataset(mixed).frame(0)
    with pytest.raises(RadliteError, match="none in frame 0 of episode 1.*--embodiment"):
        subset(mixed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = examine(mixed)
    assert [f.episode for f in report.of("action")] == [1, 3] and [f.frames for f in report.of("action")] == [4, 5]
    assert report.vectors["action"]["count"] == [5] and report.vectors["action"]["max"][0] <= 0.2


def test_an_episode_that_is_masked_in_part_is_in_neither(tmp_path):
    path = write_dataset(tmp_path / "mixed", episodes()).path
    mask = np.ones(14, bool)
    mask[[1, *range(9, 14)]] = False
    put(path, mask=pa.array(mask))
    lines = []
    subset(path, tmp_path / "robot", embodiment="robot", told=lines.append)
    subset(path, tmp_path / "human", embodiment="human")
    assert (numbers(tmp_path / "robot"), numbers(tmp_path / "human")) == ([1, 2], [3])
    assert lines[0] == "1 episodes of mixed have an action in some of their frames only: left out"


def test_zeros_are_refused_where_one_trains_and_can_be_looked_at(tmp_path):
    path = write_dataset(tmp_path / "zeros", episodes()).path
    actions = EpisodeDataset(path).actions()
    actions[3:7, :6] = 0  # the gripper alone moves nothing
    put(path, actions)
    assert not EpisodeDataset(path)[1].actions[:, :6].any()
    with pytest.raises(RadliteError, match="zero-filled actions in 1 of 4 episodes, the first of them episode 1"):
        EpisodeDataset(path).actions()
    actions[5, 2] = 1e-3
    put(path, actions)
    assert len(EpisodeDataset(path).actions()) == 14


def test_a_column_that_is_no_mask_is_told():
    table = pa.table({"action_mask": pa.array(["maybe"] * 2)})
    with pytest.raises(RadliteError, match="true and false in column 'action_mask'"):
        without_action(table, ["action_mask"])


def test_rows_without_numbers_have_no_action(tmp_path):
    rows = [[1.0, 2.0], [], None, [1.0, float("nan")], [0.0, 0.0]]
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float64())):
        pq.write_table(pa.table({"action": pa.array(rows, kind)}), tmp_path / "x.parquet", row_group_size=2)
        assert frames_with_action(tmp_path / "x.parquet", "action", []).tolist() == [True, False, False, False, True]
