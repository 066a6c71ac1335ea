"""A chain survives the way through text, whatever valid text it holds; a cut-off chain invents nothing."""

import itertools
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from radlite.errors import RadliteError
from radlite.reasoning import ACTION_TAG, FIELDS, FRAME_SIZE, TAGS, TEXT_FIELDS, Box, Reasoning

# Read off RAD's project site (facts: the milk carton).
RAD_TEXT = (
    "TASK: Pick up the milk carton. "
    "PLAN: 1. Move to the milk carton. 2. Grasp the milk carton. 3. Lift the milk carton. "
    "4. Move to the destination. "
    "VISIBLE OBJECTS: a blue child milk carton [151, 77, 189, 157] "
    "SUBTASK REASONING: The milk carton is on the sink. The robotic arm must move to the milk carton. "
    "The initial position is unknown, so the arm must first move down. "
    "SUBTASK: Move to the milk carton. "
    "MOVE REASONING: The arm must move down to get to the level of the milk carton. "
    "MOVE: move down "
    "GRIPPER POSITION: [157, 89, 157, 89, 157, 95, 159, 100, 161, 105]"
)
SAMPLE = Reasoning.from_text(RAD_TEXT)


def is_valid_text(text: str) -> bool:
    """Written apart from the module: one line, no outer space, no '@', no tag."""
    tags = [*TAGS.values(), ACTION_TAG]
    one_line = text.splitlines() == [text] and "\t" not in text
    return one_line and text == text.strip() and "@" not in text and not any(tag in text for tag in tags)


pieces = st.sampled_from(
    ["The gripper at [157, 89] is open, 12 cm high.", "1. Go.", "REASONING:", "TASK", "MOVE", "task:", ":",
     ",", "]", "[", "  ", "can (red)", "50%", "“öl”", "ACTION", "SUB", "OBJECTS:", "a", "<a12>"]
)  # fmt: skip
free_text = st.one_of(st.text(max_size=30), st.lists(pieces, max_size=6).map(" ".join)).map(str.strip)
free_text = free_text.filter(is_valid_text)
names = free_text.map(lambda s: s.replace("[", "").replace("]", "").strip()).filter(is_valid_text)
edges = st.lists(st.integers(0, FRAME_SIZE), min_size=2, max_size=2).map(sorted)
boxes = st.builds(lambda name, x, y: Box(name, (x[0], y[0], x[1], y[1])), names, edges, edges)
points = st.tuples(st.integers(0, FRAME_SIZE - 1), st.integers(0, FRAME_SIZE - 1))
reasonings = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(TEXT_FIELDS, free_text),
        "bboxes": st.lists(boxes, max_size=3).map(tuple),
        "gripper": st.lists(points, min_size=1, max_size=5).map(tuple),
    },
).map(lambda fields: Reasoning(**fields))
chains = reasonings.filter(lambda r: r != Reasoning())


@given(chains)
@example(Reasoning(subtask_reason="REASONING: SUB", subtask="SUBTASK", move_reason="MOVE", move="a"))
@example(Reasoning(task="a multiTASK: robot", plan="noMOVE:"))  # no tag begins inside a word
@example(Reasoning(bboxes=()))
@example(Reasoning(bboxes=(Box(", a, b", (0, 0, 0, 0)), Box(",", (1, 2, 3, 4)))))
@example(Reasoning(task="multiTASK 1", plan="two  spaces [157, 89], 12 cm high."))
def test_valid_chain_survives_text(reasoning):
    reasoning.validate()
    assert Reasoning.from_text(reasoning.to_text()) == reasoning
    assert Reasoning.from_text(f"\n {reasoning.to_text()} ACTION: [1, TASK: x </s>\n") == reasoning


@given(reasonings)
def test_valid_chain_survives_json(reasoning):
    data = json.loads(json.dumps(reasoning.to_dict()))
    assert set(data) == {f for f in FIELDS if getattr(reasoning, f) is not None}
    assert Reasoning.from_dict(data) == reasoning


@given(reasonings, st.sets(st.sampled_from(FIELDS)))
def test_spans_cut_the_text_into_its_fields(reasoning, fields):
    text, spans = reasoning.to_text(fields), reasoning.spans(fields)
    present = [f for f in FIELDS if f in fields and getattr(reasoning, f) is not None]
    assert list(spans) == present
    cuts = [text[start:end] for start, end in spans.values()]
    assert " ".join(cuts) == text
    for field, cut in zip(present, cuts, strict=True):
        assert cut.startswith(TAGS[field])
        assert Reasoning.from_text(cut) == Reasoning(**{field: getattr(reasoning, field)})


@given(chains, st.permutations(FIELDS), st.sampled_from([" ", "@", "\n", "  "]))
def test_from_text_takes_any_order_and_ecot_separators(reasoning, order, gap):
    text = gap.join(reasoning.to_text(f) for f in order if getattr(reasoning, f) is not None)
    for tag in TAGS.values():
        text = text.replace(f"{tag} ", f"{tag}{gap}") if gap == "@" else text
    assert Reasoning.from_text(text) == reasoning


tags = [*TAGS.values(), ACTION_TAG]
scraps = st.sampled_from(tags * 2 + [" ", "[1, 2]", "[1, 2, 3, 4]", "a", ",", "[", "]", "9" * 5000, "٣"])
scrap_lists = st.lists(scraps, max_size=12)
noise = st.one_of(st.text(max_size=60), scrap_lists.map("".join), scrap_lists.map(" ".join))


@given(noise)
def test_noise_raises_nothing_but_radlite_error(text):
    try:
        reasoning = Reasoning.from_text(text)
    except RadliteError:
        return
    again = reasoning.to_text()
    assert not again or Reasoning.from_text(again) == reasoning


@given(noise)
def test_parse_partial_never_raises(text):
    partial = Reasoning.parse_partial(text)
    try:
        whole = Reasoning.from_text(text)
    except RadliteError:
        return
    assert all(getattr(partial, f) in (None, getattr(whole, f)) for f in FIELDS)


@given(chains, st.data())
def test_partial_chain_invents_nothing_and_forgets_only_the_last(reasoning, data):
    text, spans = reasoning.to_text(), reasoning.spans()
    cut = data.draw(st.integers(0, len(text)))
    partial = Reasoning.parse_partial(text[:cut])
    order = list(spans)
    for field in FIELDS:
        assert getattr(partial, field) in (None, getattr(reasoning, field))
    for field, following in itertools.pairwise(order):
        if cut >= spans[following][0] + len(TAGS[following]):  # its successor's tag has been written
            assert getattr(partial, field) == getattr(reasoning, field)
        elif field != "gripper" and cut < spans[following][1]:
            assert getattr(partial, field) is None


def test_every_prefix_of_the_rad_sample():
    seen = []
    for cut in range(len(RAD_TEXT) + 1):
        known = list(Reasoning.parse_partial(RAD_TEXT[:cut]).to_dict())
        assert known == list(FIELDS[: len(known)]) and len(known) >= len(seen)
        seen = known
    assert Reasoning.parse_partial(RAD_TEXT) == SAMPLE


@pytest.mark.parametrize(
    "text, kept",
    [
        ("TASK: put the can on the pl", []),
        ("TASK: put the can on the plate. PLAN:", ["task"]),
        ("TASK: a VISIBLE OBJECTS: can [1, 2, 3, 4], cup [5, 6,", ["task"]),
        ("VISIBLE OBJECTS: can 1, 2 MOVE: up GRIPPER POSITION: [1, 2] VISIB", ["move", "gripper"]),
        ("MOVE: up GRIPPER POSITION: [1, 2, 3", ["move"]),
        ("MOVE: up MOVE: down ACTION: <a1>", ["move"]),
        ("SUBTASK REASONING: x SUBTASK", []),
        ("", []),
    ],
)
def test_partial_cases(text, kept):
    partial = Reasoning.parse_partial(text)
    assert list(partial.to_dict()) == kept
    assert partial.move in (None, "up")


def test_rad_sample_reads_as_published():
    assert SAMPLE.to_text() == RAD_TEXT
    assert SAMPLE.bboxes == (Box("a blue child milk carton", (151, 77, 189, 157)),)
    assert SAMPLE.gripper == ((157, 89), (157, 89), (157, 95), (159, 100), (161, 105))
    assert SAMPLE.move == "move down" and SAMPLE.subtask == "Move to the milk carton."
    assert SAMPLE.plan.endswith("4. Move to the destination.")
    SAMPLE.validate()


def test_objects_last_variant_has_the_same_content():
    objects = "VISIBLE OBJECTS: a blue child milk carton [151, 77, 189, 157]"
    variant = RAD_TEXT.replace(objects + " ", "") + " " + objects
    assert variant != RAD_TEXT
    assert Reasoning.from_text(variant) == SAMPLE
    assert Reasoning.from_text(variant).to_text() == RAD_TEXT


def test_ecot_loader_text_with_at_signs():
    text = "TASK:@pick up@PLAN:@1. go@2. grasp@VISIBLE OBJECTS:@@MOVE:@stop@GRIPPER POSITION:@[162, 92]@"
    text += "ACTION:@x"
    expected = Reasoning(task="pick up", plan="1. go 2. grasp", bboxes=(), move="stop", gripper=((162, 92),))
    assert Reasoning.from_text(text) == expected


def test_blank_tags_are_absent_fields():
    assert Reasoning.from_text("TASK: PLAN: go MOVE: GRIPPER POSITION:") == Reasoning(plan="go")


def test_tags_inside_longer_tags():
    both = Reasoning(subtask_reason="why", subtask="what")
    assert Reasoning.from_text("SUBTASK REASONING: why SUBTASK: what") == both
    assert Reasoning.from_text("MOVE REASONING: why") == Reasoning(move_reason="why")
    assert Reasoning.from_text("TASK: a SUBTASK: b") == Reasoning(task="a", subtask="b")


@pytest.mark.parametrize(
    "text, word",
    [
        ("", "tag"),
        ("pick up the can", "tag"),
        ("ACTION: 1 2 3", "tag"),
        ("USER: what? TASK: a", "ahead"),
        ("TASK: a TASK: b", "twice"),
        ("VISIBLE OBJECTS: a can", "coordinates"),
        ("VISIBLE OBJECTS: a can [1, 2, 3]", "a can"),
        ("VISIBLE OBJECTS: [1, 2, 3, 4]", "name"),
        ("VISIBLE OBJECTS: a [1, 2, 3, 4] b [1, 2, 3, 4]", "objects"),
        ("VISIBLE OBJECTS: a [1, 2, 3.5, 4]", "objects"),
        ("GRIPPER POSITION: [1, 2, 3]", "points"),
        ("GRIPPER POSITION: 1, 2", "points"),
        ("GRIPPER POSITION: []", "points"),
        ("GRIPPER POSITION: [1, ٢]", "points"),
        (f"GRIPPER POSITION: [1, {'9' * 5000}]", "points"),
        ("GRIPPER POSITION: [1, 2] then", "points"),
        (None, "NoneType"),
        (b"TASK: a", "bytes"),
    ],
)
def test_unreadable_text_teaches(text, word):
    with pytest.raises(RadliteError, match=word):
        Reasoning.from_text(text)


@pytest.mark.parametrize(
    "reasoning",
    [
        Reasoning(task=""),
        Reasoning(task=" a"),
        Reasoning(plan="1. a\n2. b"),
        Reasoning(plan="a\tb"),
        Reasoning(plan="a@b"),
        Reasoning(move_reason="as in TASK: b"),
        Reasoning(move="stop ACTION: x"),
        Reasoning(subtask="SUBTASK REASONING: x"),
        Reasoning(task=3),
        Reasoning(gripper=()),
        Reasoning(gripper=((256, 0),)),
        Reasoning(gripper=((0, -1),)),
        Reasoning(gripper=((1, 2, 3),)),
        Reasoning(gripper=((1.0, 2),)),
        Reasoning(gripper=[(1, 2)]),
        Reasoning(bboxes=(Box("a", (0, 0, 257, 1)),)),
        Reasoning(bboxes=(Box("a", (-1, 0, 1, 1)),)),
        Reasoning(bboxes=(Box("a", (5, 0, 4, 1)),)),
        Reasoning(bboxes=(Box("a", (0, 5, 1, 4)),)),
        Reasoning(bboxes=(Box("", (0, 0, 1, 1)),)),
        Reasoning(bboxes=(Box("a [b]", (0, 0, 1, 1)),)),
        Reasoning(bboxes=(Box("a@", (0, 0, 1, 1)),)),
        Reasoning(bboxes=(Box("a", (0, 0, 1)),)),
        Reasoning(bboxes=(("a", (0, 0, 1, 1)),)),
    ],
)
def test_invalid_chain_is_told(reasoning):
    with pytest.raises(RadliteError):
        reasoning.validate()


def test_frame_size_is_a_parameter():
    small = Reasoning(gripper=((63, 0),), bboxes=(Box("a", (0, 0, 64, 64)),))
    small.validate(64)
    with pytest.raises(RadliteError, match="63x63"):
        Reasoning(gripper=((63, 0),)).validate(63)


@given(reasonings, st.sampled_from(FIELDS))
def test_before_and_without(reasoning, field):
    i = FIELDS.index(field)
    before = reasoning.before(field)
    assert all(getattr(before, f) == (getattr(reasoning, f) if FIELDS.index(f) < i else None) for f in FIELDS)
    without = reasoning.without(field)
    assert all(getattr(without, f) == (None if f == field else getattr(reasoning, f)) for f in FIELDS)
    assert without.to_text() == reasoning.to_text([f for f in FIELDS if f != field])


def test_replace_and_unknown_fields():
    assert SAMPLE.replace(move="stop").move == "stop" and SAMPLE.move == "move down"
    assert SAMPLE.to_text("move") == "MOVE: move down"
    calls = [
        lambda: SAMPLE.replace(grip=1),
        lambda: SAMPLE.without("grip"),
        lambda: SAMPLE.before("grip"),
        lambda: SAMPLE.to_text(["grip"]),
        lambda: SAMPLE.spans(["grip"]),
        lambda: Reasoning.from_dict({"grip": "x"}),
    ]
    for call in calls:
        with pytest.raises(RadliteError, match="grip"):
            call()


@pytest.mark.parametrize(
    "data",
    [
        [], None, {"task": 1}, {1: "a"}, {"bboxes": 3}, {"bboxes": [["a", [1, 2, 3, 4]]]},
        {"bboxes": [{"name": "a"}]}, {"bboxes": [{"name": "a", "xyxy": [1, 2, 3]}]}, {"gripper": [1, 2]},
        {"gripper": [[1, 2.5]]}, {"gripper": "ab"}, {"bboxes": "ab"},
        {"bboxes": [{"name": 1, "xyxy": [1, 2, 3, 4]}]},
    ],
)  # fmt: skip
def test_bad_dictionaries_are_told(data):
    with pytest.raises(RadliteError):
        Reasoning.from_dict(data)


def test_null_in_json_is_an_absent_field():
    assert Reasoning.from_dict({"task": "a", "plan": None}) == Reasoning(task="a")
