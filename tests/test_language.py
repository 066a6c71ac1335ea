"""Chains in LeRobot's language columns: what its styles hold comes back, `reasoning` stays exact, and others' rows are read."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.language import EVENTS, PERSISTENT, language_type, texts
from radlite.quarantine import quarantine
from radlite.reasoning import Box, Reasoning
from radlite.validate import examine

DATA, CAMERA, UNTOLD = "data/chunk-000/file-000.parquet", "observation.images.main", ("task", "subtask_reason", "move_reason")
WORDS = st.none() | st.sampled_from(["reach the can", "move up", "grasp it, then lift", "网 é [1, 2]"])
POINTS = st.none() | st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=3).map(tuple)
BOXES = st.none() | st.lists(
    st.tuples(st.sampled_from(["a can", 'the "red" cup']), *[st.integers(0, 128)] * 2, *[st.integers(129, 256)] * 2).map(
        lambda b: Box(b[0], b[1:])
    ),
    max_size=2,
).map(tuple)
CHAINS = st.none() | st.builds(
    Reasoning,
    **dict.fromkeys(("task", "plan", "subtask_reason", "subtask", "move_reason", "move"), WORDS),
    bboxes=BOXES,
    gripper=POINTS,
)


def episode(chains, size=(6, 9)):
    frames = np.zeros((len(chains), *size, 3), np.uint8)
    return Episode("go", frames, list(chains), "human", fps=7.0)


def write(path, *chains, **options):
    return write_dataset(path, map(episode, chains), language=True, overwrite=True, **options).path


def without_reasoning(path):
    info = json.loads((path / "meta/info.json").read_text())
    info["features"].pop("reasoning", None)
    (path / "meta/info.json").write_text(json.dumps(info))
    pq.write_table(pq.read_table(path / DATA).drop_columns(["reasoning"]), path / DATA)
    return EpisodeDataset(path)


def told(chain):
    """What the columns can hold of a chain."""
    chain = None if chain is None else chain.without(*UNTOLD)
    return None if chain == Reasoning() else chain


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.lists(CHAINS, min_size=1, max_size=6), second=st.lists(CHAINS, min_size=1, max_size=3))
def test_what_the_styles_hold_comes_back_and_the_chain_itself_is_exact(tmp_path, first, second):
    path = write(tmp_path / "set", first, second)
    chains = [*first, *second]
    read = EpisodeDataset(path)
    assert [read.reasoning(k) for k in range(len(chains))] == chains
    read = without_reasoning(path)
    assert [read.reasoning(k) for k in range(len(chains))] == [told(c) for c in chains]
    report = examine(path)
    assert report.with_chain == sum(told(c) is not None for c in chains) and not report.of("chain")


CAN = (Box("can", (0, 8, 64, 256)),)
CHAIN = Reasoning(plan="1. reach 2. lift", subtask="reach", move="move up", bboxes=CAN, gripper=((5, 6),))


def test_the_rows_are_as_lerobot_wants_them(tmp_path):
    chains = [CHAIN, CHAIN, CHAIN.replace(move="move down", subtask=None), None]
    path = write(tmp_path / "set", chains)
    features = json.loads((path / "meta/info.json").read_text())["features"]
    assert all(features[name] == {"dtype": "language", "shape": [1], "names": None} for name in (PERSISTENT, EVENTS))
    table = pq.read_table(path / DATA)
    assert all(table.schema.field(name).type == language_type(name) for name in (PERSISTENT, EVENTS))
    persistent, events = table[PERSISTENT].to_pylist(), table[EVENTS].to_pylist()
    assert persistent[0] == persistent[1] == persistent[3]  # the whole episode's in every row
    times = table["timestamp"].to_pylist()
    rows = [(r["style"], r["content"], times.index(r["timestamp"])) for r in persistent[0]]
    assert rows == [("plan", CHAIN.plan, 0), ("subtask", "reach", 0), ("motion", "move up", 0), ("subtask", None, 2),
                    ("motion", "move down", 2), ("plan", None, 3), ("motion", None, 3)]  # fmt: skip
    assert {(r["role"], r["camera"], r["tool_calls"]) for r in persistent[0]} == {("assistant", None, None)}
    assert [(r["style"], r["role"], r["camera"]) for r in events[1]] == [
        ("vqa", "user", CAMERA), ("vqa", "assistant", CAMERA), ("trace", "assistant", CAMERA)]  # fmt: skip
    answer = json.loads(events[1][1]["content"])
    assert answer == {"detections": [{"label": "can", "bbox_format": "xyxy", "bbox": [0.0, 0.188, 2.25, 6.0]}]}  # of 6x9 pixels
    assert events[3] == [] and "for LeRobot's recipes" in (path / "README.md").read_text()


def test_the_datasets_library_reads_them(tmp_path):
    datasets = pytest.importorskip("datasets")
    path = write(tmp_path / "set", [CHAIN, None])
    read = datasets.Dataset.from_parquet(str(path / DATA), cache_dir=str(tmp_path / "cache"))
    assert read[0][PERSISTENT][0]["content"] == CHAIN.plan and read[1][EVENTS] == []


def row(style, content, time=0.0, role="assistant", camera=None):
    return {"role": role, "content": content, "style": style, "camera": camera, "timestamp": time, "tool_calls": None}


def foreign(lasting, events=(), times=(0.0, 0.5, 1.0)):
    """Rows as others write them, with plain text where LeRobot has JSON."""
    kinds = {"timestamp": pa.float32()} | dict.fromkeys(("role", "content", "style", "camera", "tool_calls"), pa.string())
    kind = pa.list_(pa.struct(list(kinds.items())))
    shown = [list(events), *[[]] * (len(times) - 1)]
    return pa.table({"timestamp": pa.array(times, pa.float32()), PERSISTENT: pa.array([lasting] * len(times), kind),
                     EVENTS: pa.array(shown, kind)})  # fmt: skip


def chains(table):
    return [Reasoning.from_dict(json.loads(text)) if text else None for text in texts(table, CAMERA, (128, 512, 3))]


def test_others_rows_are_read():
    lasting = [row("plan", "1. reach\n2. lift @ once "), row("motion", "late", 1.0), row("subtask", "lift", 0.5),
               row("memory", "x"), row("subtask", "reach"), row("subtask", "asked", 0.0, "user"), row(None, "y"),
               row("task_aug", "z")]  # fmt: skip
    events = [row("vqa", "Where?", role="user", camera=CAMERA), row("vqa", '{"label": "can", "count": 2}', camera=CAMERA),
              row("vqa", '{"detections": [{"label": "can", "bbox": [2, 1, 512, 128]}]}', camera=CAMERA),
              row("vqa", '{"detections": []}', camera="observation.images.wrist"),
              row("trace", '{"points": [[4.1, 2]]}', camera=CAMERA), row("interjection", "stop!")]  # fmt: skip
    first, second, third = chains(foreign(lasting, events))
    boxes = (Box("can", (1, 2, 256, 256)),)
    assert first == Reasoning(plan="1. reach 2. lift once", subtask="reach", bboxes=boxes, gripper=((2, 4),))
    assert second == Reasoning(plan="1. reach 2. lift once", subtask="lift")
    assert third == second.replace(move="late")


def test_one_column_or_none_filled_is_enough():
    table = foreign([row("plan", "x")])
    assert chains(table.drop_columns([EVENTS])) == [Reasoning(plan="x")] * 3
    assert chains(table.drop_columns([PERSISTENT])) == [None] * 3
    empty = table.set_column(1, PERSISTENT, pa.nulls(3, table[PERSISTENT].type))
    assert chains(empty.set_column(2, EVENTS, pa.nulls(3, table[EVENTS].type))) == [None] * 3


BAD = [
    "{", "null", '{"detections": 3}', '{"detections": [{"label": "x"}]}',
    '{"detections": [{"label": 1, "bbox": [1, 2, 3, 4]}]}', '{"detections": [{"label": "x", "bbox": [1, 2, NaN, 4]}]}',
    '{"detections": [{"label": "x", "bbox": [1, 2, 3]}]}',
]  # fmt: skip


@pytest.mark.parametrize("content", [*BAD, None])
def test_boxes_that_are_none_are_an_error_of_their_frame(tmp_path, content):
    path = write(tmp_path / "set", [CHAIN] * 3, [CHAIN] * 2)
    without_reasoning(path)
    table = pq.read_table(path / DATA)
    kind = pa.list_(pa.struct([(key, pa.string()) for key in ("role", "content", "style", "camera")]))
    events = [[], [row("vqa", content, camera=CAMERA)], [], [], []]
    at = table.column_names.index(EVENTS)
    pq.write_table(table.set_column(at, EVENTS, pa.array(events, kind)), path / DATA)
    if content == "null":  # an answer about nothing
        return None if EpisodeDataset(path).reasoning(1).bboxes is None else pytest.fail()
    with pytest.raises(RadliteError, match="frame 1"):
        EpisodeDataset(path).reasoning(1)
    report = examine(path)
    assert [(f.episode, f.step) for f in report.of("chain")] == [(0, 1)]
    quarantine([report], tmp_path / "out", ["mit"])
    [kept] = EpisodeDataset(tmp_path / "out/set")
    assert kept.reasoning == [told(CHAIN).replace(bboxes=None, gripper=None)] * 2


@given(st.lists(st.text(max_size=12) | st.sampled_from(BAD), max_size=3), st.sampled_from(["vqa", "trace", "plan", "odd"]))
@settings(max_examples=60, deadline=None)
def test_any_text_gives_json(contents, style):
    rows = [row(style, content, camera=CAMERA) for content in contents]
    for text in texts(foreign(rows, rows), CAMERA, (6, 9, 3)):
        assert text == "" or isinstance(json.loads(text), dict)
