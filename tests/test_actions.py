"""Actions come back from their tokens within half a bin, and motions get the words that ECoT gives them."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radlite.actions import (
    ACTION_DIM,
    BIN_CENTRES,
    BINS,
    BRIDGE_STATS,
    GRIPPER,
    MIDDLE_BIN,
    ActionStats,
    decode,
    encode,
    expectation,
    primitive,
    primitive_to_vector,
    primitives,
)
from radlite.errors import RadliteError

LOW, HIGH = np.array(BRIDGE_STATS.q01), np.array(BRIDGE_STATS.q99)
units = arrays(np.float64, (5, ACTION_DIM), elements=st.floats(0, 1))
deltas = arrays(np.float64, ACTION_DIM, elements=st.floats(-0.5, 0.5))


def delta(**changes):
    """A change of state from named dimensions."""
    names = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
    return np.array([changes.get(name, 0.0) for name in names])


@st.composite
def stats(draw):
    number = st.floats(-10, 10)
    pairs = [sorted((draw(number), draw(number))) for _ in range(ACTION_DIM)]
    assume(all(high == low or high - low > 1e-3 for low, high in pairs))
    return ActionStats(tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))


@given(units, stats())
def test_round_trip_within_half_a_bin(unit, any_stats):
    low, high = np.array(any_stats.q01), np.array(any_stats.q99)
    low[GRIPPER], high[GRIPPER] = 0, 1
    actions = low + unit * (high - low)
    bins = encode(actions, any_stats)
    assert bins.dtype == np.int64 and bins.min() >= 0 and bins.max() < BINS
    back = decode(bins, any_stats)
    assert back.dtype == np.float32 and back.shape == actions.shape
    assert (np.abs(back - actions) <= (high - low) / BINS / 2 + 1e-5).all()
    moving = high > low
    assert (encode(back, any_stats) == bins)[:, moving].all()  # a centre stays in its bin


@given(units.map(lambda u: u * 3 - 1))
def test_outside_is_clipped(unit):
    actions = LOW + unit * (HIGH - LOW)
    clipped = np.clip(actions, LOW, HIGH)
    np.testing.assert_array_equal(encode(actions, BRIDGE_STATS), encode(clipped, BRIDGE_STATS))


def test_ends_and_order_of_bins():
    assert encode(LOW, BRIDGE_STATS).tolist() == [0] * 7
    assert encode(HIGH, BRIDGE_STATS).tolist() == [BINS - 1] * 7
    assert encode(HIGH + 1, BRIDGE_STATS).tolist() == [BINS - 1] * 7
    ramp = LOW + np.linspace(0, 1, 4 * BINS)[:, None] * (HIGH - LOW)
    bins = encode(ramp, BRIDGE_STATS)
    assert (np.diff(bins, axis=0) >= 0).all() and len(np.unique(bins)) == BINS
    assert np.allclose(np.diff(BIN_CENTRES), 2 / BINS) and np.isclose(BIN_CENTRES.sum(), 0)


def test_zero_motion_is_not_the_middle_bin_in_bridge():
    z = encode(np.zeros(7), BRIDGE_STATS)[2]  # facts: z = 0 normalises to -0.21
    assert BIN_CENTRES[z] == pytest.approx(-0.21, abs=0.01)


def test_gripper_ignores_the_statistics():
    odd = ActionStats(BRIDGE_STATS.q01[:6] + (0.4,), BRIDGE_STATS.q99[:6] + (0.4,))
    for opening in (0.0, 0.3, 1.0):
        action = delta(gripper=opening)
        for which in (odd, BRIDGE_STATS):
            assert encode(action, which)[GRIPPER] == min(int(opening * 256), 255)
        assert decode(encode(action, odd), odd)[GRIPPER] == pytest.approx(opening, abs=1 / 512 + 1e-6)


def test_still_dimension_does_not_divide_by_zero():
    still = ActionStats((0.5,) * 7, (0.5,) * 7)
    with np.errstate(all="raise"):
        bins = encode(np.array([[0.5] * 7, [9.0] * 7, [-9.0] * 7]), still)
    assert (bins[:, :6] == MIDDLE_BIN).all()
    assert (decode(bins, still)[:, :6] == 0.5).all()
    assert (decode(np.zeros((1, 7), int), still)[:, :6] == 0.5).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_told(bad):
    actions = np.zeros((3, 7))
    actions[1, 4] = bad
    calls = [
        lambda: encode(actions, BRIDGE_STATS),
        lambda: ActionStats.fit(actions),
        lambda: ActionStats(actions[1], actions[1]),
        lambda: primitive(actions[1]),
        lambda: primitives(actions),
    ]
    for call in calls:
        with pytest.raises(RadliteError, match="finite"):
            call()


def test_wrong_shapes_and_bins_are_told():
    calls = [
        lambda: encode(np.zeros(6), BRIDGE_STATS),
        lambda: encode(0.0, BRIDGE_STATS),
        lambda: encode("abc", BRIDGE_STATS),
        lambda: encode([[1], [1, 2]], BRIDGE_STATS),
        lambda: decode(np.zeros((2, 6), int), BRIDGE_STATS),
        lambda: decode(np.zeros(7), BRIDGE_STATS),
        lambda: decode(np.full(7, BINS), BRIDGE_STATS),
        lambda: decode(np.full(7, -1), BRIDGE_STATS),
        lambda: expectation(np.ones((7, 255)), BRIDGE_STATS),
        lambda: expectation(np.zeros((7, 256)), BRIDGE_STATS),
        lambda: expectation(np.full((7, 256), -1.0), BRIDGE_STATS),
        lambda: ActionStats.fit(np.zeros((0, 7))),
        lambda: ActionStats.fit(np.zeros((4, 6))),
        lambda: ActionStats((0.0,) * 6, (1.0,) * 7),
        lambda: ActionStats((1.0,) * 7, (0.0,) * 7),
        lambda: ActionStats.from_dict({"q01": [0] * 7}),
        lambda: ActionStats.from_dict(None),
        lambda: ActionStats.from_dict({"q01": "abc", "q99": [0] * 7}),
    ]
    for call in calls:
        with pytest.raises(RadliteError):
            call()


def test_batches_of_any_shape():
    actions = np.random.default_rng(0).uniform(LOW, HIGH, (2, 3, 7))
    bins = encode(actions, BRIDGE_STATS)
    assert bins.shape == decode(bins, BRIDGE_STATS).shape == (2, 3, 7)
    np.testing.assert_array_equal(bins[1, 2], encode(actions[1, 2], BRIDGE_STATS))
    assert encode(np.zeros((0, 7)), BRIDGE_STATS).shape == (0, 7)


@given(arrays(np.int64, (3, ACTION_DIM), elements=st.integers(0, BINS - 1)), st.floats(0.1, 2))
def test_expectation_of_certainty_is_decode(bins, scale):
    probs = np.eye(BINS)[bins] * scale  # also when they do not quite sum to one
    np.testing.assert_allclose(expectation(probs, BRIDGE_STATS), decode(bins, BRIDGE_STATS), atol=1e-6)


def test_expectation_lies_between_two_bins():
    probs = np.zeros((7, BINS))
    probs[:, 10], probs[:, 20] = 0.75, 0.25
    ten, twenty = (decode(np.full(7, b), BRIDGE_STATS) for b in (10, 20))
    np.testing.assert_allclose(expectation(probs, BRIDGE_STATS), 0.75 * ten + 0.25 * twenty, atol=1e-6)
    still = ActionStats((0.5,) * 7, (0.5,) * 7)
    assert (expectation(probs, still)[:6] == 0.5).all()


def test_fit_takes_percentiles_and_survives_json():
    table = np.random.default_rng(0).normal(size=(1000, 7))
    table[:, 3] = 0.1
    fitted = ActionStats.fit(table)
    inside = (table >= fitted.q01) & (table <= fitted.q99)
    assert (np.abs(inside[:, [0, 1, 2, 4, 5]].mean(axis=0) - 0.98) <= 0.002).all()
    assert fitted.q01[3] == fitted.q99[3] == 0.1
    assert (fitted.q01[GRIPPER], fitted.q99[GRIPPER]) == (0, 1)
    assert ActionStats.from_dict(json.loads(json.dumps(fitted.to_dict()))) == fitted


# -- words ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, label",
    [
        ({}, "stop"),
        ({"x": 0.03}, "stop"),  # strictly more than the threshold
        ({"x": 0.031}, "move forward"),
        ({"x": -0.031}, "move backward"),
        ({"y": 0.04}, "move left"),
        ({"y": -0.04}, "move right"),
        ({"z": 0.04}, "move up"),
        ({"z": -0.04}, "move down"),
        ({"x": 0.04, "y": 0.04}, "move forward left"),
        ({"y": 0.04, "z": -0.04, "gripper": -1}, "move left down, close gripper"),
        ({"x": 0.05, "y": 0.05, "z": 0.032}, "move forward left"),  # shrunk to L1 norm 0.09: z falls below
        ({"x": 0.3, "y": 0.1}, "move forward"),  # a fast motion keeps its main axis only
        ({"x": 0.3, "y": 0.2}, "move forward left"),
        ({"roll": 0.3}, "stop"),
        ({"roll": 0.31}, "tilt up"),
        ({"roll": -0.31}, "tilt down"),
        ({"pitch": 0.31}, "tilt up"),
        ({"roll": -0.31, "pitch": 0.4}, "tilt down"),  # roll goes first
        ({"yaw": 0.31}, "rotate counterclockwise"),
        ({"yaw": -0.31}, "rotate clockwise"),
        ({"gripper": 0.031}, "open gripper"),
        ({"gripper": -0.02}, "stop"),
        ({"x": 0.3, "gripper": 0.05}, "move forward, open gripper"),  # the rescale leaves the gripper alone
        ({"x": -0.04, "z": 0.04, "pitch": -1, "yaw": -1, "gripper": 1},
         "move backward up, tilt down, rotate clockwise, open gripper"),
    ],
)  # fmt: skip
def test_primitive_follows_ecot(changes, label):
    change = delta(**changes)
    kept = change.copy()
    assert primitive(change) == label
    np.testing.assert_array_equal(change, kept)  # the caller's array is left alone


def test_primitive_parameters():
    change = delta(x=0.02, y=0.02, z=-0.02, yaw=0.2)
    assert primitive(change) == "stop"
    assert primitive(change, threshold=0.01) == "move forward left down, rotate counterclockwise"
    assert primitive(change, threshold=0.01, max_norm=0.02) == "rotate counterclockwise"
    assert primitive(change, threshold=0.01, rotation_scale=100) == "move forward left down"
    assert primitive(change, threshold=0.01, rotations=False) == "move forward left down"
    for bad in ({"threshold": 0}, {"threshold": 0.1}, {"rotation_scale": 0}, {"max_norm": 0.03}):
        with pytest.raises(RadliteError, match="threshold"):
            primitive(change, **bad)
    with pytest.raises(RadliteError, match="7 numbers"):
        primitive(np.zeros(6))


@given(deltas)
def test_the_mirrored_motion_has_the_opposite_words(change):
    there, back = (primitive_to_vector(primitive(d)) for d in (change, -change))
    np.testing.assert_array_equal(there, -back)


@given(deltas)
def test_the_words_name_the_motion_and_at_most_two_axes(change):
    signs = primitive_to_vector(primitive(change))
    lengths = np.sort(np.abs(change[:3]))
    assume(lengths[2] - lengths[0] > 1e-6)  # an exact three-way tie is decided by rounding
    assert np.abs(signs[:3]).sum() <= 2
    for dim in (0, 1, 2, 5, 6):
        assert signs[dim] in (0, np.sign(change[dim]))
    assert signs[3] in (0, np.sign(change[3]), np.sign(change[4])) and signs[4] == 0
    assert signs[GRIPPER] == (abs(change[GRIPPER]) > 0.03) * np.sign(change[GRIPPER])


def test_every_reachable_label_has_its_vector():
    labels = set()
    for signs in itertools.product((-1, 0, 1), repeat=6):
        vector = np.array([*signs[:4], 0, *signs[4:]])
        if np.abs(vector[:3]).sum() == 3:
            continue
        label = primitive(vector * [0.04, 0.04, 0.04, 0.5, 0.5, 0.5, 1])
        np.testing.assert_array_equal(primitive_to_vector(label), vector)
        labels.add(label)
    assert len(labels) == 19 * 27  # the number of labels that ECoT's rules can reach


def test_labels_as_a_model_may_write_them():
    expected = [0, 1, -1, 0, 0, 0, -1]
    assert primitive_to_vector(" Move left  down,close gripper. ").tolist() == expected
    assert primitive_to_vector("Stop").tolist() == [0] * 7


@pytest.mark.parametrize(
    "label",
    ["", "move", "left", "move left right", "move left left", "stop, open gripper", "move stop",
     "grasp the can", "move open gripper", "move tilt up", "open gripper, close gripper", "move left,, up",
     "move sideways", "left, right", None],
)  # fmt: skip
def test_unknown_labels_are_told(label):
    with pytest.raises(RadliteError, match="primitive"):
        primitive_to_vector(label)


def test_primitives_look_ahead_over_the_window():
    states = np.zeros((8, 7))
    states[:, 0] = 0.012 * np.arange(8)  # 1.2 cm a step: 3.6 cm in three steps
    states[5:, GRIPPER] = 1
    expected = ["move forward", "move forward", "move forward, open gripper", "move forward, open gripper",
                "move forward, open gripper", "stop", "stop", "stop"]  # fmt: skip
    assert primitives(states) == expected  # step 5 has 2 steps left, 2.4 cm; the last repeats
    assert primitives(states, window=2) == ["stop"] * 4 + ["open gripper"] + ["stop"] * 3
    assert primitives(states, window=2, threshold=0.01)[0] == "move forward"
    assert primitives(states, window=100)[0] == "move forward, open gripper"


paths = arrays(np.float64, st.tuples(st.integers(2, 9), st.just(7)), elements=st.floats(-0.2, 0.2))


@given(paths, st.integers(2, 6))
def test_primitives_are_primitives_of_differences(states, window):
    labels = primitives(states, window=window)
    last = len(states) - 1
    assert labels[:-1] == [primitive(states[min(t + window - 1, last)] - states[t]) for t in range(last)]
    assert labels[-1] == labels[-2]


def test_primitives_of_short_and_wrong_episodes():
    assert primitives(np.zeros((1, 7))) == ["stop"]
    for states in (np.zeros((0, 7)), np.zeros((3, 6)), np.zeros(7)):
        with pytest.raises(RadliteError, match="T, 7"):
            primitives(states)
    with pytest.raises(RadliteError, match="window"):
        primitives(np.zeros((3, 7)), window=1)


def test_an_angle_that_wraps_is_not_a_turn():
    states = np.zeros((2, 7))
    states[:, 5] = 3.1, -3.1
    assert primitives(states) == ["stop", "stop"]
    states[:, 5] = 3.0, -2.9  # 0.38 rad on through pi
    assert primitives(states)[0] == "rotate counterclockwise"
