"""Episodes on disk: what goes in comes out, and whatever goes wrong leaves nothing half-written."""

import errno
import io
import json
import os
import shutil
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from radlite.episodes import Episode, EpisodeDataset, Sample, write_dataset
from radlite.errors import RadliteError
from radlite.formats import lerobot_writer
from radlite.reasoning import Box, Reasoning
from radlite.validate import examine

CHAIN = Reasoning(
    task="Lift the can.", bboxes=(Box("a can", (1, 2, 30, 40)),), move="move up", gripper=((5, 6), (7, 8))
)


def episode(embodiment="robot", length=3, seed=0, size=(6, 8), **changes):
    rng = np.random.default_rng(seed)
    vectors = {name: rng.normal(size=(length, 7)).astype(np.float32) for name in ("actions", "states")}
    if embodiment == "human":
        vectors["actions"] = None
    fields = {
        "instruction": f"lift can {seed % 2}",
        "frames": rng.integers(0, 256, (length, *size, 3), np.uint8),
        "reasoning": [CHAIN, *[None] * (length - 1)],
        "embodiment": embodiment,
        **vectors,
        "meta": {"seed": seed},
        **changes,
    }
    return Episode(**fields)


def same(a, b):
    assert (a.instruction, a.embodiment, a.fps, a.reasoning, a.meta) == (
        b.instruction,
        b.embodiment,
        b.fps,
        b.reasoning,
        b.meta,
    )
    for name in ("frames", "actions", "states"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert left.dtype == right.dtype and left.shape == right.shape
            np.testing.assert_array_equal(left, right)


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "robot"
    write_dataset(path, [episode(length=3), episode(length=2, seed=1)])
    return path


@pytest.fixture
def dataset(written, tmp_path):
    """A dataset of 3 + 2 frames to spoil."""
    return shutil.copytree(written, tmp_path / "robot")


def rewrite(path, change):
    """Change the table of a parquet file."""
    pq.write_table(change(pq.read_table(path)), path)


def edit_info(path, **changes):
    info = json.loads((path / "meta/info.json").read_text())
    (path / "meta/info.json").write_text(json.dumps(info | changes))


DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
WORDS = st.from_regex(r"[a-zé网]+( [a-z]+){0,3}", fullmatch=True)
POINT = st.integers(0, 255)
BOX = st.tuples(WORDS, POINT, POINT, POINT, POINT).map(
    lambda b: Box(b[0], (min(b[1], b[3]), min(b[2], b[4]), max(b[1], b[3]), max(b[2], b[4])))
)
CHAINS = st.none() | st.builds(
    Reasoning,
    task=st.none() | WORDS,
    move_reason=st.none() | WORDS,
    bboxes=st.none() | st.lists(BOX, max_size=2).map(tuple),
    gripper=st.none() | st.lists(st.tuples(POINT, POINT), min_size=1, max_size=5).map(tuple),
)
NUMBERS = st.floats(-9, 9, width=32)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.floats(-9, 9)


@st.composite
def episodes(draw):
    embodiment, states = draw(st.sampled_from(["robot", "human"])), draw(st.booleans())
    height, width, fps = draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.sampled_from([5.0, 12.5]))

    def one():
        length = draw(st.integers(1, 3))
        rows = st.lists(NUMBERS, min_size=7 * length, max_size=7 * length)
        vectors = rows.map(lambda values: np.array(values, np.float32).reshape(length, 7))
        frames = np.random.default_rng(draw(st.integers(0, 99))).integers(
            0, 256, (length, height, width, 3), np.uint8
        )
        return Episode(
            instruction=draw(WORDS),
            frames=frames,
            reasoning=draw(st.lists(CHAINS, min_size=length, max_size=length)),
            embodiment=embodiment,
            actions=draw(vectors) if embodiment == "robot" else None,
            states=draw(vectors) if states else None,
            fps=fps,
            meta=draw(st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)),
        )

    return [one() for _ in range(draw(st.integers(1, 3)))]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=episodes(), image_format=st.sampled_from(["png", "webp"]))
def test_round_trip(tmp_path, written, image_format):
    info = write_dataset(tmp_path / "set", iter(written), image_format=image_format, overwrite=True)
    opened = EpisodeDataset(tmp_path / "set")
    assert len(opened) == opened.num_episodes == info.num_episodes == len(written)
    assert opened.num_frames == info.num_frames == sum(map(len, written))
    assert opened.instructions == info.instructions == tuple(dict.fromkeys(e.instruction for e in written))
    for before, after, cached in zip(written, opened, EpisodeDataset(tmp_path / "set").cache(), strict=True):
        same(before, after)
        same(before, cached)


def test_frames_are_numbered_through(dataset):
    for opened in (EpisodeDataset(dataset), EpisodeDataset(dataset).cache()):
        assert [(s.episode, s.step) for s in map(opened.frame, range(5))] == [
            (0, 0),
            (0, 1),
            (0, 2),
            (1, 0),
            (1, 1),
        ]
        assert [opened.episode_slice(i) for i in (0, 1, -1)] == [slice(0, 3), slice(3, 5), slice(3, 5)]
        sample, source = opened.frame(4), episode(length=2, seed=1)
        assert isinstance(sample, Sample) and sample.instruction == "lift can 1" and sample.reasoning is None
        np.testing.assert_array_equal(sample.image, source.frames[1])
        np.testing.assert_array_equal(sample.action, source.actions[1])
        np.testing.assert_array_equal(opened.actions()[3:], source.actions)
        assert opened.frame(3).reasoning is opened.frame(3).reasoning == CHAIN  # parsed once, then kept
        for bad in (5, -6):
            with pytest.raises(RadliteError, match="frame 0 to 4"):
                opened.frame(bad)
            with pytest.raises(RadliteError, match="episode 0 to 1"):
                opened[bad]


def test_loaded_episodes_are_mine_and_the_dataset_is_not(dataset):
    opened = EpisodeDataset(dataset).cache()
    mine = opened[0]
    mine.frames[:], mine.actions[:] = 0, 0
    same(opened[0], episode(length=3))
    with pytest.raises(ValueError, match="read-only"):
        opened.frame(0).image[:] = 0


def test_human_dataset_has_no_action_anywhere(tmp_path):
    write_dataset(tmp_path / "human", [episode("human")])
    opened = EpisodeDataset(tmp_path / "human")
    assert "action" not in json.loads((tmp_path / "human/meta/info.json").read_text())["features"]
    assert "action" not in json.loads((tmp_path / "human/meta/stats.json").read_text())
    assert "action" not in pq.read_schema(tmp_path / "human" / DATA).names
    assert opened.embodiment == "human" and opened.frame(0).action is None and opened[0].actions is None
    with pytest.raises(RadliteError, match="without actions"):
        opened.actions()


def nan(length=3):
    return np.full((length, 7), np.nan, np.float32)


@pytest.mark.parametrize(
    ("embodiment", "changes", "message"),
    [
        ("robot", {"frames": np.zeros((0, 6, 8, 3), np.uint8)}, "no frames"),
        ("robot", {"frames": np.zeros((3, 6, 8, 3), np.float32)}, "float32"),
        ("robot", {"frames": np.zeros((3, 6, 8), np.uint8)}, "uint8"),
        ("robot", {"frames": None}, "no frames"),
        ("robot", {"reasoning": [None]}, "3 reasonings"),
        ("robot", {"reasoning": ["TASK: x"] * 3}, "str at step 0"),
        ("robot", {"reasoning": [None, None, Reasoning(bboxes=(Box("a", (0, 0, 300, 9)),))]}, "at step 2"),
        ("robot", {"actions": None}, "actions in a robot episode"),
        ("robot", {"actions": np.zeros((2, 7), np.float32)}, r"\(2, 7\)"),
        ("robot", {"actions": np.zeros((3, 6), np.float32)}, r"\(3, 6\)"),
        ("robot", {"actions": nan()}, "NaN or infinity at step 0"),
        ("robot", {"actions": np.full((3, 7), 1e300)}, "NaN or infinity"),
        ("robot", {"states": nan()}, "states"),
        ("human", {"actions": np.zeros((3, 7), np.float32)}, "no actions in a human"),
        ("animal", {}, "animal"),
        ("robot", {"instruction": " "}, "instruction"),
        ("robot", {"fps": 0}, "fps"),
        ("robot", {"fps": float("nan")}, "fps"),
        ("robot", {"meta": {"a": [1]}}, "meta"),
        ("robot", {"meta": {"a": float("inf")}}, "meta"),
    ],
)
def test_bad_episodes_are_refused(tmp_path, embodiment, changes, message):
    bad = episode(embodiment, **changes)
    with pytest.raises(RadliteError, match=message):
        bad.validate()
    with pytest.raises(RadliteError, match=message):
        write_dataset(tmp_path / "x", [bad])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (episode("human"), "one embodiment"),
        (episode(size=(5, 8)), "one frame size"),
        (episode(fps=10.0), "one fps"),
        (episode(states=None), "one presence of states"),
        (episode(instruction="half \ud800"), "UTF-8"),
        ("not an episode", "Episode objects"),
    ],
)
def test_misfits_are_refused_and_leave_nothing(tmp_path, other, message):
    with pytest.raises(RadliteError, match=message):
        write_dataset(tmp_path / "deep" / "x", [episode(), other])
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_write(tmp_path):
    for arguments in ({"episodes": []}, {"episodes": [episode()], "image_format": "jpeg"}):
        with pytest.raises(RadliteError):
            write_dataset(tmp_path / "x", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_existing_folders_are_safe(tmp_path, dataset):
    before = tree(tmp_path)
    with pytest.raises(RadliteError, match="overwrite=True"):
        write_dataset(dataset, [episode("human")])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RadliteError, match="a file"):
        write_dataset(tmp_path / "file", [episode()], overwrite=True)
    (dataset / "thesis.tex").write_text("mine")
    with pytest.raises(RadliteError, match="thesis"):
        write_dataset(dataset, [episode()], overwrite=True)
    assert tree(tmp_path) == before | {"file": b"mine", "robot/thesis.tex": b"mine"}


def test_a_dataset_can_be_rewritten_from_itself(tmp_path, dataset):
    opened = EpisodeDataset(dataset)
    write_dataset(dataset, (e for e in opened if e.meta["seed"] == 1), overwrite=True)
    assert len(EpisodeDataset(dataset)) == 1 and [p.name for p in tmp_path.iterdir()] == ["robot"]


@pytest.mark.parametrize("error", [ZeroDivisionError("mine"), OSError("mine"), KeyboardInterrupt("mine")])
def test_a_failing_generator_leaves_no_trace(tmp_path, dataset, error):
    def half():
        yield episode(seed=7)
        raise error

    before = tree(tmp_path)
    for target, overwrite in ((dataset, True), (tmp_path / "new" / "deep", False)):
        with pytest.raises(type(error), match="mine"):
            write_dataset(target, half(), overwrite=overwrite)
        assert tree(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["robot"]


@pytest.mark.parametrize("where", ["write_table", "close", "meta", "rename"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path, dataset, monkeypatch, where):
    close = pq.ParquetWriter.close

    def full(*arguments, **_):
        if where == "close":
            close(*arguments)
        raise OSError(errno.ENOSPC, "No space left on device")

    before = tree(tmp_path)
    target = {"meta": (lerobot_writer, "_write_json"), "rename": (os, "replace")}.get(
        where, (pq.ParquetWriter, where)
    )
    monkeypatch.setattr(*target, full)
    for path, overwrite in ((dataset, True), (tmp_path / "new", False)):
        with pytest.raises(RadliteError, match="free some disk space"):
            write_dataset(path, [episode(seed=7), episode(seed=8)], overwrite=overwrite)
        assert tree(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["robot"]


def test_the_old_dataset_returns_if_the_new_one_cannot_move_in(tmp_path, dataset, monkeypatch):
    before, replace = tree(tmp_path), os.replace

    def picky(source, target):
        if ".partial-" in str(source):
            raise PermissionError(errno.EACCES, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", picky)
    with pytest.raises(RadliteError, match="Permission denied"):
        write_dataset(dataset, [episode(seed=7)], overwrite=True)
    assert tree(tmp_path) == before and [p.name for p in tmp_path.iterdir()] == ["robot"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RadliteError, match="to be able to write"):
        write_dataset(tmp_path / "file" / "x", [episode()])
    if os.name == "posix" and os.geteuid() != 0:  # root may write anywhere
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(RadliteError, match="Permission denied"):
            write_dataset(tmp_path / "locked" / "x", [episode()])
    assert not (tmp_path / "x").exists()


def test_same_episodes_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_dataset(tmp_path / name, [episode(), episode(seed=1)])
    write_dataset(tmp_path / "c", [episode(), episode(seed=1, instruction="lift can 2")])
    a, b, c = (EpisodeDataset(tmp_path / name).sha256 for name in "abc")
    assert tree(tmp_path / "a") == tree(tmp_path / "b") and a == b != c and len(a) == 64
    (tmp_path / "b/README.md").write_text("a better card")
    assert EpisodeDataset(tmp_path / "b").sha256 == a


def test_stats_are_those_of_the_frames(dataset):
    stats, opened = json.loads((dataset / "meta/stats.json").read_text()), EpisodeDataset(dataset)
    states, pixels = (
        np.concatenate([e.states for e in opened]),
        np.concatenate([e.frames for e in opened]) / 255,
    )
    for name, values in (("action", opened.actions()), ("observation.state", states)):
        of = {
            "min": np.min,
            "max": np.max,
            "mean": np.mean,
            "std": np.std,
            **{f"q{q:02}": partial(np.quantile, q=q / 100) for q in (1, 10, 50, 90, 99)},
        }
        assert set(stats[name]) == {*of, "count"} and stats[name]["count"] == [5]
        for key, function in of.items():
            np.testing.assert_allclose(stats[name][key], function(values.astype(np.float64), axis=0))
    image = stats["observation.images.main"]
    for key, function in (("min", np.min), ("max", np.max), ("mean", np.mean), ("std", np.std)):
        np.testing.assert_allclose(image[key], function(pixels, axis=(0, 1, 2)).reshape(3, 1, 1))
    for key, share in (("q01", 0.01), ("q10", 0.1), ("q50", 0.5), ("q90", 0.9), ("q99", 0.99)):
        expected = np.quantile(pixels, share, axis=(0, 1, 2), method="inverted_cdf").reshape(3, 1, 1)
        np.testing.assert_allclose(image[key], expected)
    assert image["count"] == [5]


def test_layout_is_lerobots(dataset):
    info = json.loads((dataset / "meta/info.json").read_text())
    assert (
        info["codebase_version"] == "v3.0" and info["splits"] == {"train": "0:2"} and info["total_tasks"] == 2
    )
    assert info["features"]["action"] == {
        "dtype": "float32",
        "shape": [7],
        "names": ["dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper"],
    }
    assert info["features"]["observation.images.main"]["shape"] == [6, 8, 3]
    table = pq.read_table(dataset / DATA)
    assert set(table.column_names) == set(info["features"])
    assert table["index"].to_pylist() == [0, 1, 2, 3, 4] and table["frame_index"].to_pylist() == [
        0,
        1,
        2,
        0,
        1,
    ]
    np.testing.assert_allclose(table["timestamp"].to_pylist(), [0, 0.2, 0.4, 0, 0.2], rtol=1e-6)
    assert table.schema.field("observation.images.main").type == pa.struct(
        [("bytes", pa.binary()), ("path", pa.string())]
    )
    rows = pq.read_table(dataset / EPISODES).to_pylist()
    assert (
        rows[1]["dataset_from_index"] == 3
        and rows[1]["tasks"] == ["lift can 1"]
        and rows[1]["meta"] == '{"seed": 1}'
    )
    card = (dataset / "README.md").read_text()
    assert "5 frames of 6x8" in card and "license: mit" in card and "metres" in card


def test_pandas_sees_the_task_as_index(dataset):
    tasks = pytest.importorskip("pandas").read_parquet(dataset / "meta/tasks.parquet")
    assert tasks.loc["lift can 1", "task_index"] == 1 and tasks.iloc[0].name == "lift can 0"


def test_many_files_and_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_writer, "FILE_MB", 0)  # every episode fills a file
    monkeypatch.setattr(lerobot_writer, "CHUNK_FILES", 2)
    written = [episode(seed=seed, length=seed + 1) for seed in range(5)]
    write_dataset(tmp_path / "set", written)
    names = [p.relative_to(tmp_path).as_posix() for p in sorted((tmp_path / "set/data").rglob("*.parquet"))]
    assert (
        names[1:3] == ["set/data/chunk-000/file-001.parquet", "set/data/chunk-001/file-000.parquet"]
        and len(names) == 5
    )
    rows = pq.read_table(tmp_path / "set" / EPISODES).to_pylist()
    assert [(row["data/chunk_index"], row["data/file_index"]) for row in rows] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (2, 0),
    ]
    opened = EpisodeDataset(tmp_path / "set").cache()
    for before, after in zip(written, opened, strict=True):
        same(before, after)


def test_datasets_of_others(dataset):
    """Another camera's name, plain lists, other text type, one big row group over two files, tasks as JSON
    lines, statistics in the episodes table, no word of radlite."""
    source = [*EpisodeDataset(dataset)]
    table = pq.read_table(dataset / DATA).drop_columns(["reasoning"])
    front = [name.replace("main", "front") for name in table.column_names]
    table = table.rename_columns(front).set_column(
        front.index("action"),
        "action",
        pa.chunked_array([pa.array(table["action"].to_pylist(), pa.list_(pa.float64()))]),
    )
    pq.write_table(table.slice(0, 4), dataset / DATA)  # a file ends inside an episode
    (dataset / "data/chunk-1000").mkdir()
    pq.write_table(table.slice(4), dataset / "data/chunk-1000/file-000.parquet")
    info = json.loads((dataset / "meta/info.json").read_text())
    features = {
        name.replace("main", "front"): f for name, f in info["features"].items() if name != "reasoning"
    }
    features["observation.images.front"] |= {"shape": [3, 6, 8], "names": ["channels", "height", "width"]}
    features["observation.images.wrist"] = {"dtype": "video", "shape": [6, 8, 3], "names": None}
    edit_info(dataset, features=features, radlite=None)
    tasks = pq.read_table(dataset / "meta/tasks.parquet").to_pylist()
    (dataset / "meta/tasks.parquet").unlink()
    (dataset / "meta/tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)))
    rewrite(
        dataset / EPISODES,
        lambda t: t.drop_columns(["meta"]).append_column("stats/action/min", pa.array([[0.0]] * 2)),
    )
    opened = EpisodeDataset(dataset)
    assert opened.embodiment == "robot" and opened.image_shape == (6, 8, 3)
    for before, after in zip(source, opened, strict=True):
        same(Episode(**vars(before) | {"reasoning": [None] * len(before), "meta": {}}), after)
    np.testing.assert_array_equal(opened.cache().frame(4).image, source[1].frames[1])
    with pytest.raises(RadliteError, match="wrist"):
        EpisodeDataset(dataset, camera="observation.images.wrist")


def test_states_of_another_width_are_left_out(dataset):
    """Joint angles are no pose of a gripper; everything else of such a robot's data is."""
    source, angles = [*EpisodeDataset(dataset)], [[0.5] * 8] * 5
    replace_column("observation.state", angles, pa.list_(pa.float32(), 8))(dataset)
    rewritten_features(**{"observation.state": {"shape": [8], "names": None}})(dataset)
    for before, after in zip(source, EpisodeDataset(dataset), strict=True):
        same(replace(before, states=None), after)
    assert not examine(dataset).bad


def drop(name):
    return lambda path: rewrite(path / DATA, lambda t: t.drop_columns([name]))


def replace_column(name, values, kind=None):
    def change(table):
        return table.set_column(table.column_names.index(name), name, pa.array(values, kind))

    return lambda path: rewrite(path / DATA, change)


def pictures(data):
    return replace_column("observation.images.main", [{"bytes": data, "path": "x.png"}] * 5)


def rewritten_features(**changes):
    def change(path):
        features = json.loads((path / "meta/info.json").read_text())["features"]
        edit_info(path, features={name: {**f, **changes.get(name, {})} for name, f in features.items()})

    return change


def gif():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "GIF")
    return buffer.getvalue()


BROKEN = {
    "no folder": (lambda p: os.rename(p, p.with_name("gone")), "info.json"),
    "no info": (lambda p: (p / "meta/info.json").unlink(), "info.json"),
    "info is no JSON": (lambda p: (p / "meta/info.json").write_text("{"), "JSON in .*info.json"),
    "info is no object": (lambda p: (p / "meta/info.json").write_text("[]"), "codebase_version"),
    "old version": (lambda p: edit_info(p, codebase_version="v2.1"), "v2.1"),
    "no features": (lambda p: edit_info(p, features=None), "'features'"),
    "odd feature": (lambda p: edit_info(p, features={"action": 7}), "feature 'action'"),
    "no fps": (lambda p: edit_info(p, fps="fast"), "'fps'"),
    "bad fps": (lambda p: edit_info(p, fps=0), "'fps'"),
    "counts differ": (lambda p: edit_info(p, total_frames=9), "9 in info.json"),
    "robot without action": (
        lambda p: edit_info(
            p,
            features={
                k: v
                for k, v in json.loads((p / "meta/info.json").read_text())["features"].items()
                if k != "action"
            },
        ),
        "without the feature 'action'",
    ),
    "human with action": (
        lambda p: edit_info(p, radlite={"embodiment": "human"}),
        "with the feature 'action'",
    ),
    "no picture feature": (
        rewritten_features(**{"observation.images.main": {"dtype": "video"}}),
        "observation.images.main",
    ),
    "odd picture shape": (rewritten_features(**{"observation.images.main": {"shape": [6, 8]}}), "shape"),
    "no data": (lambda p: (p / DATA).unlink(), "file-000.parquet"),
    "data cut off": (lambda p: (p / DATA).write_bytes((p / DATA).read_bytes()[:-50]), DATA),
    "data garbled": (
        lambda p: (p / DATA).write_bytes(b"PAR1" + b"\0" * 900 + (p / DATA).read_bytes()[904:]),
        "file-000|column",
    ),
    "no tasks": (lambda p: (p / "meta/tasks.parquet").unlink(), "tasks.parquet"),
    "tasks without task": (
        lambda p: rewrite(p / "meta/tasks.parquet", lambda t: t.drop_columns(["task"])),
        "'task'",
    ),
    "tasks without index": (
        lambda p: rewrite(p / "meta/tasks.parquet", lambda t: t.drop_columns(["task_index"])),
        "'task_index'",
    ),
    "task unknown": (replace_column("task_index", [9] * 5), "task_index 9"),
    "task missing": (replace_column("task_index", [None] * 5, pa.int64()), "task_index"),
    "no episodes": (lambda p: (p / EPISODES).unlink(), "episodes"),
    "episodes garbled": (lambda p: (p / EPISODES).write_bytes(b"not parquet"), EPISODES),
    "episodes incomplete": (
        lambda p: rewrite(p / EPISODES, lambda t: t.drop_columns(["dataset_to_index"])),
        "'dataset_to_index'",
    ),
    "episodes overlap": (
        lambda p: rewrite(
            p / EPISODES,
            lambda t: t.set_column(
                t.column_names.index("dataset_from_index"), "dataset_from_index", pa.array([0, 2])
            ),
        ),
        "dataset_from_index",
    ),
    "episode notes broken": (
        lambda p: rewrite(
            p / EPISODES, lambda t: t.set_column(t.column_names.index("meta"), "meta", pa.array(["{", "3"]))
        ),
        "'meta'",
    ),
    "no action column": (drop("action"), "column 'action'"),
    "no picture column": (drop("observation.images.main"), "column 'observation.images.main'"),
    "no reasoning column": (drop("reasoning"), "column 'reasoning'"),
    "no task column": (drop("task_index"), "column 'task_index'"),
    "NaN action": (replace_column("action", [[float("nan")] * 7] * 5), "NaN.*frame 0"),
    "missing action": (replace_column("action", [None, *[[0.0] * 7] * 4]), "column 'action'"),
    "ragged action": (replace_column("action", [[0.0] * 7] * 3 + [[0.0] * 6, [0.0] * 8]), "6.* in frame 3"),
    "an action for every joint": (rewritten_features(action={"shape": [6]}), r"7 numbers in column 'action'.*shape \[6\]"),
    "action of words": (replace_column("action", ["left"] * 5), "column 'action'"),
    "action of lists of words": (replace_column("action", [["left"] * 7] * 5), "column 'action'"),
    "reasoning is no JSON": (replace_column("reasoning", ["{"] * 5), "'reasoning', frame 0"),
    "reasoning is no object": (replace_column("reasoning", ["[1]"] * 5), "'reasoning', frame 0"),
    "reasoning of a strange field": (
        replace_column("reasoning", ['{"mood": "good"}'] * 5),
        "'reasoning', frame 0",
    ),
    "picture missing": (pictures(None), "'observation.images.main'"),
    "picture garbled": (pictures(b"\x89PNG\r\n\x1a\n nothing"), "'observation.images.main'"),
    "picture of another kind": (pictures(gif()), "'observation.images.main'"),
    "pictures are numbers": (replace_column("observation.images.main", [1] * 5), "'observation.images.main'"),
    "picture of another size": (
        rewritten_features(**{"observation.images.main": {"shape": [7, 8, 3]}}),
        "6x8",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_datasets_are_named(dataset, case):
    spoil, message = BROKEN[case]
    spoil(dataset)
    with pytest.raises(RadliteError, match=message):
        opened = EpisodeDataset(dataset)
        list(opened)
    with pytest.raises(RadliteError):
        opened = EpisodeDataset(dataset).cache()
        list(opened)


def test_opening_and_drawing_are_quick(tmp_path):
    """Opening must not depend on the pictures (bounds are tenfold what a small machine needs)."""
    frames = np.zeros((35, 16, 16, 3), np.uint8)
    still = episode(length=35, frames=frames)
    write_dataset(tmp_path / "set", (still for _ in range(100)))
    start = time.perf_counter()
    opened = EpisodeDataset(tmp_path / "set")
    assert time.perf_counter() - start < 0.5
    opened.cache()
    opened.frame(0)  # columns are read now
    start = time.perf_counter()
    for k in range(opened.num_frames):
        opened.frame(k)
    assert (time.perf_counter() - start) / opened.num_frames < 200e-6
