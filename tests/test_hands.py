"""From detections to a gripper: the right hand, no jumps, gaps told apart from sightings, open and closed without flicker."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_hands import VIEW, hand, shaken

from radlite.annotate.evidence import Hand, View
from radlite.annotate.hand_links import SeenHand, acting_side, hands_by_side, path_length
from radlite.annotate.hands import CLOSED, OPEN, gripper_track
from radlite.annotate.landmarks import read_landmarks
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT.parent / "shared" / "media" / "hand_video.landmarks.json"


def line(count, start=(60, 200), end=(180, 80)):
    """Points on a straight way."""
    return np.linspace(start, end, count)


def clip(points, opening=1.0, **shape):
    openings = np.broadcast_to(opening, len(points))
    return [(hand(p, o, **shape),) for p, o in zip(points, openings, strict=True)]


# ------------------------------------------------------------------------------------------------ one hand
def test_the_gripper_is_the_middle_between_thumb_and_index():
    points = line(8)
    track = gripper_track(clip(points), VIEW)
    np.testing.assert_allclose(track.points, points, atol=1e-3)  # float32 landmarks of a 256 frame
    assert track.seen.all() and (track.open == 1).all() and len(track) == 8
    np.testing.assert_allclose(track.size, 40, rtol=0.1)


def test_a_wide_picture_is_measured_in_square_pixels():
    wide = View(512, 256)
    found = [(Hand(wide.to_picture(VIEW.to_frame(hand(p).landmarks[:, :2])).astype(np.float32), "right", 0.9),) for p in line(5)]
    np.testing.assert_allclose(gripper_track(found, wide).points, line(5), atol=1e-3)


@pytest.mark.parametrize("squeeze", [0.6, 0.8, 1.0])
@pytest.mark.parametrize("angle", [0.0, 1.5, 3.0])
@pytest.mark.parametrize("size", [15, 60])
def test_open_and_closed_do_not_depend_on_how_the_hand_is_seen(squeeze, angle, size):
    opening = np.array([1.0] * 5 + [0.35] * 6 + [1.0] * 4)
    track = gripper_track(clip(line(15), opening, size=size, angle=angle, squeeze=squeeze), VIEW)
    assert track.open.tolist() == (opening > 0.5).tolist()


def test_a_palm_that_points_at_the_camera_is_measured_by_its_breadth():
    sizes = [gripper_track(clip(line(3), squeeze=s), VIEW).size.mean() for s in (1.0, 0.5, 0.2)]
    assert min(sizes) > 0.9 * sizes[0]


def ratio(opening):
    seen = SeenHand(VIEW.to_frame(hand((128, 128), opening).landmarks[:, :2]), "right", 1.0)
    return seen.tips / seen.size


def test_between_the_thresholds_nothing_changes():
    middle, open_, shut = 0.5 / ratio(1.0), 0.9, 0.3
    assert CLOSED < ratio(middle) < OPEN and ratio(shut) < CLOSED and ratio(open_) > OPEN
    wobble = middle + 0.02 * (-1.0) ** np.arange(6)
    for before, state in ((open_, 1.0), (shut, 0.0)):
        opening = [open_ + shut - before] * 8 + [before] * 8 + list(wobble[:3])
        track = gripper_track(clip(line(len(opening)), opening), VIEW)
        assert track.open.tolist() == [1 - state] * 8 + [state] * 11
    assert gripper_track(clip(line(7), [open_] * 3 + [shut] * 4), VIEW).open.tolist() == [1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("thick", [0.25, 0.5, 0.65])
def test_a_hand_that_holds_something_thick_is_closed(thick):
    opening = [1.0] * 6 + [thick] * 6 + [1.0] * 4
    assert gripper_track(clip(line(16), opening), VIEW).open.tolist() == [1] * 6 + [0] * 6 + [1] * 4
    rng = np.random.default_rng(0)
    found = [(shaken(h, rng, 2.0),) for (h,) in clip(line(16), [1.0] * 16)]
    assert (gripper_track(found, VIEW).open == 1).all()  # noise alone makes no second level


def test_a_single_noisy_opening_is_no_opening():
    opening = np.full(12, 0.35)
    opening[6] = 0.75
    assert (gripper_track(clip(line(12), opening), VIEW).open == 0).all()


# ------------------------------------------------------------------------------------------------ gaps
@given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any), st.integers(0, 5))
@settings(max_examples=40)
def test_gaps_are_filled_up_to_the_limit_and_nothing_is_invented(there, most):
    points = line(len(there))
    track = gripper_track([(hand(p),) if t else () for p, t in zip(points, there, strict=True)], VIEW, most_gap=most)
    sightings = np.flatnonzero(there)
    expected = np.zeros(len(there), bool)
    for a, b in zip(sightings, [*sightings[1:], None], strict=True):
        expected[a] = True
        if b is not None and b - a - 1 <= most:
            expected[a:b] = True
    assert track.seen.tolist() == there
    assert track.known.tolist() == expected.tolist() == np.isfinite(track.open).tolist()
    assert np.isfinite(track.size).tolist() == there
    np.testing.assert_allclose(track.points[expected], points[expected], atol=1e-3)  # a straight way is filled in exactly


def test_what_is_filled_in_is_as_open_as_the_nearest_sighting():
    found = clip(line(10), [1.0] * 5 + [0.3] * 5)
    found[4] = found[5] = found[6] = ()
    assert gripper_track(found, VIEW).open.tolist() == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


# ------------------------------------------------------------------------------------------------ what detectors do wrong
@pytest.mark.parametrize("off", [(105, 0), (-60, 110)])
def test_a_jump_and_back_is_a_gap(off):
    points = line(12)
    found = clip(points)
    found[6] = (hand(points[6] + off),)
    track = gripper_track(found, VIEW)
    assert track.seen.tolist() == [t != 6 for t in range(12)]
    np.testing.assert_allclose(track.points, points, atol=1e-3)


def test_a_fast_reach_is_no_jump():
    points = np.array([(60, 200)] * 4 + [(170, 90)] * 5 + [(60, 200)] * 4, float)
    track = gripper_track(clip(points), VIEW)
    assert track.seen.all()
    np.testing.assert_allclose(track.points, points, atol=1e-3)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=24, max_size=24))
@settings(max_examples=30)
def test_flipped_sides_and_orders_do_not_make_it_jump(wrong):
    """A third of the labels at most is wrong, as in a blurred clip; the order of hands may be any."""
    acting, resting = line(24, (150, 220), (200, 60)), line(24, (60, 200), (66, 190))
    flips = [{t for t, flags in enumerate(wrong) if flags[k] and t % 3 == k + 1} for k in range(2)]
    found = []
    for t in range(24):
        right, left = hand(acting[t], side="right"), hand(resting[t], 0.3, side="left")
        right = Hand(right.landmarks, "left" if t in flips[0] else "right", 0.7 if t in flips[0] else 0.9)
        left = Hand(left.landmarks, "right" if t in flips[1] else "left", 0.7 if t in flips[1] else 0.9)
        found.append((left, right) if wrong[t][2] else (right, left))
    np.testing.assert_allclose(gripper_track(found, VIEW).points, acting, atol=1e-3)
    np.testing.assert_allclose(gripper_track(found, VIEW, "left").points, resting, atol=1e-3)


def test_a_hand_found_twice_is_one_hand():
    points = line(10)
    found = [(hand(p + (4, 3), score=0.99), hand(p)) for p in points]
    paths = hands_by_side(found, VIEW)
    assert set(paths) == {"right"} and len(paths["right"]) == 10


def test_a_missing_hand_is_not_replaced_by_the_other_one():
    acting, resting = line(12, (150, 220), (200, 60)), line(12, (60, 200), (60, 200))
    found = [(hand(r, side="left"), hand(a)) for a, r in zip(acting, resting, strict=True)]
    found[5:7] = [found[5][:1], found[6][:1]]
    track = gripper_track(found, VIEW)
    assert not track.seen[5:7].any()
    np.testing.assert_allclose(track.points, acting, atol=1e-3)


# ------------------------------------------------------------------------------------------------ which hand
@pytest.mark.parametrize("mover", ["left", "right"])
def test_the_hand_that_moves_acts(mover):
    rest = {"left": "right", "right": "left"}[mover]
    rng = np.random.default_rng(0)
    pairs = [(hand((70, 180), side=rest), hand(p, side=mover)) for p in line(20, (200, 200), (170, 90))]
    found = [tuple(shaken(one, rng, 1.5) for one in pair) for pair in pairs]
    for t in range(0, 20, 3):
        found[t] = found[t][:1]  # and is seen less often
    paths = hands_by_side(found, VIEW)
    assert acting_side(paths) == mover
    assert path_length(paths[rest]) < 10 < 80 < path_length(paths[mover])  # tremble is no motion
    np.testing.assert_array_equal(gripper_track(found, VIEW).points, gripper_track(found, VIEW, mover).points)


def test_a_camera_that_moves_makes_no_hand_act():
    """The camera swings while only the resting hand is seen."""
    swing = line(10, (60, 200), (200, 60))
    found = [(hand((60, 200), side="left"), hand(p)) for p in line(10, (150, 220), (170, 180))]
    found += [(hand(p, side="left"),) for p in swing]
    paths = hands_by_side(found, VIEW)
    assert path_length(paths["left"]) > path_length(paths["right"]) and acting_side(paths) == "right"


def test_no_hand_at_all_says_what_to_do():
    for empty in ([], [()] * 7):
        with pytest.raises(RadliteError, match=f"none in {len(empty)} pictures.*another clip.*--landmarks"):
            gripper_track(empty, VIEW)


def test_the_side_that_is_not_there():
    with pytest.raises(RadliteError, match="a left hand.*only a right one, in 4 pictures"):
        gripper_track(clip(line(4)), VIEW, "left")


@pytest.mark.parametrize("wrong", [{"side": "both"}, {"most_gap": -1}, {"closed": 0.7}, {"open": float("nan")}, {"closed": 0.0}])
def test_bad_arguments(wrong):
    with pytest.raises(RadliteError):
        gripper_track(clip(line(4)), VIEW, **wrong)


@pytest.mark.parametrize("landmarks", [np.zeros((20, 3)), np.full((21, 3), np.nan), np.zeros(63)])
def test_what_is_no_hand(landmarks):
    with pytest.raises(RadliteError, match="picture 2"):
        gripper_track([(), (), (Hand(landmarks, "left", 0.5),)], VIEW)


def test_a_speck_is_not_measured():
    with pytest.raises(RadliteError, match="none in 3 pictures"):
        gripper_track([(hand((100, 100), size=0.5),)] * 3, VIEW)


# ------------------------------------------------------------------------------------------------ as in an episode
@pytest.fixture(scope="module")
def demonstrations():
    """Openings and gripper pixels of the sample human episodes."""
    episodes = list(EpisodeDataset(ROOT / "data_samples" / "human"))
    return [(e.states[:, 6], np.array([r.gripper[0] for r in e.reasoning], float)) for e in episodes]


@pytest.mark.parametrize(("noise", "least"), [(0.8, 0.97), (2.0, 0.95)])
def test_episodes_with_noise_and_missing_frames(demonstrations, noise, least):
    """A palm of 40 pixels, so noise of 2% and 5% of it; a tenth of the frames is missed; every hand is seen from elsewhere."""
    rng, right, total, known = np.random.default_rng(0), 0, 0, 0
    for opening, points in demonstrations:
        angle, squeeze = rng.uniform(-2, 2), rng.uniform(0.6, 1.0)
        found = []
        for o, p in zip(opening, points, strict=True):
            seen = rng.random() >= 0.1
            found.append((shaken(hand(p, o, angle=angle, squeeze=squeeze), rng, noise),) if seen else ())
        track = gripper_track(found, VIEW)
        judged = track.known & ((opening < 0.6) | (opening > 0.9))  # between them the fingers are on their way
        right += (track.open == (opening > 0.9))[judged].sum()
        total, known = total + judged.sum(), known + track.known.sum()
    assert known > 0.97 * sum(len(opening) for opening, _ in demonstrations)
    assert right / total >= least


@pytest.mark.skipif(not RECORDED.exists(), reason="real footage is not in this checkout (../shared/media)")
def test_the_recorded_video():
    """Two hands take a plate, the right one reaching for it, and carry it to a sink; the frames were looked at one by one."""
    recorded = read_landmarks(RECORDED)
    view = View(recorded.width, recorded.height)
    track = gripper_track(recorded.hands, view)
    np.testing.assert_array_equal(track.points, gripper_track(recorded.hands, view, "right").points)
    assert not track.known[16:27].any() and not track.known[36:].any()  # out of the picture; then only the left one is seen
    assert track.known[:16].all() and not track.seen[[2, 6]].any()
    assert (track.open[3:6] == 1).all() and (track.open[7:16] == 0).all()  # over the plate; holding it
    steps = np.linalg.norm(np.diff(track.points, axis=0), axis=1)
    assert np.nanmax(steps) < 25  # pixels of 256: it never jumps to the other hand, some 40 off and more
    slow = gripper_track(recorded.at(5, 20), view)  # as a clip of 5 frames a second
    np.testing.assert_array_equal(slow.points, gripper_track(recorded.at(5, 20), view, "right").points)


def test_nothing_heavy_is_imported():
    code = "import json, sys, radlite.annotate.hands; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "transformers", "mediapipe", "PIL", "pyarrow", "ijson", "cv2"} & set(json.loads(done.stdout))


# -- several pictures a moment -----------------------------------------------------------------------------------------
def test_pictures_around_a_moment_tell_together_where_the_hand_was():
    random, way = np.random.default_rng(0), line(6 * 40 + 1) / 4 + 60
    noisy = [(hand(p),) for p in way + random.normal(0, 4, way.shape)]
    alone, together = gripper_track(noisy[::6], VIEW), gripper_track(noisy, VIEW, looks=6)
    errors = [np.abs(track.points - way[::6]).std() for track in (alone, together)]
    assert len(together) == len(alone) == 41 and errors[1] < 0.55 * errors[0]  # 1 / sqrt(7) = 0.38 inside, more at both ends
    np.testing.assert_allclose(gripper_track([(hand(p),) for p in way], VIEW, looks=6).points, way[::6], atol=1e-3)


def test_a_moment_without_a_hand_is_known_by_the_pictures_around_it():
    found = [(hand(p),) for p in line(6 * 10 + 1)]
    found[12] = ()  # a moment itself: the pictures before and after it have the hand
    found[30:49] = [()] * 19  # and three moments in a row, with what lies around them
    filled, marked = (gripper_track(found, VIEW, looks=6, most_gap=gap) for gap in (4, 1))
    assert filled.seen.tolist() == [True] * 6 + [False] * 2 + [True] * 3 and filled.known.all()
    assert marked.known.tolist() == [True] * 5 + [False] * 4 + [True] * 2  # nothing is drawn on beyond the last sighting
    short = gripper_track(found[:10], VIEW, looks=6, moments=3)
    assert short.known.tolist() == [True, True, False]
    with pytest.raises(RadliteError, match="at least one picture a moment"):
        gripper_track(found, VIEW, looks=0)
