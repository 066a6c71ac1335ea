"""MediaPipe itself, two versions of it and both of its faces, on real footage; `make test-hands` installs them.

The tolerances are what was measured on a CPU, with room to spare. Tracking carries a difference of one picture into the next, and
another processor rounds otherwise, so the recorded landmarks come back nearly, not exactly.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from radlite.annotate.evidence import Hand, View
from radlite.annotate.hands import gripper_track
from radlite.annotate.landmarks import read_landmarks
from radlite.errors import RadliteError
from radlite.show.video import read_images, read_video

ROOT = Path(__file__).resolve().parents[2]
MEDIA = ROOT.parent / "shared" / "media"
HANDS = Path(os.environ.get("RADLITE_HANDS", ROOT / ".venv-hands"))

pytestmark = [
    pytest.mark.hands,
    pytest.mark.skipif(not (HANDS / ".installed").exists(), reason="MediaPipe is not installed here: make test-hands"),
    pytest.mark.skipif(not MEDIA.is_dir(), reason="real footage is not in this checkout (../shared/media)"),
]
FACES = ["bundled", "bundled, tasks", "current, tasks"]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The models in the old wheel, packed as the Tasks API wants them; each at an offset of four, as it maps them."""
    [modules] = (HANDS / "bundled" / "lib").glob("python*/site-packages/mediapipe/modules")
    path = tmp_path_factory.mktemp("model") / "hand_landmarker.task"
    parts = {"hand_detector.tflite": "palm_detection/palm_detection_full.tflite",
             "hand_landmarks_detector.tflite": "hand_landmark/hand_landmark_full.tflite"}  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as bundle:
        for name, source in parts.items():
            info = zipfile.ZipInfo(name)
            begins = bundle.fp.tell() + 30 + len(name)  # a zip's local header
            info.extra = b"\xff\xff" + (-(begins + 4) % 4).to_bytes(2, "little") + bytes(-(begins + 4) % 4)
            bundle.writestr(info, (modules / source).read_bytes())
    return path


@pytest.fixture(scope="session")
def look(model, tmp_path_factory):
    """look(face, pictures, still=False): (hands of each picture, what the process said of itself)."""
    done: dict[tuple, tuple] = {}

    def run(face, name, pictures, still=False):
        if (face, name, still) not in done:
            folder = tmp_path_factory.mktemp("look")
            np.save(folder / "pictures.npy", pictures)
            python = HANDS / face.split(",")[0] / "bin" / "python"
            command = [python, ROOT / "tests/hands/detect.py", folder / "pictures.npy", folder / "out.json"]
            command += ["--model", model] * ("tasks" in face) + ["--still"] * still
            clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
            env = clean | {"PYTHONPATH": str(ROOT), "RADLITE_CACHE": str(folder), "MPLCONFIGDIR": str(folder)}
            got = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1200)
            assert got.returncode == 0, got.stderr[-3000:]
            said = json.loads((folder / "out.json").read_text())
            hands = [tuple(Hand(np.array(h["landmarks"], np.float32), h["side"], h["score"]) for h in f) for f in said["hands"]]
            done[face, name, still] = hands, said
        return done[face, name, still]

    return run


@pytest.fixture(scope="session")
def video():
    return read_video(MEDIA / "hand_video.mp4")[0]


@pytest.fixture(scope="session")
def recorded():
    return read_landmarks(MEDIA / "hand_video.landmarks.json")


def matched(found, known):
    """(mean landmark distance in parts of the width, whether the sides agree) for each known hand that was found again."""
    pairs = []
    for mine, theirs in zip(found, known, strict=True):
        for hand in theirs:
            apart = [np.linalg.norm(hand.landmarks[:, :2] - h.landmarks[:, :2], axis=1).mean() for h in mine]
            if apart and min(apart) < 0.05:
                pairs.append((min(apart), mine[int(np.argmin(apart))].side == hand.side))
    return pairs


@pytest.mark.parametrize("face", FACES)
def test_the_video_gives_the_recorded_hands(look, face, video, recorded):
    found, said = look(face, "video", video)
    assert said["backend"] == ("tasks" if "tasks" in face else "solutions")
    differ = [t for t, (a, b) in enumerate(zip(found, recorded.hands, strict=True)) if bool(a) != bool(b)]
    pairs = matched(found, recorded.hands)
    near, sides, whole = np.median([p[0] for p in pairs]), np.mean([p[1] for p in pairs]), sum(map(len, recorded.hands))
    print(f"\n{face} {said['version']}: a hand or none as recorded in {40 - len(differ)} of 40 frames, not in {differ}; "
          f"{len(pairs)} of {whole} hands again, median {near:.5f} of the width off, sides agree in {sides:.0%}")  # fmt: skip
    assert len(differ) <= 4 and len(pairs) >= 0.75 * whole
    assert near < (0.002 if face == "bundled" else 0.01) and sides >= 0.9


@pytest.mark.parametrize("face", FACES)
def test_the_right_hand_takes_the_plate(look, face, video):
    """An ordinary camera: whoever wears it has the right hand on the right."""
    found, _ = look(face, "video", video)
    right = np.concatenate([h.landmarks[:, 0] for f in found[:13] for h in f if h.side == "right"])
    left = np.concatenate([h.landmarks[:, 0] for f in found[:13] for h in f if h.side == "left"])
    assert np.median(right) > 0.58 > np.median(left)
    view = View(640, 360)
    own, asked = gripper_track(found, view), gripper_track(found, view, "right")
    np.testing.assert_array_equal(own.points, asked.points)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("number", [0, 1])
def test_a_single_picture(look, face, number):
    [picture] = read_images(MEDIA / f"human_frame_{number}.png")
    [found], _ = look(face, f"frame {number}", picture[None], still=True)
    [known] = json.loads((MEDIA / f"human_frame_{number}.landmarks.json").read_text())
    assert known["handedness"] == "Right"  # MediaPipe's word for a left hand
    apart = [np.linalg.norm(h.landmarks[:, :2] - np.array(known["landmarks"])[:, :2], axis=1).mean() for h in found]
    print(f"\n{face}: {len(found)} hands, {min(apart):.5f} off, {[h.side for h in found]}")
    assert min(apart) < 0.01  # of the width; measured 0.002 to 0.005
    assert found[int(np.argmin(apart))].side == "left"


@pytest.mark.parametrize("face", ["bundled", "current, tasks"])
def test_a_robot_is_no_error(look, face):
    """Nor is it a hand: annotation says so instead of inventing a path. Its overlay is that of `tests/test_robot_video.py`."""
    pictures, _ = read_video(MEDIA / "robot_video.mp4")
    found, _ = look(face, "robot", pictures)
    print(f"\n{face}: hands in {sum(map(bool, found))} of {len(found)} frames of a robot")
    assert len(found) == len(pictures) and sum(map(bool, found)) <= 0.1 * len(found)
    if not any(found):
        with pytest.raises(RadliteError, match="a hand in the clip"):
            gripper_track(found, View(pictures.shape[2], pictures.shape[1]))


def test_the_module_loads_nothing_heavy(look, video):
    heavy = {"torch", "transformers", "PIL", "cv2", "mediapipe", "matplotlib", "pyarrow", "ijson"}
    _, said = look("bundled", "video", video)
    assert not heavy & set(said["loaded"])
