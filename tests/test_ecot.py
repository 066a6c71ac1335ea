"""ECoT's annotations of Bridge: every record as its makers mean it, bad ones by name, and no join that goes wrong in silence."""

import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite.ecot_join import (
    BridgeEpisode,
    JoinReport,
    annotate_from_ecot,
    bridge_episodes,
    join_ecot,
    same_instruction,
)
from radlite.episodes import Episode, EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.formats import ecot, json_stream
from radlite.formats.ecot import EcotEpisode, read_ecot
from radlite.reasoning import TEXT_FIELDS, Box, Reasoning

FILE = "/data/numpy_256/bridge_data_v2/kitchen/stack/00/train/out.npy"
TEXTS = {
    "task": "Put the can down.", "plan": "Reach, grasp, lower.", "subtask_reason": "The can is held.", "subtask": "Lower.",
    "move_reason": "The table is below.", "move": "move down",
}  # fmt: skip


def record(file_path=FILE, episode_id="7", steps=(0, 1, 3), length=4, instruction="Put the can down", **changes):
    """One episode as ECoT writes it."""
    return {
        "reasoning": {str(k): {**TEXTS, "subtask": f"Lower {k}."} for k in steps},
        "features": {
            "state_3d": [[0.1, 0.2, 0.3]] * length,
            "move_primitive": ["stop"] * length,
            "gripper_position": [[10 + k, 20 + k] for k in range(length)],
            "bboxes": [[[0.5, "a can", [1, 2, 30, 40]]], [], *[[[0.4, "a pot", [5, 6, 7, 8]]]] * (length - 2)],
        },
        "metadata": {
            "episode_id": episode_id, "file_path": file_path, "n_steps": length, "language_instruction": instruction,
            "caption": "A can.",
        },
        **changes,
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Writes text, bytes or an object as the JSON file and returns its path."""

    def make(content):
        path = tmp_path / "features.json"
        content = content if isinstance(content, str | bytes) else json.dumps(content, ensure_ascii=False)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


def read(path, **settings):
    return list(read_ecot(path, **settings))


# ------------------------------------------------------------------------------------------------------- what is read
def test_a_record_is_read_as_ecot_means_it(write):
    (one,) = read(write({FILE: {"7": record()}}))
    assert (one.file_path, one.episode_id, one.instruction, one.num_steps) == (FILE, "7", "Put the can down", 4)
    assert sorted(one.steps) == [0, 1, 3] and one.error is None  # sparse: step 2 has features and no reasoning
    ahead = ((10, 20), (11, 21), (12, 22), (13, 23), (13, 23))
    boxes = (Box("a can", (1, 2, 30, 40)),)
    assert one.steps[0] == Reasoning(**{**TEXTS, "subtask": "Lower 0."}, bboxes=boxes, gripper=ahead)
    assert one.steps[1].bboxes == () and one.steps[3].gripper == ((13, 23),) * 5


def test_what_is_absent_stays_absent(write):
    tree = {
        "0": record(features={}, metadata={}),
        "1": record(features=None, metadata=None),
        "2": record(reasoning=None),
        "3": {},
        "4": record(reasoning={"0": {"move": "move up", "plan": "", "task": None}, "1": {}, "2": None, "3": {"move": " "}}),
        "5": record(steps=[0, 9]),
        "6": record(features={"bboxes": [None, [[0.5, "", [1, 2, 3, 4]]]], "gripper_positions": None}),
    }
    for name, entry in tree.items():
        if entry.get("metadata"):
            entry["metadata"]["episode_id"] = int(name)  # a number or text, both are about
    found = {one.episode_id: one for one in read(write({FILE: tree}))}
    assert found["0"].steps == found["1"].steps and found["0"].steps[0] == Reasoning(**{**TEXTS, "subtask": "Lower 0."})
    assert found["0"].instruction is None and found["0"].num_steps is None
    assert found["2"].steps == found["3"].steps == {}
    assert set(found["4"].steps) == {0} and found["4"].steps[0].without("bboxes", "gripper") == Reasoning(move="move up")
    assert found["5"].steps[9].bboxes is None and found["5"].steps[9].gripper is None
    assert [found["6"].steps[k].bboxes for k in (0, 1, 3)] == [None, (), None]  # nobody looked; nothing nameable; no entry


def test_coordinates_become_whole_pixels_inside_the_frame(write):
    features = {"bboxes": [[[0.5, "can [@ table]", [-3, 1.5, 300.2, 255.4]]]], "gripper_positions": [[-9.0, 255.6], [3.49, 300]]}
    (one,) = read(write({FILE: {"7": record(steps=[0], features=features)}}))
    assert one.steps[0].bboxes == (Box("can ( table)", (0, 2, 256, 255)),)
    assert one.steps[0].gripper == ((0, 255), (3, 255), (3, 255), (3, 255), (3, 255))


LINES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs"), exclude_characters="@:[]"), max_size=12)
LINES = LINES.map(lambda text: " ".join(text.split()))
POINTS = st.lists(st.integers(0, 255), min_size=2, max_size=2)
CORNERS = st.tuples(*[st.integers(0, 128)] * 2, *[st.integers(128, 256)] * 2).map(list)
BOXES = st.lists(st.tuples(st.floats(0, 1), LINES.filter(bool), CORNERS), max_size=3)
EPISODES = st.fixed_dictionaries({
    "texts": st.dictionaries(st.integers(0, 12), st.dictionaries(st.sampled_from(TEXT_FIELDS), LINES | st.none())),
    "boxes": st.none() | st.lists(st.none() | BOXES, max_size=10),
    "points": st.none() | st.lists(POINTS, max_size=10),
    "spellings": st.lists(st.sampled_from(("gripper_position", "gripper_positions")), min_size=1, max_size=2, unique=True),
    "instruction": st.none() | LINES,
})  # fmt: skip


def expected_chain(step, one):
    texts = {name: text for name, text in one["texts"][step].items() if text}
    boxes = one["boxes"][step] if step < len(one["boxes"] or ()) else None
    points = one["points"] or []
    ahead = [points[k] if k < len(points) else points[-1] for k in range(step, step + 5)] if step < len(points) else None
    return texts and Reasoning(
        **texts,
        bboxes=None if boxes is None else tuple(Box(name, tuple(xyxy)) for _, name, xyxy in boxes),
        gripper=None if ahead is None else tuple(map(tuple, ahead)),
    )


NAMES = LINES.filter(bool)


@settings(max_examples=60)
@given(tree=st.dictionaries(NAMES, st.dictionaries(NAMES, EPISODES, max_size=2), max_size=2), escape=st.booleans())
def test_generated_files_come_back_whole(tmp_path_factory, tree, escape):
    path = tmp_path_factory.mktemp("generated") / "features.json"
    entries = {
        file_path: {
            episode_id: {
                "features": {"bboxes": one["boxes"], **dict.fromkeys(one["spellings"], one["points"])},
                "reasoning": {str(k): texts for k, texts in one["texts"].items()},
                "metadata": {"file_path": file_path, "language_instruction": one["instruction"]},
            }
            for episode_id, one in episodes.items()
        }
        for file_path, episodes in tree.items()
    }
    path.write_text(json.dumps(entries, ensure_ascii=escape), encoding="utf-8")
    found = {(one.file_path, one.episode_id): one for one in read(path)}
    told = {(f, e): one for f, episodes in tree.items() for e, one in episodes.items()}
    assert list(found) == list(told)
    for key, one in told.items():
        chains = {step: expected_chain(step, one) for step in one["texts"]}
        assert found[key].steps == {step: chain for step, chain in chains.items() if chain}
        assert found[key].instruction == (one["instruction"] or None)


# ------------------------------------------------------------------------------------------------------ what is refused
def test_a_file_that_is_cut_anywhere_is_an_error(write):
    content = json.dumps({FILE: {"7": record(steps=[0], length=2), "8": record(FILE, "8", [0], 2)}}).encode()
    assert len(read(write(content))) == 2
    for size in range(len(content)):
        path = write(content[:size])
        with pytest.raises(RadliteError, match="JSON") as error:
            read(path)
        assert str(path) in str(error.value) and f"byte {size}" in error.value.found
        if size > content.index(b'"8":') + 4:
            assert "episode '8'" in error.value.found and FILE in error.value.found


def edited(*path, value):
    """A record with one value replaced, somewhere below."""
    entry = record()
    place = entry
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return entry


EPISODE_ERRORS = {
    "episode is a list": ([], "an object as the episode", "[]"),
    "reasoning is a list": (edited("reasoning", value=[]), "an object as reasoning", "[]"),
    "features are text": (edited("features", value="none"), "an object as features", "none"),
    "metadata is a number": (edited("metadata", value=3), "an object as metadata", "3"),
    "step is text": (edited("reasoning", "1", value="left"), "the reasoning of a step", "step 1"),
    "step has no number": (edited("reasoning", "one", value=TEXTS), "steps numbered", "'one'"),
    "step is written twice over": (edited("reasoning", "01", value=TEXTS), "steps numbered", "'01'"),
    "step is beyond counting": (edited("reasoning", "9" * 5000, value=TEXTS), "steps numbered", "'999"),
    "plan is an object": (edited("reasoning", "1", "plan", value={"0": "go"}), "text as plan", "step 1"),
    "task is true": (edited("reasoning", "1", "task", value=True), "text as task", "step 1"),
    "task holds a tag": (edited("reasoning", "1", "task", value="go MOVE: up"), "no tag", "step 1"),
    "task is a book": (edited("reasoning", "1", "task", value="x" * 10_001), "at most 10000 characters", "step 1"),
    "escape sequence": (edited("reasoning", "1", "move", value="up\x1b[2J"), "no control", "U+001B"),
    "direction override": (edited("reasoning", "1", "move", value="up\u202edown"), "direction-changing", "U+202E"),
    "isolate in an instruction": (edited("metadata", "language_instruction", value="\u2067up"), "direction", "U+2067"),
    "mark in the name of a box": (
        edited("features", "bboxes", 0, value=[[0.5, "a\u200fcan", [1, 2, 3, 4]]]), "direction", "U+200F",
    ),
    "boxes are an object": (edited("features", "bboxes", value={}), "a list as bboxes", "{}"),
    "boxes of a step are text": (edited("features", "bboxes", 1, value="can"), "a list of boxes", "'can'"),
    "box without score": (edited("features", "bboxes", 0, value=[["can", [1, 2, 3, 4]]]), "a box as", "step 0"),
    "box of three": (edited("features", "bboxes", 0, value=[[0.5, "can", [1, 2, 3]]]), "4 pixels", "step 0"),
    "box of words": (edited("features", "bboxes", 0, value=[[0.5, "can", [1, 2, 3, "4"]]]), "4 pixels", "step 0"),
    "box turned round": (edited("features", "bboxes", 0, value=[[0.5, "can", [9, 2, 3, 4]]]), "x1 <= x2", "step 0"),
    "box in another world": (edited("features", "bboxes", 0, value=[[0.5, "can", [1, 2, 3, 1e300]]]), "256x256", "1e+300"),
    "box name is a number": (edited("features", "bboxes", 0, value=[[0.5, 3, [1, 2, 3, 4]]]), "name of a box", "3"),
    "gripper is a number": (edited("features", "gripper_position", value=3), "a list as gripper_position", "3"),
    "gripper point is null": (edited("features", "gripper_position", 1, value=None), "2 pixels", "None"),
    "gripper point is true": (edited("features", "gripper_position", 1, value=[True, 1]), "2 pixels", "True"),
    "two spellings differ": (edited("features", "gripper_positions", value=[]), "alike", "different"),
    "n_steps is text": (edited("metadata", "n_steps", value="4"), "n_steps", "'4'"),
    "n_steps is negative": (edited("metadata", "n_steps", value=-1), "n_steps", "-1"),
    "instruction is a list": (edited("metadata", "language_instruction", value=["go"]), "language_instruction", "go"),
    "metadata has another id": (edited("metadata", "episode_id", value="8"), "as episode_id in metadata", "'8'"),
    "metadata has another file": (edited("metadata", "file_path", value="/x"), "as file_path in metadata", "'/x'"),
    "too deep": (edited("reasoning", "1", "task", value=json.loads("[" * 40 + "]" * 40)), "levels", "more"),
    "too large": (edited("reasoning", "1", "task", value=["x" * 1000] * 5000), "4 MiB", "more"),
}  # fmt: skip
TWICE = {
    "part": ('"metadata": {}, "metadata": {}', "'metadata' twice"),
    "step": ('"reasoning": {"0": {"task": "a"}, "0": {"task": "b"}}', "'0' twice"),
    "field": ('"reasoning": {"0": {"task": "a", "task": "b"}}', "'task' twice"),
    "list": ('"features": {"bboxes": [], "bboxes": []}', "'bboxes' twice"),
}


@pytest.mark.parametrize("case", [*EPISODE_ERRORS, *TWICE])
def test_a_bad_episode_is_named_or_left_out(write, case):
    if case in TWICE:
        inside, found = TWICE[case]
        bad, expected = "{" + inside + "}", "each key once"
    else:
        entry, expected, found = EPISODE_ERRORS[case]
        bad = json.dumps(entry)
    good = json.dumps(record(episode_id="8"))
    path = write(f'{{"{FILE}": {{"7": {bad}, "8": {good}}}}}')
    with pytest.raises(RadliteError) as error:
        read(path)
    error = error.value
    assert expected in error.expected and str(path) in error.expected and "strict=False" in error.fix
    assert found in error.found and f"episode '7' of {FILE!r}" in error.found
    assert str(error).isprintable() and len(str(error)) < 800
    first, second = read(path, strict=False)
    assert (first.episode_id, first.steps, str(first.error)) == ("7", {}, str(error))
    assert sorted(second.steps) == [0, 1, 3] and second.error is None  # reading goes on behind it


def test_an_id_of_an_episode_is_visible_text(write):
    path = write({FILE: {"\u202e7": {}, "": {}}})
    with pytest.raises(RadliteError, match=r"\\u202e7"):
        read(path)
    assert [one.error is None for one in read(path, strict=False)] == [False, False]
    with pytest.raises(RadliteError):
        read(write(b'{"/a": {"\\udc00": {}}}'))  # half a character


def test_what_comes_twice_is_an_error_or_given_twice(write):
    one = f'"7": {json.dumps(record())}'
    for content in (f'{{"{FILE}": {{{one}, {one}}}}}', f'{{"{FILE}": {{{one}}}, "{FILE}": {{{one}}}}}'):
        path = write(content)
        with pytest.raises(RadliteError, match="(episode|file) once.*a second one.*out.npy"):
            read(path)
        assert [one.episode_id for one in read(path, strict=False)] == ["7", "7"]


BROKEN = {
    "nothing": (b"", "JSON"),
    "a list": (b"[]", "an object of files"),
    "a number": (b"3", "an object of files"),
    "a file is a list": (b'{"/a": []}', "an object of episodes"),
    "a file is null": (b'{"/a": null}', "an object of episodes"),
    "a name that turns round": ('{"/\u202ea": {}}'.encode(), "visible characters"),
    "no name": (b'{"": {}}', "visible characters"),
    "a long name": (b'{"' + b"x" * 2000 + b'": {}}', "visible characters"),
    "something behind": (b"{} {}", "JSON"),
    "no number": (b'{"/a": {"1": NaN}}', "JSON"),
    "a number without end": (b'{"/a": {"1": ' + b"9" * 6000 + b"}}", "JSON"),
    "half a character": (b'{"/a": {"1": "\xff"}}', "JSON"),
    "a raw control character": (b'{"/a": {"1": "\x1b[2J"}}', "JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("strict", (True, False))
def test_a_broken_file_always_is_an_error(write, case, strict):
    content, expected = BROKEN[case]
    path = write(content)
    with pytest.raises(RadliteError, match=expected) as error:
        read(path, strict=strict)
    assert str(path) in error.value.expected and str(error.value).isprintable()


def test_no_file_is_an_error(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(RadliteError, match=re.escape(str(path))):
            read(path)


@pytest.mark.parametrize(
    "start, more, expected",
    [
        (b'{"/a": {"1": {"reasoning": "', b"x", "1 MiB"),
        (b'{"', b"x", "1 MiB"),
        (b'{"/a": {"1": ', b" ", "1 MiB"),
        (b'{"/a": {"1": ', b"9", "JSON"),
        (b'{"/a": {"1": ', b"[", "brackets"),
        (b'{"/a": {"1": ', b'{"a":', "brackets"),
    ],
)
def test_what_has_no_end_is_refused_before_it_fills_memory(write, start, more, expected):
    path = write(start + more * (1 << 22))
    with pytest.raises(RadliteError, match=expected):
        stream = json_stream.JsonStream(path)
        try:
            next(iter(stream))
            for event in stream:
                stream.build(*event)
        finally:
            assert stream._offset < 2 << 20


def test_of_a_value_that_is_too_large_little_is_kept(write, monkeypatch):
    monkeypatch.setattr(json_stream, "MOST_VALUE", 2 * json_stream.BLOCK)
    for start, end in ((b"[", b"1]"), (b'{"a": {"b": [', b"1]}}")):
        stream = json_stream.JsonStream(write(start + b"1," * (1 << 19) + end))
        kept = stream.build(*next(iter(stream)))
        kept = kept if isinstance(kept, list) else kept["a"]["b"]
        assert 2 * len(kept) <= 4 * json_stream.BLOCK and "more" in stream.problem.found and not list(stream)


def test_so_many_episodes_are_refused(write, monkeypatch):
    monkeypatch.setattr(ecot, "MOST_EPISODES", 5)
    assert len(read(write({"/a": {str(k): {} for k in range(4)}}))) == 4
    for strict in (True, False):
        with pytest.raises(RadliteError, match="at most 5"):
            read(write({"/a": {str(k): {} for k in range(5)}}), strict=strict)


def test_memory_does_not_grow_with_the_file(write):
    def peak(count):
        tree = {f"/{k}": {"7": record(f"/{k}", length=60, steps=range(0, 60, 3))} for k in range(count)}
        path = write(tree)
        tracemalloc.start()
        for _ in read_ecot(path):
            pass
        size, peak = path.stat().st_size, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, peak

    (small, before), (large, after) = peak(30), peak(90)  # both of some blocks
    assert after - before < 0.7 * (large - small)  # to keep the chains alone takes three times the text


# --------------------------------------------------------------------------------------------------------------- the join
def known(file_path=FILE, episode_id="7", instruction="put the can down.", num_frames=4):
    return BridgeEpisode(file_path, episode_id, instruction, num_frames)


def chains(*steps, **changes):
    settings = {"file_path": FILE, "episode_id": "7", "instruction": "Put the can down", "num_steps": 4, **changes}
    return EcotEpisode(steps={k: Reasoning(move=f"move {k}") for k in steps}, **settings)


def test_a_join_with_every_case():
    refused = RadliteError("text", "a number in episode 'r'", "correct it")
    records = [
        chains(0, 2, 4, 9),  # matches; the episode has four frames
        chains(file_path="/other", instruction=None, num_steps=None),  # matches; neither reasoning nor instruction
        chains(1, episode_id="8", instruction="Take the pot", num_steps=5),  # matches; says something else
        chains(0, episode_id="twice"), chains(1, episode_id="twice"),
        chains(0, episode_id="two episodes"),
        chains(0, episode_id="9"),  # no episode
        chains(0, file_path="/elsewhere"),  # the same episode_id in another file
        EcotEpisode(FILE, "r", error=refused), EcotEpisode(FILE, "nowhere", error=refused),
        chains(0, episode_id="spoilt"), EcotEpisode(FILE, "spoilt", error=refused),  # which of the two is right?
    ]  # fmt: skip
    episodes = [
        known(), known("/other", instruction="  "), known(episode_id="8"), known(episode_id="twice"),
        known(episode_id="two episodes"), known(episode_id="two episodes"), known(episode_id="10"), known("/lonely"),
        known(episode_id="r"), known(episode_id="spoilt"),
    ]  # fmt: skip
    with join_ecot(iter(records), episodes, threshold=0.5) as joined:
        told, examples = joined.report.to_dict(), joined.report.examples
        assert joined.chains(0) == [Reasoning(move="move 0"), None, Reasoning(move="move 2"), None]
        assert joined.chains(1) == [None] * 4
        assert joined.chains(2) == [None, Reasoning(move="move 1"), None, None]
        assert [joined.chains(i) for i in range(3, len(episodes))] == [None] * 7
    assert told.pop("examples") == list(examples)
    assert told == {
        "matched": 3, "ambiguous_records": 5, "ambiguous_episodes": 4, "unmatched_records": 2, "unmatched_episodes": 3,
        "refused_records": 2, "without_reasoning": 1, "steps": 3, "steps_out_of_range": 2, "agreed": 1, "compared": 2,
        "same_length": 1, "lengths": 2, "agreement": 0.5,
    }  # fmt: skip
    assert told["matched"] + told["ambiguous_records"] + told["unmatched_records"] + told["refused_records"] == len(records)
    assert told["matched"] + told["ambiguous_episodes"] + told["unmatched_episodes"] == len(episodes)
    kinds = [text.split(":")[0] for text in examples]
    assert kinds == ["differing", *["refused"] * 3, "unmatched record", "unmatched episode"]
    table = str(joined.report)
    assert "1 of 2 matched pairs that have both (50.0%)" in table and "3, and 2 beyond" in table
    assert re.search(r"ambiguous +5 +4\n", table) and all(text in table for text in examples)


def test_the_number_of_an_episode_alone_joins_nothing():
    with pytest.raises(RadliteError, match="no pair.*elsewhere.*out.npy"):
        join_ecot([chains(0, file_path="/elsewhere")], [known()])


def test_too_few_instructions_that_agree_are_an_error():
    records = [chains(0, episode_id=str(k), instruction="Put the can down" if k < 8 else f"\u202eother {k}") for k in range(10)]
    episodes = [known(episode_id=str(k)) for k in range(10)]
    with pytest.raises(RadliteError, match="90%.*80.0%, 8 of 10") as error:
        join_ecot(records, episodes)
    assert "\\u202eother 8" in str(error.value) and str(error.value).isprintable()
    with join_ecot(records, episodes, threshold=0.8) as joined:
        assert (joined.report.agreement, joined.report.matched) == (0.8, 10)
        assert "\u202e" not in str(joined.report)
    unspoken = [chains(0, instruction=None)]
    with pytest.raises(RadliteError, match="none"):
        join_ecot(unspoken, [known()])
    with join_ecot(unspoken, [known()], threshold=0) as joined:
        assert joined.report.agreement is None and joined.report.steps == 1
    for threshold in (-0.1, 1.1, float("nan")):
        with pytest.raises(RadliteError, match="threshold"):
            join_ecot(records, episodes, threshold)


@pytest.mark.parametrize(
    "a, b, same",
    [
        ("Put it down.", " put  it DOWN ", True), ("put it down .", "put it down", True), ("", ".", True),
        ("put it down", "put it up", False), ("put it down..", "put it down", False),
    ],
)  # fmt: skip
def test_instructions_are_compared_as_words(a, b, same):
    assert same_instruction(a, b) is same_instruction(b, a) is same


# ------------------------------------------------------------------------------------------------------------ the dataset
OLD = Reasoning(task="Old.")


def bridge(path, *metas, length=4, instruction="Put the can down"):
    """A dataset of robot episodes of noise that carry an old chain in their first frame."""
    rng = np.random.default_rng(0)
    write_dataset(path, [
        Episode(instruction, rng.integers(0, 256, (length, 6, 8, 3), np.uint8), [OLD, *[None] * (length - 1)], "robot",
                rng.normal(size=(length, 7)).astype(np.float32), meta=meta)
        for meta in metas
    ])  # fmt: skip
    return EpisodeDataset(path)


def meta(episode_id, file_path=FILE):
    return {"file_path": file_path, "episode_id": episode_id, "scene": "kitchen"}


@pytest.mark.parametrize("in_place", (False, True))
def test_a_dataset_is_written_anew_with_the_chains(write, tmp_path, in_place):
    dataset = bridge(tmp_path / "bridge", meta(7), meta("7", "/other"), {})
    before, out = [*dataset], tmp_path / ("bridge" if in_place else "annotated")
    path = write({FILE: {"7": record(steps=[1, 3, 4]), "8": record(FILE, "8")}})
    report = annotate_from_ecot(dataset, path, out, overwrite=in_place)
    assert (report.matched, report.unmatched_records, report.unmatched_episodes) == (1, 1, 2)
    assert (report.steps, report.steps_out_of_range, report.agreement) == (2, 1, 1)
    after = [*EpisodeDataset(out)]
    (one,) = [one for one in read_ecot(path) if one.episode_id == "7"]
    assert after[0].reasoning == [None, one.steps[1], None, one.steps[3]]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.frames, new.frames)
        np.testing.assert_array_equal(old.actions, new.actions)
        assert (old.instruction, old.meta, old.fps) == (new.instruction, new.meta, new.fps)
    assert [new.reasoning for new in after[1:]] == [old.reasoning for old in before[1:]]
    card = (out / "README.md").read_text()
    assert "features.json" in card and "license: cc-by-4.0" in card


def test_a_failed_join_leaves_nothing(write, tmp_path):
    dataset, out = bridge(tmp_path / "bridge", meta(7)), tmp_path / "new" / "annotated"
    cut = json.dumps({FILE: {"7": record()}})[:-1]
    for content in (cut, {FILE: {"7": record(instruction="Open the drawer")}}, {"/x": {"7": record("/x")}}):
        path = write(content)
        with pytest.raises(RadliteError):
            annotate_from_ecot(dataset, path, out)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["bridge", "features.json"]
    bad = write({FILE: {"7": record(), "8": {"reasoning": []}}})
    with pytest.raises(RadliteError, match="episode '8'"):
        annotate_from_ecot(dataset, bad, out)
    assert annotate_from_ecot(dataset, bad, out, strict=False).refused_records == 1
    with pytest.raises(RadliteError, match="not empty"):  # before the JSON is opened
        annotate_from_ecot(dataset, tmp_path / "none.json", out)


def test_a_dataset_without_keys_cannot_be_joined(write, tmp_path):
    path = write({FILE: {"0": record(episode_id="0")}})
    with pytest.raises(RadliteError, match="no substitute"):
        annotate_from_ecot(bridge(tmp_path / "bare", {}, {"episode_id": 0}), path, tmp_path / "out")
    for number, odd in enumerate((meta(0, 3), meta(True), meta(0.5))):
        dataset = bridge(tmp_path / f"odd {number}", meta(7), odd)
        with pytest.raises(RadliteError, match="in episode 1"):
            bridge_episodes(dataset)


def test_a_report_of_nothing_can_be_read():
    assert JoinReport().agreement is None and "0 of 0" in str(JoinReport())
