"""Graded cases of `bad_frames`, exercise 1 of notebook 08. Not for students."""

import numpy as np
from otter.test_files import test_case

from radlite import check
from radlite.check.frames import Zeros, make, right

OK_FORMAT = False  # cases are functions that raise
name = "bad_frames"
SEED = 1  # choose your own: this one is public


def same(student, episode):
    return np.asarray(student(*episode)).astype(bool).tolist() == right(*episode)


@test_case(name="public check", points=2)
def test_public(bad_frames):
    assert check.bad_frames(bad_frames), "run radlite.check.bad_frames(bad_frames) in the notebook"


@test_case(name="random episodes", points=2, hidden=True)
def test_episodes(bad_frames):
    rng = np.random.default_rng(SEED)
    for seed in range(60):
        starts = sorted(rng.choice(np.arange(0, 60, 12), rng.integers(0, 4), replace=False))
        zeros = [Zeros(int(k), int(k + rng.integers(2, 11)), bool(rng.random() < 0.7)) for k in starts]
        broken = rng.choice(60, rng.integers(0, 4), replace=False)
        assert same(bad_frames, make(60, zeros, broken, [np.nan, np.inf, -np.inf][seed % 3], seed))


@test_case(name="NaN within zeros, one frame, two runs side by side", points=1, hidden=True)
def test_ends(bad_frames):
    assert same(bad_frames, make(30, [Zeros(5, 20, True)], broken=(11,)))  # runs of 6 and 8
    assert same(bad_frames, make(30, [Zeros(5, 14, True)], broken=(9,), seed=1))  # runs of 4 and 4
    assert same(bad_frames, make(1)) and same(bad_frames, make(1, [Zeros(0, 1, True)]))
    assert same(bad_frames, make(40, [Zeros(3, 12, True), Zeros(13, 22, True)], seed=2))
