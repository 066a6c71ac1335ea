"""From a gripper's path to primitives and subtasks: geometry to the millimetre, labels against the simulator's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite import EpisodeDataset, RadliteError
from radlite.annotate.evidence import GripperTrack, View
from radlite.annotate.hindsight import Motion, leads_along, motion_in_space, motion_in_view
from radlite.annotate.motion import Axes, jitter, metric_path, moves, runs, smoothed, triangulate
from radlite.annotate.subtasks import SUBTASKS, backed, subtasks
from radlite.tabletop.viewpoint import HOME_VIEW, Viewpoint

SIDE_VIEW = Viewpoint(elevation=25.0, azimuth=75.0)
PHASES = {"move above": "reach", "lower onto": "lower", "grasp": "grasp", "lift": "lift", "carry": "carry", "lower the": "place",
          "let go": "release", "move away": "retreat", "rise": "rise", "hold": "hold", "stop": "stop"}  # fmt: skip


def camera(view: Viewpoint) -> np.ndarray:
    """The (3, 4) matrix of a view, from what it projects."""
    points = np.random.default_rng(0).uniform(-0.2, 0.2, (30, 3))
    pixels, one = view.project(points), np.c_[points, np.ones(30)]
    rows = [np.c_[one, 0 * one, -pixels[:, :1] * one], np.c_[0 * one, one, -pixels[:, 1:] * one]]
    return np.linalg.svd(np.concatenate(rows))[2][-1].reshape(3, 4)


def track(points: np.ndarray, open_: np.ndarray, size: float = 30.0) -> GripperTrack:
    known = np.isfinite(points).all(1)
    return GripperTrack(points, np.where(known, open_, np.nan), np.where(known, size, np.nan), known)


def phase(text: str) -> str:
    return next(name for words, name in PHASES.items() if text.startswith(words))


def test_a_palm_gives_the_scale_and_axes_the_directions():
    points = np.array([[100.0, 100.0], [110.0, 100.0], [110.0, 80.0], [np.nan, np.nan]])
    path = metric_path(track(points, np.ones(4), size=30.0), Axes(right="left", up="up"), palm=0.09)
    assert np.allclose(path[1] - path[0], [0, 0.03, 0]) and np.allclose(path[2] - path[1], [0, 0, 0.06])
    assert np.isnan(path[3]).all()


def test_a_hand_that_grows_comes_nearer_by_similar_triangles():
    grown = GripperTrack(np.full((3, 2), 128.0), np.ones(3), np.array([30.0, 30.0, 60.0]), np.ones(3, bool))
    path = metric_path(grown, Axes(nearer="up"), palm=0.09)
    assert np.allclose(path[2] - path[0], [0, 0, 0.09 * 256 / 30 - 0.09 * 256 / 60])


@pytest.mark.parametrize("axes", [{"right": "up"}, {"up": "north"}, {"nearer": "left"}, {"elevation": 0.0}])
def test_axes_that_cannot_be_are_refused(axes):
    with pytest.raises(RadliteError):
        Axes(**{"up": "up", **axes} if "right" in axes else axes)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_two_views_find_the_point_that_both_see(seed):
    points = np.random.default_rng(seed).uniform(-0.2, 0.2, (5, 3))
    views = [HOME_VIEW.project(points), SIDE_VIEW.project(points)]
    views[1][2] = np.nan
    found = triangulate(views, [camera(HOME_VIEW), camera(SIDE_VIEW)])
    known = np.array([True, True, False, True, True])
    assert np.allclose(found[known], points[known], atol=1e-6) and np.isnan(found[2]).all()


def test_cameras_that_cannot_tell_depth_are_refused():
    points, home = np.zeros((3, 2)), camera(HOME_VIEW)
    for views, cameras in (([points], [home]), ([points] * 2, [home] * 2), ([points] * 2, [np.eye(3)] * 2)):
        with pytest.raises(RadliteError):
            triangulate(views, cameras)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.floats(0, 0.05))
def test_smoothing_keeps_what_is_unknown_unknown_and_the_mean_of_each_run(known, strength):
    path = np.random.default_rng(len(known)).normal(size=(len(known), 2))
    path[~np.array(known)] = np.nan
    clean = smoothed(path, strength)
    assert (np.isnan(clean) == np.isnan(path)).all()
    for run in runs(path):
        assert np.allclose(clean[run].mean(0), path[run].mean(0))
        assert np.abs(np.diff(clean[run], axis=0)).sum() <= np.abs(np.diff(path[run], axis=0)).sum() + 1e-9


def test_noise_is_measured_and_taken_out_but_steps_stay():
    steps = np.repeat([0.0, 0.1, 0.1, 0.3], 40)[:, None]
    left = []
    for seed in range(5):
        noisy = steps + np.random.default_rng(seed).normal(0, 0.01, steps.shape)
        assert jitter(noisy) == pytest.approx(0.01, rel=0.3)
        both = smoothed(noisy, 0.5 * jitter(noisy)), smoothed(noisy)
        for clean in both:
            assert clean[45:115].std() < 0.01 and clean[130:].mean() - clean[100] > 0.18
        left.append([np.abs(clean - steps).mean() / np.abs(noisy - steps).mean() for clean in both])
    strong, usual = np.mean(left, 0)
    assert strong < 0.62  # of each about 0.57, give or take 0.06
    assert usual < 0.68  # it leaves more, about 0.64: more smoothing would cost short motions


def test_moves_are_ecots_rule_on_each_known_stretch():
    path = np.zeros((8, 3))
    path[:, 1] = [0, 0.02, 0.04, 0.06, np.nan, 0, 0, 0]
    path[4] = np.nan
    open_ = np.array([1, 1, 1, 1, 1, 1, 0, 0.0])
    assert moves(path, open_, 5.0) == ("move left", "move left", "stop", "stop", None, "close gripper", "stop", "stop")
    assert moves(path[:1], open_[:1], 5.0) == (None,)
    with pytest.raises(RadliteError):
        moves(path, open_, 0.0)


def test_a_pick_and_place_is_cut_into_its_subtasks():
    still, up = np.zeros((2, 2)), np.array([[0, 0.06], [0, 0.06]])
    steps = np.concatenate([[[0.06, 0]] * 3, -up, still, up, [[0.06, 0]] * 3, -up, still, up])
    path = np.concatenate([[[0, 0]], np.cumsum(steps, 0)])
    open_ = np.ones(len(path))
    open_[7:16] = 0
    labels = subtasks(path[:, :1], path[:, 1], open_, 5.0)
    order = [label for k, label in enumerate(labels) if k == 0 or labels[k - 1] != label]
    assert order == ["reach", "lower", "grasp", "lift", "carry", "place", "release", "retreat", "stop"]
    assert labels[6] == "grasp" and labels[15] == "release"
    gone = open_.copy()
    gone[4] = np.nan
    assert subtasks(path[:, :1], path[:, 1], gone, 5.0)[4] is None


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_whatever_the_path_there_is_one_label_a_known_frame(length, seed):
    random = np.random.default_rng(seed)
    path, open_ = random.normal(0, 0.1, (length, 3)), random.integers(0, 2, length).astype(float)
    path[random.random(length) < 0.2] = np.nan
    labels = subtasks(path[:, :2], path[:, 2], open_, 5.0)
    told = np.zeros(length, bool)
    for run in runs(path):
        told[run] = run.stop - run.start > 1  # nobody sees where a hand goes that is seen once
    assert [label is not None for label in labels] == told.tolist()
    assert set(labels) - {None} <= set(SUBTASKS)
    assert all(mine in (label, None) for mine, label in zip(backed(labels, open_), labels, strict=True))


def picked(lost: slice) -> tuple[GripperTrack, np.ndarray]:
    """A hand that reaches away, lowers, grasps, lifts and carries on to the left, not seen in between; and its pixels."""
    corners = [(200, 140), (140, 80), (140, 120), (140, 120), (140, 60), (60, 60)]
    points = np.stack([np.interp(np.arange(24), [0, 6, 10, 12, 16, 23], axis) for axis in zip(*corners, strict=True)], 1)
    exact = points.copy()
    points[lost] = np.nan
    return track(points, np.r_[np.ones(11), np.zeros(13)]), exact


def test_behind_a_gap_only_what_the_picture_measures_has_the_same_origin():
    """One view splits the picture's vertical by subtasks, and while nobody sees the hand there are none."""
    gapped, exact = picked(slice(13, 18))
    motion = motion_in_view(gapped, 5.0)
    assert np.isnan(motion.path[13:18]).all() and np.isfinite(motion.path[:13]).all() and np.isfinite(motion.path[18:]).all()
    assert motion.joined == (False, True, False)
    left = (exact[0, 0] - exact[20, 0]) * 0.09 / 30
    for here, there in ((0, 20), (20, 0)):
        offset = motion.offset(here, there)
        assert np.isnan(offset[[0, 2]]).all() and abs(offset[1]) == pytest.approx(left, abs=0.01)
    assert np.isfinite(motion.offset(2, 11)).all() and np.isfinite(motion.offset(22, 19)).all()
    whole = motion_in_view(picked(slice(0, 0))[0], 5.0)
    assert np.isfinite(whole.offset(0, 20)).all()
    np.testing.assert_allclose(motion.path[:12] - motion.path[0], whole.path[:12] - whole.path[0], atol=0.01)


def test_a_gap_at_the_start_leaves_the_rest_known():
    motion = motion_in_view(picked(slice(0, 3))[0], 5.0)
    assert np.isnan(motion.path[:3]).all() and np.isfinite(motion.path[3:]).all()


def test_what_is_measured_on_every_axis_is_known_across_a_gap():
    path = np.cumsum(np.full((12, 3), 0.03), 0)
    path[5:8] = np.nan
    level = motion_in_view(picked(slice(13, 18))[0], 5.0, Axes(up="up"))
    assert level.joined == (True, True, True) and np.isfinite(level.offset(0, 20)[1:]).all() and np.isnan(level.offset(0, 20)[0])
    np.testing.assert_allclose(motion_in_space(path, np.ones(12), 5.0).offset(2, 10), [0.24] * 3, atol=0.02)


def test_a_subtask_that_leads_into_a_gap_has_no_known_way():
    path = np.cumsum(np.full((6, 3), 0.03), 0)
    path[3] = np.nan
    motion = Motion(path, ("reach", "reach", "reach", None, "reach", "reach"), (None,) * 6)
    assert np.isnan(motion.way(0)).all() and np.isnan(motion.way(2)).all()
    np.testing.assert_allclose(motion.way(4), [0.03] * 3)  # what ends with the clip ends
    still = Motion(path, ("grasp",) * 3 + (None,) + ("hold",) * 2, (None,) * 6)
    assert not still.way(2).any()  # what goes nowhere goes nowhere


@pytest.mark.parametrize(
    "labels, told",
    [
        ("hold hold hold", ". . ."),
        ("lift carry release retreat", ". . . retreat"),
        ("reach grasp lift release release stop", "reach grasp lift release release stop"),
        ("grasp place . . hold", "grasp place . . hold"),  # closed before and after the gap
        ("grasp release retreat . lift", "grasp release retreat . ."),
        ("reach . lift hold", "reach . . ."),  # it closed where nobody saw it
    ],
)
def test_nothing_is_held_that_was_not_seen_to_be_grasped(labels, told):
    given = [None if word == "." else word for word in labels.split()]
    closed = [float(label not in ("lift", "carry", "place", "hold", "release")) for label in given]
    assert backed(given, np.array(closed)) == tuple(None if word == "." else word for word in told.split())


def test_a_hand_that_is_open_when_last_seen_holds_nothing_by_then():
    labels = ["grasp", "lift", "lift", "hold", "hold", None, "lift"]
    assert backed(labels, np.array([1, 0, 0, 1, 1, np.nan, 0])) == ("grasp", "lift", "lift", None, None, None, None)
    noisy = np.array([1, 0, 1, 0, 0, np.nan, 0])
    assert backed(labels, noisy) == tuple(labels)  # one noisy frame is outvoted


@pytest.mark.parametrize(
    "move, way, right",
    [
        ("move forward", (0.21, 0.10, 0), True),  # a window shortens long ways, and loses the lesser axes
        ("move forward left", (0.21, 0.10, 0), True),
        ("move left", (0.21, 0.10, 0), False),
        ("move forward down", (0.06, 0, 0), False),
        ("move down", (0, 0, 0), False),
        ("move down", (0, 0, -0.004), False),  # 0 cm, as it is told
        ("move up", (0, 0, -0.05), False),
        ("stop", (0, 0, -0.02), True),
        ("stop", (0, 0, -0.05), False),
        ("close gripper", (0, 0, 0), True),
        ("move down", (0, np.nan, -0.05), True),
        ("move left", (0, np.nan, -0.05), False),
    ],
)
def test_a_move_is_told_with_a_way_that_it_leads_along(move, way, right):
    assert leads_along(move, np.array(way, float)) is right


@pytest.mark.parametrize("views, least", [(2, 0.80), (1, 0.72)])
def test_labels_agree_with_the_simulator(views, least):
    """2% of the frame's width as noise, a tenth of the frames without a hand; benchmarks/annotation.py has the figures."""
    right = total = 0
    for number, episode in enumerate(EpisodeDataset("data_samples/human")):
        random, states = np.random.default_rng(number), np.array(episode.states)
        lost = random.random((views, len(episode))) < 0.1
        seen = [v.project(states[:, :3]) + random.normal(0, 5.12, (len(episode), 2)) for v in (HOME_VIEW, SIDE_VIEW)[:views]]
        times = np.arange(len(episode))
        for points, gaps in zip(seen, lost, strict=True):
            for axis in (0, 1):
                points[:, axis] = np.interp(times, times[~gaps], points[~gaps, axis])
        open_ = (states[:, 6] > 0.7).astype(float)
        if views == 2:
            motion = motion_in_space(triangulate(seen, [camera(HOME_VIEW), camera(SIDE_VIEW)]), open_, episode.fps)
        else:
            motion = motion_in_view(track(seen[0], open_, size=49.0), episode.fps, Axes(elevation=60.0))
        truth = [phase(chain.subtask) for chain in episode.reasoning]
        right += sum(a == b for a, b in zip(motion.subtasks, truth, strict=True))
        total += len(truth)
    assert right / total > least


def test_a_picture_that_is_cropped_keeps_its_scale():
    for pad, scale in ((True, 0.4), (False, 256 / 360)):
        view = View(640, 360, pad)
        assert view.scale == pytest.approx(scale)
        assert np.allclose(view.to_frame([0.5, 0.5]), [128, 128])
        assert np.allclose(view.to_picture(view.to_frame([[0.1, 0.9]])), [[0.1, 0.9]])
