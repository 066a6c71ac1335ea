"""The simulator's hand as a detector would find it: landmarks on the drawn hand, and what `gripper_track` makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from radlite import EpisodeDataset, RadliteError
from radlite.annotate import RecordedHands, gripper_track, read_landmarks, write_landmarks
from radlite.annotate.evidence import INDEX_TIP, LANDMARKS, MIDDLE_BASE, THUMB_TIP, WRIST
from radlite.annotate.landmarks import Landmarks
from radlite.annotate.simulated import FRAME, Noise, simulated_hands
from radlite.show.annotation import draw_hands
from radlite.tabletop.embodiment import hand_landmarks
from radlite.tabletop.viewpoint import HOME_VIEW
from radlite.tabletop.world import JAW_OPEN


@pytest.fixture(scope="module")
def episodes():
    return [EpisodeDataset("data_samples/human")[k] for k in (0, 6)]


def test_the_landmarks_are_those_of_a_grown_ups_hand():
    for point in ([0.0, 0.0, 0.1], [0.12, -0.1, 0.02]):
        wide, shut = (hand_landmarks(np.array(point), jaw) for jaw in (JAW_OPEN, 0.0))
        assert wide.shape == shut.shape == (LANDMARKS, 3) and np.isfinite(wide).all()
        assert 0.08 < np.linalg.norm(wide[WRIST] - wide[MIDDLE_BASE]) < 0.1
        assert np.linalg.norm(wide[THUMB_TIP] - wide[INDEX_TIP]) > 5 * np.linalg.norm(shut[THUMB_TIP] - shut[INDEX_TIP])
        assert np.linalg.norm((wide[THUMB_TIP] + wide[INDEX_TIP]) / 2 - point) < 0.005


def test_perfect_hands_give_the_simulators_gripper(episodes):
    """Within two pixels, for the tips are a little above the grasp point; jaws as the state says, but for one frame a change."""
    for episode in episodes:
        track = gripper_track(simulated_hands(episode, HOME_VIEW), FRAME)
        assert np.linalg.norm(track.points - HOME_VIEW.project(episode.states[:, :3]), axis=1).max() < 2
        assert ((track.open == 1) != (episode.states[:, 6] > 0.7)).sum() <= 2
        assert 40 < np.median(track.size) < 55  # a palm of 9 cm is 49 pixels at the table's middle


def test_noise_moves_landmarks_drops_frames_and_is_seeded(episodes):
    exact, poor = (simulated_hands(episodes[0], HOME_VIEW, noise) for noise in (None, Noise(pixels=0.01, drop=0.3, seed=3)))
    again = simulated_hands(episodes[0], HOME_VIEW, Noise(pixels=0.01, drop=0.3, seed=3))
    assert [bool(found) for found in poor] == [bool(found) for found in again] and 0 < sum(map(bool, poor)) < len(poor)
    off = [a[0].landmarks[:, :2] - b[0].landmarks[:, :2] for a, b in zip(poor, exact, strict=True) if a]
    assert 256 * np.concatenate(off).std() == pytest.approx(2.56, rel=0.1)
    assert all(a[0].landmarks.tolist() == b[0].landmarks.tolist() for a, b in zip(poor, again, strict=True) if a)


def test_they_go_through_a_file_of_landmarks(episodes, tmp_path):
    found = simulated_hands(episodes[0], HOME_VIEW, Noise(drop=0.2))
    path = write_landmarks(tmp_path / "hands.json", Landmarks(tuple(found), 5.0, 96, 96))
    read = RecordedHands(read_landmarks(path)).detect(episodes[0].frames, 5.0)
    assert [len(hands) for hands in read] == [len(hands) for hands in found]
    for mine, true in zip(read, found, strict=True):
        for a, b in zip(mine, true, strict=True):
            assert a.side == b.side == "right" and np.allclose(a.landmarks, b.landmarks, atol=1e-5)


@pytest.mark.parametrize("change", [{"states": None}, {"embodiment": "robot"}])
def test_what_has_no_hand_in_space_is_refused(episodes, change):
    with pytest.raises(RadliteError, match="a human episode with states"):
        simulated_hands(replace(episodes[0], **change), HOME_VIEW)


def test_hands_are_drawn_where_they_are(episodes):
    found = simulated_hands(episodes[0], HOME_VIEW)
    track = gripper_track(found, FRAME)
    drawn, bare = (draw_hands(episodes[0].frames, hands, track, FRAME, 128) for hands in (found, [()] * len(found)))
    assert drawn.shape == (len(found), 128, 128, 3) and drawn.dtype == np.uint8
    rows, columns = np.nonzero((drawn[8] != bare[8]).any(-1))
    x, y = FRAME.to_frame(found[8][0].landmarks[:, :2]).T / 2
    assert len(rows) and abs(columns.min() - x.min()) < 4 and abs(rows.min() - y.min()) < 4
    assert abs(columns.max() - x.max()) < 4 and abs(rows.max() - y.max()) < 4
