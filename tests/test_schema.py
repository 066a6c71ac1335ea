"""`radlite data schema`: the files in docs/ are the code's, take every record that the code takes, and refuse the broken ones."""

import dataclasses
import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from radlite import schema
from radlite.cli import main
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.reasoning import FIELDS, TAGS, Reasoning

ROOT = Path(__file__).resolve().parents[1]
CHAINS, EPISODES = (jsonschema.Draft202012Validator(json.loads(schema.schema_text(r))) for r in schema.RECORDS)


@pytest.fixture(scope="module", params=["robot", "human"])
def sample(request):
    """Records of the shipped episodes, out of JSON."""
    dataset = EpisodeDataset(ROOT / "data_samples" / request.param)
    return json.loads(json.dumps([schema.episode_record(dataset[i]) for i in range(3)]))


@pytest.mark.parametrize("record", schema.RECORDS)
def test_the_file_in_docs_is_what_the_code_makes(record, tmp_path, capsys):
    text = (ROOT / "docs" / f"{record}.schema.json").read_text(encoding="utf-8")
    assert text == schema.schema_text(record), f"radlite data schema {record} --out docs/{record}.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))
    assert main(["data", "schema", record]) == 0 and capsys.readouterr().out == text
    assert main(["data", "schema", record, "--out", str(tmp_path / "made" / "x.json")]) == 0
    assert (tmp_path / "made" / "x.json").read_text(encoding="utf-8") == text


def test_every_field_of_the_code_is_in_the_schemas():
    assert tuple(CHAINS.schema["properties"]) == FIELDS
    names = {f.name for f in dataclasses.fields(Episode)} - {"frames"}
    assert set(EPISODES.schema["properties"]) == names
    assert schema._spaces() == [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]


def test_shipped_records_fit(sample):
    chains = [chain for record in sample for chain in record["reasoning"]]
    assert len(chains) > 60 and any(chain["gripper"] for chain in chains)
    for record in sample:
        EPISODES.validate(record)
    for chain in chains:
        CHAINS.validate(chain)
        assert Reasoning.from_dict(chain).to_dict() == chain


TEXT = {"task": "", "plan": "a\nb", "subtask_reason": " a", "subtask": "a\u3000", "move_reason": "a @ b", "move": "up MOVE: down"}
BROKEN_CHAINS = {
    **{f"{field} {text!r}": {field: text} for field, text in TEXT.items()},
    "a line break at the end": {"task": "a\n"},
    "an unknown field": {"taks": "a"},
    "a number for text": {"task": 1},
    "no point": {"gripper": []},
    "half a point": {"gripper": [[1]]},
    "a point outside": {"gripper": [[256, 1]]},
    "a fraction": {"gripper": [[1.5, 1]]},
    "a box outside": {"bboxes": [{"name": "can", "xyxy": [0, 0, 257, 9]}]},
    "a box without a name": {"bboxes": [{"xyxy": [0, 0, 9, 9]}]},
    "brackets in a name": {"bboxes": [{"name": "can [1]", "xyxy": [0, 0, 9, 9]}]},
    "three edges": {"bboxes": [{"name": "can", "xyxy": [0, 0, 9]}]},
}


@pytest.mark.parametrize("chain", BROKEN_CHAINS.values(), ids=BROKEN_CHAINS)
def test_broken_chains_are_refused_by_schema_and_code(chain):
    assert not CHAINS.is_valid(chain)
    assert not _code_takes(chain)


@pytest.mark.parametrize("change", [
    {"actions": [[0.1] * 6]}, {"actions": []}, {"states": [["a"] * 7]}, {"instruction": " \u2003"}, {"fps": 0},
    {"embodiment": "dog"}, {"meta": {"a": [1]}}, {"reasoning": [{"task": ""}]}, {"reasoning": []}, {"frames": 3},
], ids=str)  # fmt: skip
def test_broken_episodes_are_refused(sample, change):
    assert EPISODES.is_valid(sample[0]) and not EPISODES.is_valid(sample[0] | change)


@pytest.mark.parametrize("name", ["instruction", "reasoning", "embodiment", "fps"])
def test_an_episode_without_it_is_refused(sample, name):
    assert not EPISODES.is_valid({key: value for key, value in sample[0].items() if key != name})


def test_actions_belong_to_robots_alone(sample):
    record = sample[0]
    assert ("actions" in record) == (record["embodiment"] == "robot")
    other = {"robot": "human", "human": "robot"}[record["embodiment"]]
    assert not EPISODES.is_valid(record | {"embodiment": other})
    assert EPISODES.is_valid(record | {"reasoning": [None] * len(record["reasoning"])})


SPACES = [" ", "\t", "\n", "\x0b", "\x1c", "\x1f", "\x85", "\xa0", "\u2028", "\u3000"]
LETTERS = st.text(st.sampled_from([*'a1:_é [],"<@', *SPACES]), max_size=4)
WORDS = st.lists(LETTERS | st.sampled_from([*TAGS.values(), "ACTION:"]), max_size=3).map("".join) | st.text(max_size=5)
BOXES = st.fixed_dictionaries({"name": WORDS, "xyxy": st.lists(st.integers(-1, 257), min_size=3, max_size=5)})
POINTS = st.lists(st.lists(st.integers(-1, 257), min_size=1, max_size=3), max_size=2)
FIELDS_OF = {"task": WORDS, "move": WORDS, "bboxes": st.lists(BOXES, max_size=2), "gripper": POINTS}


@given(st.fixed_dictionaries({}, optional=FIELDS_OF))
@example({"bboxes": []})
@example({"task": "xTASK: y"})
@example({"task": "\ud800"})
def test_schema_and_code_take_the_same_chains(chain):
    corners = [box["xyxy"] for box in chain.get("bboxes", ()) if len(box["xyxy"]) == 4]
    ordered = all(x1 <= x2 and y1 <= y2 for x1, y1, x2, y2 in corners)
    assert (CHAINS.is_valid(chain) and ordered) == _code_takes(chain)


def _code_takes(chain):
    try:
        Reasoning.from_dict(chain).validate()
    except RadliteError:
        return False
    return True


def test_the_record_of_an_episode_leaves_out_what_is_not_there():
    frames = np.zeros((2, 3, 4, 3), np.uint8)
    episode = Episode("lift", frames, [None, Reasoning(task="lift")], "human", meta={"a": None})
    rest = {"embodiment": "human", "fps": 5.0, "meta": {"a": None}}
    assert schema.episode_record(episode) == {"instruction": "lift", "reasoning": [None, {"task": "lift"}], **rest}
