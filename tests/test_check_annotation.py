"""The public checks of notebook 02: right answers pass, common wrong ones are refused by the property they break."""

from __future__ import annotations

import numpy as np
import pytest

from radlite import check
from tests.test_check import told


# --------------------------------------------------------------------------------------------- hand_as_gripper
def right_grip(thumb, index, palm, closed, opened, first=True, by_palm=True, between="as before", unseen="keep"):
    apart = np.linalg.norm(thumb - index, axis=1)
    ratios = apart / (palm if by_palm else 40.0)
    states, state = [], first
    for ratio in ratios:
        if np.isnan(ratio):
            state = first if unseen == "forget" else state
            states.append(state if unseen == "told" else None)
            continue
        middle = (closed + opened) / 2
        state = ratio > middle if between == "middle" else False if ratio < closed else True if ratio > opened else state
        if between == "closed" and ratio <= opened:
            state = False
        states.append(bool(state))
    return (thumb + index) / 2, states


def the_tip(thumb, index, *rest):
    return index, right_grip(thumb, index, *rest)[1]


def filled(thumb, index, *rest):
    points, states = right_grip(thumb, index, *rest)
    return np.nan_to_num(points), states


WRONG_GRIPS = {
    "the index tip": (the_tip, ["midpoint"]),
    "pixels": (lambda *a: right_grip(*a, by_palm=False), ["any distance"]),
    "one threshold": (lambda *a: right_grip(*a, between="middle"), ["between the thresholds"]),
    "closed between them": (lambda *a: right_grip(*a, between="closed"), ["between the thresholds"]),
    "closed at first": (lambda *a: right_grip(*a, first=False), ["between the thresholds"]),
    "forgets in a gap": (lambda *a: right_grip(*a, unseen="forget"), ["passed over"]),
    "tells in a gap": (lambda *a: right_grip(*a, unseen="told"), ["passed over"]),
    "zeros for NaN": (filled, ["passed over"]),
    "own thresholds": (lambda t, i, p, c, o: right_grip(t, i, p, 0.42, 0.58), ["any distance"]),
}


def test_the_right_grip_passes(capsys):
    assert told(check.hand_as_gripper, right_grip, capsys)[0]

    def by_numbers(*a):
        points, states = right_grip(*a)
        return points.tolist(), np.array([None if s is None else int(s) for s in states], object)

    assert told(check.hand_as_gripper, by_numbers, capsys)[0]


@pytest.mark.parametrize("name", WRONG_GRIPS)
def test_wrong_grips_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_GRIPS[name]
    _, _, bad, text = told(check.hand_as_gripper, function, capsys)
    assert bad and all(any(says in line for line in bad) for says in broken), text


@pytest.mark.parametrize("wrong", [None, 3, ([], []), ("x", [True]), (np.zeros((6, 2)), ["open"] * 6)])
def test_grips_of_another_form_are_told(wrong, capsys):
    _, good, _, text = told(check.hand_as_gripper, lambda *a: wrong, capsys)
    assert not good and "should" in text


# --------------------------------------------------------------------------------------------- movement_primitives
def stretches(known):
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(int)))
    return list(zip(edges[::2], edges[1::2] - 1, strict=True))


def label(change, threshold, size=lambda c: np.abs(c).sum(), most=3.0, names="fblrud"):
    words = dict(f="forward", b="backward", l="left", r="right", u="up", d="down")
    length = size(change)
    change = change * (most * threshold / length) if length > most * threshold else change
    said = [words[names[2 * k + (v < 0)]] for k, v in enumerate(change) if abs(v) > threshold]
    return f"move {' '.join(said)}" if said else "stop"


def right_labels(path, window, threshold, back=False, last_one=None, alone=None, tail=False, across=False, axis=None, **how):
    known = np.isfinite(path).all(1) if axis is None else np.isfinite(path[:, axis])
    labels = [None] * len(path)
    for first, last in [(0, len(path) - 1)] if across else stretches(known):
        for t in range(first, last):
            end = max(first, t - window) if back else min(t + window, last)
            if tail and t + window > last:
                continue
            change = np.nan_to_num(path[t] - path[end] if back else path[end] - path[t])
            labels[t] = label(change, threshold, **how)
        if last > first:
            labels[last] = last_one or labels[last - 1]
        elif alone:
            labels[last] = alone
    return labels


WRONG_LABELS = {
    "left is right": (lambda *a: right_labels(*a, names="fbrlud"), ["one direction"]),
    "another order": (lambda p, *a: [w and {"move up": "up"}.get(w, w) for w in right_labels(p, *a)], ["one direction"]),
    "looks back": (lambda *a: right_labels(*a, back=True), ["looks `window`"]),
    "the next frame": (lambda p, w, t: right_labels(p, 1, t), ["looks `window`"]),
    "one frame more": (lambda p, w, t: right_labels(p, w + 1, t), ["looks `window`"]),
    "no end": (lambda *a: right_labels(*a, tail=True), ["looks `window`"]),
    "stops at the end": (lambda *a: right_labels(*a, last_one="stop"), ["looks `window`"]),
    "three words": (lambda *a: right_labels(*a, most=1e9), ["long ways"]),
    "Pythagoras": (lambda *a: right_labels(*a, size=np.linalg.norm), ["long ways"]),
    "own threshold": (lambda p, w, t: right_labels(p, w, 0.03), ["looks `window`"]),
    "across gaps": (lambda *a: right_labels(*a, across=True), ["None where"]),
    "alone is a stop": (lambda *a: right_labels(*a, alone="stop"), ["None where"]),
    "one axis unknown": (lambda *a: right_labels(*a, axis=0), ["None where"]),
}


def test_the_right_labels_pass(capsys):
    assert told(check.movement_primitives, right_labels, capsys)[0]
    assert told(check.movement_primitives, lambda *a: np.array(right_labels(*a), object), capsys)[0]


@pytest.mark.parametrize("name", WRONG_LABELS)
def test_wrong_labels_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_LABELS[name]
    _, _, bad, text = told(check.movement_primitives, function, capsys)
    assert bad and all(any(says in line for line in bad) for says in broken), text


@pytest.mark.parametrize("wrong", [None, "move up", ["stop"], [3] * 7])
def test_labels_of_another_form_are_told(wrong, capsys):
    _, good, _, text = told(check.movement_primitives, lambda *a: wrong, capsys)
    assert not good and "labels should come out" in text
