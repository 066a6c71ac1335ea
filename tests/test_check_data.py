"""The public checks of notebook 08: right answers pass, common wrong ones are refused by the property they break."""

from __future__ import annotations

import numpy as np
import pytest

from radlite import check
from radlite.actions import ActionStats
from radlite.check import frames, normal
from tests.test_check import told


# --------------------------------------------------------------------------------------------- bad_frames
def runs(zero):
    """(first, last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], zero, [False]]).astype(int)))
    return list(zip(edges[::2], edges[1::2] - 1, strict=True))


def right_frames(actions, states, least=5, far=0.02, columns=6, finite=np.isfinite, left_out=0):
    bad = ~finite(actions).all(1)
    for first, last in runs((actions[:, :columns] == 0).all(1))[: -left_out or None]:
        if last - first + 1 >= least and np.linalg.norm(states[last, :3] - states[first, :3]) > far:
            bad[first : last + 1] = True
    return bad


def whole_episodes(actions, states):
    return (right_frames(actions, states) & (actions[:, :6] == 0).all()) | ~np.isfinite(actions).all(1)


WRONG_FRAMES = {
    "every zero": (lambda a, s: right_frames(a, s, least=1, far=-1), ["waits or closes"]),
    "every long run": (lambda a, s: right_frames(a, s, far=-1), ["waits or closes"]),
    "short runs, too": (lambda a, s: right_frames(a, s, least=1), ["waits or closes"]),
    "one too long": (lambda a, s: right_frames(a, s, least=6), ["made-up zeros"]),
    "all seven numbers": (lambda a, s: right_frames(a, s, columns=7), ["made-up zeros"]),
    "NaN only": (lambda a, s: right_frames(a, s, finite=lambda v: ~np.isnan(v)), ["NaN and infinity"]),
    "no NaN": (lambda a, s: right_frames(a, s, finite=lambda v: np.ones(v.shape, bool)), ["NaN and infinity"]),
    "no zeros": (lambda a, s: ~np.isfinite(a).all(1), ["made-up zeros"]),
    "whole episodes": (whole_episodes, ["made-up zeros"]),
    "the last run left out": (lambda a, s: right_frames(a, s, left_out=1), ["made-up zeros"]),
    "the whole episode for one frame": (lambda a, s: [bool(right_frames(a, s).any())] * len(a), ["NaN and infinity"]),
    "numbers of frames": (lambda a, s: np.flatnonzero(right_frames(a, s)), ["one bool a frame"]),
}


def test_the_right_frames_pass(capsys):
    assert told(check.bad_frames, right_frames, capsys)[0] and told(check.bad_frames, frames.right, capsys)[0]
    assert told(check.bad_frames, lambda a, s: [int(b) for b in right_frames(a, s)], capsys)[0]


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_wrong_frames_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_FRAMES[name]
    _, _, bad, text = told(check.bad_frames, function, capsys)
    assert bad and all(any(says in line for line in bad) for says in broken), text


@pytest.mark.parametrize("answer", [None, "bad", [[True], [True, False]], 0.5, ["x"] * 30])
def test_frames_of_another_form_are_told(answer, capsys):
    _, good, _, text = told(check.bad_frames, lambda a, s: answer, capsys)
    assert not good and "values True or False should come out" in text


# --------------------------------------------------------------------------------------------- normalised
def right_normal(actions, bad, low=0.01, high=0.99, clip=True, gripper=True, still=True, axis=0, of=None, scale=2):
    rows = actions if of == "all" else np.where(bad[:, None], 0, actions) if of == "zeros" else actions[~bad]
    q01, q99 = (np.broadcast_to(np.nanquantile(rows, q, axis=axis), 7).copy() for q in (low, high))
    if gripper:
        q01[6], q99[6] = 0, 1
    width = q99 - q01
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.where((width == 0) & still, 0, (actions - q01) / width * scale - scale / 2)
    result = np.clip(result, -1, 1) if clip else result
    result[bad] = np.nan
    return result


def by_the_library(actions, bad):
    """With `ActionStats`, which does the percentiles and the gripper."""
    stats = ActionStats.fit(actions[~bad])
    return right_normal(np.concatenate([actions, [stats.q01, stats.q99]]), np.append(bad, [True, True]))[:-2]


WRONG_NORMAL = {
    "largest and smallest": (lambda a, b: right_normal(a, b, 0, 1), ["1st and 99th"]),
    "5th and 95th": (lambda a, b: right_normal(a, b, 0.05, 0.95), ["1st and 99th"]),
    "not clipped": (lambda a, b: right_normal(a, b, clip=False), ["1st and 99th"]),
    "from 0 to 1": (lambda a, b: right_normal(a, b, scale=1) + 0.5, ["1st and 99th", "gripper's 0..1"]),
    "gripper by percentiles": (lambda a, b: right_normal(a, b, gripper=False), ["gripper's 0..1"]),
    "divided by nothing": (lambda a, b: right_normal(a, b, still=False), ["never moves"]),
    "all dimensions as one": (lambda a, b: right_normal(a, b, axis=None), ["1st and 99th"]),
    "bad ones counted": (lambda a, b: right_normal(a, b, of="all"), ["bad frames do not count"]),
    "bad ones counted as zeros": (lambda a, b: right_normal(a, b, of="zeros"), ["bad frames do not count"]),
    "bad ones as zeros": (lambda a, b: np.nan_to_num(right_normal(a, b)), ["come out as NaN"]),
    "good ones only": (lambda a, b: right_normal(a, b)[~b], ["come out as NaN"]),
}


def test_the_right_normalisation_passes(capsys):
    assert told(check.normalised, right_normal, capsys)[0] and told(check.normalised, by_the_library, capsys)[0]
    assert told(check.normalised, lambda a, b: normal.Case(a, b).right, capsys)[0]


@pytest.mark.parametrize("name", WRONG_NORMAL)
def test_wrong_normalisations_are_refused_by_the_property_they_break(name, capsys):
    function, broken = WRONG_NORMAL[name]
    _, _, bad, text = told(check.normalised, function, capsys)
    assert bad and all(any(says in line for line in bad) for says in broken), text


@pytest.mark.parametrize("answer", [None, "x", 3, [[1, 2], [3]]])
def test_normalisations_of_another_form_are_told(answer, capsys):
    _, good, _, _ = told(check.normalised, lambda a, b: answer, capsys)
    assert not good
