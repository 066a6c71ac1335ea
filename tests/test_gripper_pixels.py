"""A robot's gripper in pixels: by its camera, and by a map fitted to detections of which many are wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite.annotate.gripper_pixels import fit_pixels, project, robot_track
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.tabletop.viewpoint import ELSEWHERE_VIEW, HOME_VIEW, Viewpoint

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples" / "robot"
NEAR = Viewpoint(elevation=40, azimuth=20, half_view=0.3, distance=0.5)  # a short lens: parallel lines meet


def matrix(view):
    """K [R | t] of a viewpoint, for pixels of the frame."""
    forward, right, up = view.axes
    turn = np.stack([right, -up, forward])
    focal = 128 * view.distance / view.half_view
    return np.array([[focal, 0, 128], [0, focal, 128], [0, 0, 1]]) @ np.column_stack([turn, -turn @ view.eye])


def matrix_depth(camera, states):
    """How far ahead of the camera, in its own unit."""
    return states[:, :3] @ camera[2, :3] + camera[2, 3]


@pytest.fixture(scope="module")
def episodes():
    """(states, true pixels) of eight robot episodes."""
    dataset = EpisodeDataset(SAMPLES)
    found = [dataset[k] for k in range(8)]
    return [(e.states, np.array([chain.gripper[0] for chain in e.reasoning], float)) for e in found]


def spoilt(truth, rng, noise=2.0, outliers=0.3):
    """Detections that are some pixels off, a share of them anywhere."""
    seen = truth + rng.normal(0, noise, truth.shape)
    wrong = rng.permutation(len(seen)) < round(outliers * len(seen))
    seen[wrong] = rng.uniform(0, 256, (wrong.sum(), 2))
    return seen, wrong


def cloud(count=60, seed=0):
    """Gripper positions over the table."""
    return np.random.default_rng(seed).uniform((-0.15, -0.15, 0.02), (0.15, 0.15, 0.2), (count, 3))


def test_a_known_camera_says_what_the_simulator_says(episodes):
    for states, truth in episodes:
        np.testing.assert_allclose(project(states, matrix(HOME_VIEW)), HOME_VIEW.project(states[:, :3]), atol=1e-3)
        assert np.abs(project(states, matrix(HOME_VIEW)) - truth).max() <= 1.01  # chains hold even pixels


def test_what_lies_behind_the_camera_has_no_pixel():
    behind = HOME_VIEW.eye - 0.1 * HOME_VIEW.axes[0]
    assert np.isnan(project(behind[None], matrix(HOME_VIEW))).all()


@pytest.mark.parametrize(("kind", "median"), [("linear", 3.0), ("projective", 4.5)])
def test_thirty_per_cent_outliers_and_two_pixels_of_noise(episodes, kind, median):
    """Each episode by itself, 20 to 45 frames: the median error stays below `median` pixels, over all episodes below 2.

    Measured on all 17 samples: linear 1.4 (worst episode 2.4), projective 1.5 (worst 3.8).
    """
    medians = []
    for k, (states, truth) in enumerate(episodes):
        fit = fit_pixels(states, spoilt(truth, np.random.default_rng(k))[0], kind=kind)
        medians.append(np.nanmedian(np.linalg.norm(fit.points - truth, axis=1)))
        assert fit.inliers.sum() >= 0.5 * len(states) and 0 < fit.median_error < 4
        assert (matrix_depth(fit.camera, states)[fit.inliers] > 0).all()
    assert max(medians) < median and np.median(medians) < 2


def test_several_episodes_of_one_camera_give_a_better_map(episodes):
    """Put together: every point, not only the median one, within 8 pixels, with 30% outliers and 2 pixels of noise."""
    states, truth = (np.concatenate(part) for part in zip(*((s[:, :3], t) for s, t in episodes), strict=True))
    fit = fit_pixels(states, spoilt(truth, np.random.default_rng(0))[0], kind="projective")
    errors = np.linalg.norm(fit.points - truth, axis=1)
    assert errors.max() < 8 and np.median(errors) < 1.5


def test_outliers_are_told_from_inliers_and_missing_frames_are_filled_in():
    states, rng = cloud(), np.random.default_rng(1)
    truth = ELSEWHERE_VIEW.project(states)
    seen, wrong = spoilt(truth, rng, noise=1.0, outliers=0.4)
    seen[::5] = np.nan
    fit = fit_pixels(states, seen, kind="projective")
    far = np.linalg.norm(seen - truth, axis=1) > 20
    assert not fit.inliers[far].any() and not fit.inliers[::5].any() and fit.inliers[~wrong & ~np.isnan(seen[:, 0])].all()
    assert np.linalg.norm(fit.points - truth, axis=1).max() < 4
    assert str(fit).startswith(f"{fit.inliers.sum()} detections agree")
    np.testing.assert_allclose(project(states, fit.camera), fit.points)


def test_a_near_camera_needs_the_projective_map():
    states = cloud()
    truth = NEAR.project(states)
    linear, projective = (fit_pixels(states, truth, kind=kind) for kind in ("linear", "projective"))
    assert np.abs(projective.points - truth).max() < 1e-6
    assert np.linalg.norm(linear.points - truth, axis=1).max() > 4
    np.testing.assert_allclose(projective.camera / projective.camera[2, 3], matrix(NEAR) / matrix(NEAR)[2, 3], atol=1e-6)


@given(st.integers(0, 1000), st.floats(35, 80), st.floats(-60, 60), st.floats(0.7, 3))
@settings(max_examples=15)
def test_any_camera_is_found_from_exact_points(seed, elevation, azimuth, distance):
    view, states = Viewpoint(elevation, azimuth, 0.3, distance), cloud(30, seed)
    truth = view.project(states)
    assert np.abs(fit_pixels(states, truth, kind="projective", seed=seed).points - truth).max() < 1e-3


@pytest.mark.parametrize("kind", ["linear", "projective"])
def test_states_in_one_plane_give_a_map_of_that_plane_only(kind):
    states = cloud(40)
    states[:30, 2] = 0.1
    truth = HOME_VIEW.project(states)
    seen = np.where(np.arange(40)[:, None] < 30, truth, np.nan)
    fit = fit_pixels(states, seen, kind=kind)
    assert np.abs(fit.points[:30] - truth[:30]).max() < (8 if kind == "linear" else 1e-3)
    above = np.abs(states[:, 2] - 0.1) > 0.01
    assert np.isnan(fit.points[above]).all()  # how far up is how far in the picture, nobody has seen


def test_the_same_seed_gives_the_same_map():
    states = cloud()
    seen = spoilt(HOME_VIEW.project(states), np.random.default_rng(3))[0]
    assert np.array_equal(fit_pixels(states, seen, seed=4).camera, fit_pixels(states, seen, seed=4).camera)


def line(count=30):
    return np.linspace(0, 1, count)[:, None] * (0.2, 0.1, 0.1)


@pytest.mark.parametrize(
    ("states", "seen", "what"),
    [
        (cloud(), np.full((60, 2), np.nan), "0"),
        (cloud(), np.where(np.arange(60)[:, None] < 7, HOME_VIEW.project(cloud()), np.nan), "7"),
        (line(), HOME_VIEW.project(line()), "line"),
        (np.full((30, 3), 0.1), np.full((30, 2), 99.0), "line"),
        (cloud(), np.random.default_rng(0).uniform(0, 256, (60, 2)), "agree"),
        (cloud(), np.zeros((59, 2)), "59"),
        (cloud()[:, :2], np.zeros((60, 2)), "states"),
        (np.full((60, 3), np.nan), np.zeros((60, 2)), "finite"),
    ],
)
def test_what_cannot_be_fitted(states, seen, what):
    with pytest.raises(RadliteError, match=what):
        fit_pixels(states, seen)


@pytest.mark.parametrize("camera", [np.eye(3), np.full((3, 4), np.inf)])
def test_what_is_no_camera(camera):
    with pytest.raises(RadliteError, match="3, 4"):
        project(cloud(), camera)


def test_an_unknown_kind():
    with pytest.raises(RadliteError, match="kind"):
        fit_pixels(cloud(), HOME_VIEW.project(cloud()), kind="affine")


def test_a_robot_track():
    states = np.zeros((3, 7))
    states[:, 6] = (1, 0.5, 0)
    track = robot_track(states, [(10, 20), (-1, 20), (np.nan, 3)])
    assert track.known.tolist() == [True, False, False] == track.seen.tolist()
    assert track.open.tolist() == [1, 0.5, 0] and np.isnan(track.size).all()
    assert np.isnan(robot_track(states[:, :3], np.zeros((3, 2))).open).all()
