"""`radlite data`: every defect is found where it is, nothing is dropped in silence, and no damage does more than be reported."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite.cli import main
from radlite.episodes import Episode, EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.escape import escaped
from radlite.findings import ERRORS, REMARKS
from radlite.formats import lerobot_rows
from radlite.quarantine import good_episodes
from radlite.reasoning import Box, Reasoning
from radlite.validate import examine

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples"
DATA, EPISODES = "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"
IMAGE = "observation.images.main"
CHAIN = Reasoning(task="Lift the can.", bboxes=(Box("a can", (1, 2, 30, 40)),), move="move up", gripper=((5, 6), (7, 8)))
LENGTHS = (3, 2, 4)  # of the episodes of both datasets
STARTS = (0, 3, 5, 9)
HOSTILE = "lift \x1b[31m\u202ethe can\u2028\x07"


def episode(embodiment="robot", length=3, seed=0, **changes):
    rng = np.random.default_rng(seed)
    vectors = {name: rng.uniform(0.01, 0.05, (length, 7)).astype(np.float32) for name in ("actions", "states")}
    if embodiment == "human":
        vectors["actions"] = None
    frames = rng.integers(0, 256, (length, 6, 8, 3), np.uint8)
    return Episode(**{"instruction": f"lift can {seed}", "frames": frames, "reasoning": [CHAIN] * length,
                      "embodiment": embodiment, **vectors, "meta": {"seed": seed}, **changes})  # fmt: skip


def same(a, b):
    assert (a.instruction, a.embodiment, a.fps, a.reasoning, a.meta) == (b.instruction, b.embodiment, b.fps, b.reasoning, b.meta)
    for name in ("frames", "actions", "states"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    for kind in ("robot", "human"):
        write_dataset(folder / kind, [episode(kind, n, seed) for seed, n in enumerate(LENGTHS)])
    return folder


@pytest.fixture
def robot(written, tmp_path):
    """A dataset of 3 + 2 + 4 frames to spoil."""
    return shutil.copytree(written / "robot", tmp_path / "robot")


@pytest.fixture
def human(written, tmp_path):
    return shutil.copytree(written / "human", tmp_path / "human")


def rewrite(path, name, change, file=DATA, kind=None):
    """Changes the values of a column, actions into lists of any length; one row group results."""
    table = pq.read_table(path / file)
    kind = kind or (pa.list_(pa.float64()) if name == "action" else table[name].type)
    values = pa.array(change(table[name].to_pylist()), kind)
    pq.write_table(table.set_column(table.column_names.index(name), name, values), path / file)


def at(name, rows, value, file=DATA):
    """Puts a value, or what a function makes of the old one, into some rows of a column."""

    def change(values):
        return [(value(v) if callable(value) else value) if k in rows else v for k, v in enumerate(values)]

    return lambda path: rewrite(path, name, change, file)


def chain(**fields):
    return json.dumps({"task": "x", **fields})


def edit_info(path, **changes):
    info = json.loads((path / "meta/info.json").read_text())
    (path / "meta/info.json").write_text(json.dumps(info | changes))


def edit_feature(path, name, **changes):
    features = json.loads((path / "meta/info.json").read_text())["features"]
    edit_info(path, features=features | {name: features[name] | changes})


def huge_png():
    """A few bytes that say they are a picture of 10^9 pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 31623, 31623, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def first_six_zero(action):
    return [0.0] * 6 + action[6:]


# name -> (what is done to a robot dataset, the check, {episode: (first frame, frames)})
DEFECTS = {
    "NaN in an action": (at("action", [4], [float("nan")] * 7), "action", {1: (1, 1)}),
    "infinite action": (at("action", [0, 1], [0.0] * 6 + [float("inf")]), "action", {0: (0, 2)}),
    "six numbers": (at("action", [5], [0.5] * 6), "action", {2: (0, 1)}),
    "no action": (at("action", [5, 6], None), "action", {2: (0, 2)}),
    "actions beyond float32": (at("action", [8], [1e300] * 7), "action", {2: (3, 1)}),
    "NaN in a state": (at("observation.state", [3], [float("nan")] * 7), "state", {1: (0, 1)}),
    "all zero": (at("action", range(3, 5), first_six_zero), "zeros", {1: (0, 2)}),
    "half a picture": (at(IMAGE, [2], lambda v: v | {"bytes": v["bytes"][:60]}), "picture", {0: (2, 1)}),
    "no picture": (at(IMAGE, [2], {"bytes": None, "path": "../../elsewhere.png"}), "picture", {0: (2, 1)}),
    "a picture of 10^9 pixels": (at(IMAGE, [7], {"bytes": huge_png(), "path": None}), "picture", {2: (2, 1)}),
    "pictures of another size": (lambda p: edit_feature(p, IMAGE, shape=[7, 8, 3]), "picture", {0: (0, 3), 1: (0, 2), 2: (0, 4)}),
    "JSON cut in the middle": (at("reasoning", [6], lambda v: v[: len(v) // 2]), "chain", {2: (1, 1)}),
    "no object": (at("reasoning", [6], "[1]"), "chain", {2: (1, 1)}),
    "null": (at("reasoning", [6], "null"), "chain", {2: (1, 1)}),
    "nested without end": (at("reasoning", [6], "[" * 100_000), "chain", {2: (1, 1)}),
    "unknown field": (at("reasoning", [0], chain(mood="good")), "chain", {0: (0, 1)}),
    "corners in another order": (at("reasoning", [0], chain(bboxes=[{"name": "a", "xyxy": [9, 9, 1, 1]}])), "chain", {0: (0, 1)}),
    "a box of words": (at("reasoning", [0], chain(bboxes=[{"name": "a", "xyxy": "left"}])), "chain", {0: (0, 1)}),
    "a tag in a text": (at("reasoning", [0], chain(plan="ACTION: 1")), "chain", {0: (0, 1)}),
    "half a character": (at("reasoning", [0], '{"task": "\\ud800"}'), "chain", {0: (0, 1)}),
    "a text too long": (at("reasoning", [0], chain(plan="x" * (1 << 20))), "chain", {0: (0, 1)}),
    "a box outside": (at("reasoning", [8], chain(bboxes=[{"name": "a", "xyxy": [0, 0, 257, 9]}])), "outside", {2: (3, 1)}),
    "a point outside": (at("reasoning", [8], chain(gripper=[[5, 256]])), "outside", {2: (3, 1)}),
    "a negative box": (at("reasoning", [4], chain(bboxes=[{"name": "a", "xyxy": [-1, 0, 5, 9]}])), "outside", {1: (1, 1)}),
    "blank instruction": (at("task", [1], "  ", "meta/tasks.parquet"), "instruction", {1: (0, 2)}),
    "unknown task": (at("task_index", [8], 99), "instruction", {2: (3, 1)}),
    "no task": (at("task_index", [8], None), "instruction", {2: (3, 1)}),
    "notes": (at("meta", [0], "{", EPISODES), "notes", {0: (0, 1)}),
    "notes that are a list": (at("meta", [2], "[1]", EPISODES), "notes", {2: (0, 1)}),
    "numbered as another episode": (at("episode_index", [3, 4], 0), "numbering", {1: (0, 2)}),
    "twice as fast": (at("timestamp", range(5, 9), lambda t: t / 2), "rate", {2: (1, 3)}),
    "no time": (at("timestamp", [1], None), "rate", {0: (1, 1)}),
    "no chain": (at("reasoning", [3], ""), "missing", {1: (0, 1)}),
    "an empty chain": (at("reasoning", [3], "{}"), "missing", {1: (0, 1)}),
    "a robot without any chain": (at("reasoning", range(9), None), "missing", {0: (0, 3), 1: (0, 2), 2: (0, 4)}),
    "centimetres": (at("action", [0], [4.0] + [0.0] * 6), "range", {0: (0, 1)}),
    "gripper from -1": (at("action", [0], [0.1] * 6 + [-1.0]), "range", {0: (0, 1)}),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_every_defect_is_found_where_it_is(robot, case):
    spoil, check, expected = DEFECTS[case]
    spoil(robot)
    report = examine(robot)
    assert {f.check for f in report.findings} == {check}
    assert {f.episode: (f.step, f.frames) for f in report.findings} == expected
    assert all(f.detail and (f.column in report.columns or f.column == "meta") for f in report.findings)
    assert set(report.bad) == (set(expected) if check in ERRORS else set())
    if check in ERRORS:
        for number, kept in zip(sorted({0, 1, 2} - set(expected)), good_episodes(report), strict=True):
            same(kept, episode("robot", LENGTHS[number], number))


def test_every_check_has_a_defect():
    assert {check for _, check, _ in DEFECTS.values()} | {"unreadable", "no chain"} == {*ERRORS, *REMARKS}


def test_a_human_episode_without_any_chain_is_bad(human):
    at("reasoning", [0, 1, 2, 4], "")(human)
    report = examine(human)
    assert [(f.episode, f.check, f.frames) for f in report.findings] == [(0, "missing", 3), (0, "no chain", 3), (1, "missing", 1)]
    assert list(report.bad) == [0] and "action" not in report.vectors and report.with_chain == 5


def test_a_broken_page_costs_its_episode_only(robot):
    column = pq.read_metadata(robot / DATA).row_group(1).column(2)
    data = bytearray((robot / DATA).read_bytes())
    begin = column.data_page_offset
    data[begin : begin + 20] = b"\xff" * 20
    (robot / DATA).write_bytes(data)
    report = examine(robot)
    assert [(f.episode, f.check, f.step, f.frames) for f in report.findings] == [(1, "unreadable", 0, 2)]
    assert "row group 1 of data/chunk-000/file-000.parquet" in report.findings[0].detail
    for number, kept in zip((0, 2), good_episodes(report), strict=True):
        same(kept, episode("robot", LENGTHS[number], number))


@pytest.mark.parametrize("kind", ["robot", "human"])
def test_the_shipped_samples_are_clean(kind):
    report, dataset = examine(SAMPLES / kind), EpisodeDataset(SAMPLES / kind)
    assert report.findings == [] and report.share_bad == 0 and report.pictures
    assert (report.num_episodes, report.num_frames, report.with_chain) == (len(dataset), dataset.num_frames, dataset.num_frames)
    assert set(report.instructions) == set(dataset.instructions) and sum(report.instructions.values()) == len(dataset)


def test_statistics_are_those_of_the_frames(robot):
    report, dataset = examine(robot, decode=False), EpisodeDataset(robot)
    stats = report.vectors["action"]
    np.testing.assert_allclose(stats["q99"], np.quantile(dataset.actions().astype(float), 0.99, axis=0))
    np.testing.assert_allclose(stats["min"], dataset.actions().min(0))
    assert stats["names"][:2] == ["dx", "dy"] and stats["count"] == [9] and report.lengths == list(LENGTHS)
    assert report.words["task"] == [9, 27, 3] and report.words["gripper"] == [9, 36, 4] and "plan" not in report.words
    assert not report.pictures


def test_more_episodes_in_a_row_group_than_rows_in_a_batch(tmp_path):
    whole = [episode(length=150, seed=1), episode(length=3, seed=2)]
    write_dataset(tmp_path / "a", whole)
    rewrite(tmp_path / "a", "index", lambda v: v)  # one row group
    at("timestamp", [140], 0.0)(tmp_path / "a")
    report = examine(tmp_path / "a")
    assert [(f.episode, f.check, f.step, f.frames) for f in report.findings] == [(0, "rate", 140, 1)]
    [kept] = good_episodes(report)
    same(kept, whole[1])
    at("timestamp", [140], 28.0)(tmp_path / "a")
    for kept, before in zip(good_episodes(examine(tmp_path / "a")), whole, strict=True):
        same(kept, before)


# ---------------------------------------------------------------------------------------- what leaves nothing to look at
def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def twice(path):
    rewrite(path, "episode_index", lambda v: [0, 0, 2], EPISODES)


BROKEN = {
    "truncated": (lambda p: cut(p / DATA), DATA),
    "without a footer": (lambda p: (p / DATA).write_bytes(b"PAR1"), DATA),
    "episodes truncated": (lambda p: cut(p / EPISODES), EPISODES),
    "wrong version": (lambda p: edit_info(p, codebase_version="v2.1"), "codebase_version.*v2.1"),
    "unknown dtype": (lambda p: edit_feature(p, "action", dtype="tensor"), "feature 'action'.*'tensor'"),
    "odd dtype": (lambda p: edit_feature(p, "action", dtype=["float32"]), "feature 'action'"),
    "a path upwards": (lambda p: edit_info(p, data_path="../../{chunk_index}.parquet"), r"'data_path'.*info.json.*\.\./"),
    "an absolute path": (lambda p: edit_info(p, data_path="/etc/passwd"), "'data_path'.*passwd"),
    "a path on Windows": (lambda p: edit_info(p, video_path="C:\\x"), "'video_path'"),
    "a path that is none": (lambda p: edit_info(p, video_path=7), "'video_path'"),
    "10^9 pixels": (lambda p: edit_feature(p, IMAGE, shape=[31623, 31623, 3]), f"feature '{IMAGE}'.*31623"),
    "10^7 frames": (lambda p: edit_info(p, total_frames=10**7), "10000000 in info.json"),
    "an episode twice": (twice, "'episode_index' of .*episode 0 twice"),
    "nested without end": (lambda p: (p / "meta/info.json").write_text("[" * 100_000), "Recursion|codebase_version"),
    "task numbers of words": (lambda p: rewrite(p, "task_index", lambda v: ["a"] * 9, kind=pa.string()), "'task_index'.*string"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_read_is_named(robot, case, capsys):
    spoil, message = BROKEN[case]
    spoil(robot)
    with pytest.raises(RadliteError, match=message):
        examine(robot)
    assert main(["data", "info", str(robot)]) == 2
    printed = capsys.readouterr()
    assert not printed.out and printed.err.startswith("radlite: expected") and printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("limit", "message"),
    [("MOST_FRAMES", "frames in .*found 9"), ("MOST_EPISODES", "at most 2 episodes"), ("MOST_GROUP", "row group 0"),
     ("MOST_META", "info.json")],
)  # fmt: skip
def test_limits(robot, limit, message, monkeypatch):
    monkeypatch.setattr(lerobot_rows, limit, 2)
    with pytest.raises(RadliteError, match=message):
        examine(robot)


def test_one_long_text_in_every_row_is_in_memory_once(tmp_path):
    """A file of some kilobytes that unpacks to 600 MB, were it read as plain text."""
    write_dataset(tmp_path / "a", [episode(length=300, frames=np.zeros((300, 1, 1, 3), np.uint8))])
    table = pq.read_table(tmp_path / "a" / DATA)
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["x" * (2 << 20)]))
    table = table.set_column(table.column_names.index("reasoning"), "reasoning", long)
    pq.write_table(table, tmp_path / "a" / DATA, store_schema=False, dictionary_pagesize_limit=1 << 26)
    assert (tmp_path / "a" / DATA).stat().st_size < 300_000
    usual, counted = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    pa.set_memory_pool(counted)
    try:
        report = examine(tmp_path / "a")
    finally:
        pa.set_memory_pool(usual)
    assert [(f.check, f.frames) for f in report.findings] == [("chain", 300)]
    assert 2 << 20 < counted.max_memory() < 50 << 20


FILES = (DATA, EPISODES, "meta/tasks.parquet", "meta/info.json")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=8), st.booleans())
def test_damage_at_any_byte_is_reported(written, tmp_path_factory, file, where, junk, truncate):
    path = shutil.copytree(written / "robot", tmp_path_factory.mktemp("damaged") / "robot")
    data = (path / file).read_bytes()
    begin = int(where * len(data))
    (path / file).write_bytes(data[:begin] if truncate else data[:begin] + junk + data[begin + len(junk) :])
    try:
        report = examine(path)
        kept = list(good_episodes(report))
    except RadliteError:
        return
    assert len(kept) + len(report.bad) == report.num_episodes == len(report.lengths)  # none is dropped in silence


# ------------------------------------------------------------------------------------------------------------ commands
def run(*argv, expect=0):
    assert main(["data", *map(str, argv)]) == expect


def row(text, title):
    [line] = [line for line in text.splitlines() if line.strip().startswith(title)]
    return line.strip().removeprefix(title).split()


def test_info(capsys):
    run("info", SAMPLES / "robot")
    text = capsys.readouterr().out
    for fact in ("17 robot episodes", "18 to 60 frames", "510 frames of 96x96", "at 5 a second", "100.0%", "16 instructions",
                 '"pick up the white mug" (2)', "action (float32)"):  # fmt: skip
        assert fact in text


def test_stats(capsys):
    run("stats", SAMPLES / "robot")
    text = capsys.readouterr().out
    assert row(text, "dx") == ["-0.0450", "-0.0450", "-0.0012", "0.0450", "0.0450"]
    assert row(text, "task")[0] == "510" and '2  "pick up the white mug"' in text
    run("stats", SAMPLES / "human", "--json")
    stats = json.loads(capsys.readouterr().out)
    assert stats["num_frames"] == sum(stats["lengths"]) == 479 and set(stats["vectors"]) == {"observation.state"}
    assert stats["words"]["move"]["frames"] == 479 and sum(stats["instructions"].values()) == 18


def test_card_is_the_one_that_was_written(tmp_path, capsys):
    for kind in ("robot", "human"):
        card = (SAMPLES / kind / "README.md").read_text()
        run("card", SAMPLES / kind)
        assert capsys.readouterr().out == card
    bare = shutil.copytree(SAMPLES / "human", tmp_path / "human")
    (bare / "README.md").unlink()
    run("card", bare, "--origin", "a kitchen", "--out", tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "license: other" in text and "## Origin\na kitchen\n" in text and "no `action` column" in text
    assert not capsys.readouterr().out


def test_validate_passes_clean_data_and_prints_a_column_a_source(robot, human, capsys):
    run("validate", robot, human)
    text = capsys.readouterr().out
    assert row(text, "episodes") == ["3", "3"] and row(text, "missing reasoning") == ["0", "0"]
    assert row(text, "zero-filled actions") == ["0", "-"] and row(text, "human, but no reasoning at all") == ["-", "0"]
    most = EpisodeDataset(robot).actions()[:, :3].max()
    assert row(text, "action range, translation")[1:] == ["to", f"{most:.3g}", "m", "-"]
    assert text.count("passed:") == 2 and "FAILED" not in text and "frame rates" not in text


def test_exit_status_follows_the_share_of_bad_episodes(robot, human, capsys):
    at("action", [4], [float("nan")] * 7)(robot)
    run("validate", human, robot, expect=1)
    text = capsys.readouterr().out
    assert row(text, "NaN, infinite or missing actions") == ["-", "1", "(1)"]
    assert "episode 1, frame 1, column 'action': [nan" in text and "FAILED" in text
    assert "1 of 3 episodes bad (33.3%, more than 5.0%)" in text
    run("validate", robot, "--most", "0.34")
    assert "passed" in capsys.readouterr().out
    run("validate", robot, "--json", expect=1)
    found = json.loads(capsys.readouterr().out)
    assert not found["passed"] and found["sources"][0]["bad_episodes"] == [1]
    assert found["sources"][0]["instructions"] == {"lift can 0": 1, "lift can 1": 1, "lift can 2": 1}
    for share in ("1.1", "nan", "some"):
        with pytest.raises(SystemExit) as stop:
            main(["data", "validate", str(robot), "--most", share])
        assert stop.value.code == 2


def test_a_dataset_without_states_or_reasoning(tmp_path, capsys):
    write_dataset(tmp_path / "a", [episode(states=None, reasoning=[None] * 3)])
    info = json.loads((tmp_path / "a/meta/info.json").read_text())
    edit_info(tmp_path / "a", features={name: f for name, f in info["features"].items() if name != "reasoning"})
    pq.write_table(pq.read_table(tmp_path / "a" / DATA).drop_columns(["reasoning", "timestamp"]), tmp_path / "a" / DATA)
    run("validate", tmp_path / "a", expect=2)  # a feature without its column
    assert "'timestamp'" in capsys.readouterr().err
    edit_info(tmp_path / "a", features={n: f for n, f in info["features"].items() if n not in ("reasoning", "timestamp")})
    run("validate", tmp_path / "a")
    text = capsys.readouterr().out
    assert row(text, "NaN, infinite or missing states") == ["-"] and row(text, "missing reasoning") == ["1", "(3)"]
    [kept] = good_episodes(examine(tmp_path / "a"))
    assert kept.states is None and kept.reasoning == [None] * 3


def test_without_pictures(robot, capsys):
    at(IMAGE, [2], {"bytes": b"", "path": None})(robot)
    run("validate", robot, "--no-pictures")
    assert row(capsys.readouterr().out, "pictures, broken or of another size") == ["not", "looked", "at"]
    run("validate", robot, expect=1)


def test_rates_that_differ_are_a_remark(robot, tmp_path, capsys):
    write_dataset(tmp_path / "slow", [episode("human", fps=2.5)])
    run("validate", robot, tmp_path / "slow")
    assert "frame rates differ (robot 5, slow 2.5)" in capsys.readouterr().out


def test_quarantine(robot, human, tmp_path, capsys):
    at("action", [4], [float("nan")] * 7)(robot)
    before = tree(robot)
    out = tmp_path / "deep" / "out"
    run("validate", robot, human, "--quarantine", out, "--most", "1")
    assert tree(robot) == before and {p.name for p in tmp_path.iterdir()} == {"robot", "human", "deep"}
    assert {p.name for p in out.iterdir()} == {"robot", "robot.bad.json", "human", "human.bad.json"}
    for number, kept in zip((0, 2), EpisodeDataset(out / "robot"), strict=True):
        same(kept, episode("robot", LENGTHS[number], number))
    for number, kept in enumerate(EpisodeDataset(out / "human")):
        same(kept, episode("human", LENGTHS[number], number))
    listed = json.loads((out / "robot.bad.json").read_text())
    assert [(e["episode"], e["frames"], [r["column"] for r in e["reasons"]]) for e in listed["bad"]] == [(1, 2, ["action"])]
    assert listed["episodes"] == 3 and json.loads((out / "human.bad.json").read_text())["bad"] == []
    assert "2 of the 3 episodes" in (out / "robot/README.md").read_text()
    run("validate", out / "robot", "--most", "0")
    made = tree(out)
    capsys.readouterr()
    run("validate", robot, "--quarantine", out, expect=2)  # there already
    assert "there already" in capsys.readouterr().err and tree(out) == made


def test_quarantine_with_nothing_good_or_nothing_clear(robot, tmp_path, capsys):
    at("reasoning", range(9), "{")(robot)
    run("validate", robot, "--quarantine", tmp_path / "out", expect=1)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["robot.bad.json"]
    assert len(json.loads((tmp_path / "out/robot.bad.json").read_text())["bad"]) == 3
    run("validate", robot, robot, "--quarantine", tmp_path / "other", expect=2)
    run("validate", robot, "--no-pictures", "--quarantine", tmp_path / "other", expect=2)
    assert not (tmp_path / "other").exists()


# ------------------------------------------------------------------------------------------------------------- hostile text
@given(st.text(st.characters()))
def test_escaped_text_is_printable_and_plain_text_stays(text):
    shown = escaped(text)
    assert shown.isprintable() and shown.encode().decode() == shown
    assert shown == text or not text.isprintable()
    assert escaped(shown) == shown


def test_hostile_text_is_escaped_wherever_it_is_printed(robot, tmp_path, capsys):
    at("task", [0], HOSTILE, "meta/tasks.parquet")(robot)
    at("reasoning", [0], json.dumps({HOSTILE: 1}))(robot)
    at("reasoning", [5], chain(bboxes=[{"name": HOSTILE, "xyxy": [0, 0, 999, 9]}]))(robot)
    edit_feature(robot, "action", names=[HOSTILE] * 7)
    for argv, expect in (("info", 0), ("stats", 0), ("validate", 1), ("card", 0), ("validate --json", 1), ("stats --json", 0)):
        what, *options = argv.split()
        run(what, robot, *options, expect=expect)
        text = capsys.readouterr().out
        assert all(line.isprintable() for line in text.split("\n")), argv
        assert "u202e" in text, argv
    edit_feature(robot, "action", dtype=HOSTILE)
    run("info", robot, expect=2)
    assert capsys.readouterr().err.rstrip("\n").isprintable()
    shutil.move(robot, tmp_path / "evil\u202e")
    run("info", tmp_path / "evil\u202e", expect=2)
    assert capsys.readouterr().err.rstrip("\n").isprintable()
