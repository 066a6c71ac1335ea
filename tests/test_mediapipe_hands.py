"""Which face of MediaPipe is taken, what is said where none will do, and whose hand it is; MediaPipe itself: tests/hands.

The module `mediapipe` here is a fake, which says what it is told to: enough to see what is asked of it.
"""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from synthetic_hands import landmarks

from radlite.annotate.mediapipe_hands import MediaPipeHands
from radlite.errors import RadliteError

PICTURE = np.zeros((48, 64, 3), np.uint8)
POINTS = [SimpleNamespace(x=x, y=y, z=z) for x, y, z in landmarks((100, 100), 1.0)]


class Asked:
    """A context that notes what it was made with and what it was shown."""

    def __init__(self, log, **options):
        self.log = log
        log.append(options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.log.append("closed")


class Hands(Asked):
    def process(self, picture):
        self.log.append(picture.shape)
        word = SimpleNamespace(classification=[SimpleNamespace(label="Left", score=1.0000001)])
        points = SimpleNamespace(landmark=POINTS)
        return SimpleNamespace(multi_handedness=[word], multi_hand_landmarks=[points])


class Landmarker(Asked):
    def detect(self, image):
        self.log.append("still")
        said = [SimpleNamespace(category_name="Left", score=0.75)]
        return SimpleNamespace(handedness=[said], hand_landmarks=[POINTS])

    def detect_for_video(self, image, milliseconds):
        self.log.append(milliseconds)
        return SimpleNamespace(handedness=[], hand_landmarks=[])


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """fake("tasks", "solutions") installs a mediapipe with those faces; what it is asked comes in `log`."""
    monkeypatch.setenv("RADLITE_CACHE", str(tmp_path / "cache"))
    log = []

    def create(options):
        if options["base_options"]["model_asset_buffer"] != b"model":
            raise RuntimeError("Unable to open zip archive.\nand more")
        return Landmarker(log, **options)

    def install(*faces):
        mediapipe = ModuleType("mediapipe")
        mediapipe.__version__, mediapipe.log = "9.9", log
        mediapipe.Image, mediapipe.ImageFormat = lambda **kw: kw, SimpleNamespace(SRGB=1)
        monkeypatch.setitem(sys.modules, "mediapipe", mediapipe)
        if "solutions" in faces:
            mediapipe.solutions = SimpleNamespace(hands=SimpleNamespace(Hands=lambda **kw: Hands(log, **kw)))
        if "tasks" in faces:
            python, vision = ModuleType("mediapipe.tasks.python"), ModuleType("mediapipe.tasks.python.vision")
            python.BaseOptions = vision.HandLandmarkerOptions = dict
            vision.RunningMode = SimpleNamespace(VIDEO="video", IMAGE="image")
            vision.HandLandmarker = SimpleNamespace(create_from_options=create)
            mediapipe.tasks = SimpleNamespace(python=python)
            for module in (python, vision):
                monkeypatch.setitem(sys.modules, module.__name__, module)
        return mediapipe

    return install


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "own.task"
    path.write_bytes(b"model")
    return path


def fetched(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hand_landmarker.task").write_bytes(b"model")


# ------------------------------------------------------------------------------------------------ which face
def test_the_models_in_the_wheel_need_no_file(fake):
    fake("solutions")
    assert MediaPipeHands().backend == "solutions"
    fake("solutions", "tasks")
    assert MediaPipeHands().backend == "solutions"


def test_a_model_that_was_fetched_is_used(fake, tmp_path):
    fetched(tmp_path)
    fake("solutions", "tasks")
    assert MediaPipeHands().backend == "tasks"


def test_a_model_that_is_named_is_used(fake, model):
    fake("tasks")
    assert MediaPipeHands(model).backend == "tasks"
    with pytest.raises(RadliteError, match="nothing; check the path"):
        MediaPipeHands(model.with_name("none.task"))
    with pytest.raises(RadliteError, match="a folder"):
        MediaPipeHands(model.parent)


def test_without_mediapipe_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "mediapipe", None)  # import mediapipe now raises
    with pytest.raises(RadliteError, match="expected mediapipe.*`pip install mediapipe`.*`radlite setup hands`.*==0.10.21`"):
        MediaPipeHands()


def test_a_mediapipe_that_cannot_be_loaded(monkeypatch):
    def broken(name):
        raise ImportError("libGL.so.1: cannot open shared object file\nsecond line")

    monkeypatch.setattr("radlite.annotate.mediapipe_hands.importlib.import_module", broken)
    with pytest.raises(RadliteError, match="can be imported; found libGL.so.1: cannot open shared object file second line"):
        MediaPipeHands()


def test_without_a_model_the_command_is_told(fake, tmp_path):
    fake("tasks")
    with pytest.raises(RadliteError, match=r"none in mediapipe 9\.9; run `radlite setup hands`.*hand_landmarker\.task"):
        MediaPipeHands()


def test_a_model_for_a_mediapipe_without_tasks(fake, model):
    fake("solutions")
    with pytest.raises(RadliteError, match=r"Tasks API; found 9\.9; install"):
        MediaPipeHands(model)


def test_a_file_that_is_no_model(fake, model):
    fake("tasks")
    model.write_bytes(b"something else")
    with pytest.raises(RadliteError, match=r"own\.task \(Unable to open zip archive\. and more\); run `radlite setup hands`"):
        MediaPipeHands(model).detect([PICTURE])


# ------------------------------------------------------------------------------------------------ what is asked and said
def test_the_solution_speaks_of_mirrors(fake):
    asked = fake("solutions").log
    [[one]] = MediaPipeHands(most=3, confidence=0.4).detect([PICTURE])
    assert one.side == "right" and one.score == 1.0 and one.landmarks.shape == (21, 3) and one.landmarks.dtype == np.float32
    options = {"static_image_mode": False, "max_num_hands": 3, "min_detection_confidence": 0.4, "min_tracking_confidence": 0.4}
    assert asked == [options, PICTURE.shape, "closed"]
    assert MediaPipeHands(mirrored=True).detect([PICTURE])[0][0].side == "left"


def test_the_tasks_api_speaks_of_the_hand(fake, model):
    fake("tasks")
    [[one]] = MediaPipeHands(model, tracking=False).detect([PICTURE])
    assert one.side == "left" and one.score == 0.75
    assert MediaPipeHands(model, tracking=False, mirrored=True).detect([PICTURE])[0][0].side == "right"


def test_each_clip_is_followed_by_itself(fake, model):
    asked = fake("tasks").log
    detector = MediaPipeHands(model)
    assert detector.detect(iter([PICTURE] * 3)) == [(), (), ()] and detector.detect([]) == []
    assert [a for a in asked if not isinstance(a, dict)] == [0, 100, 200, "closed", "closed"]
    assert {a["running_mode"] for a in asked if isinstance(a, dict)} == {"video"}


@pytest.mark.parametrize("wrong", [PICTURE[..., 0], PICTURE.astype(float), PICTURE[:4], np.zeros((48, 64, 4), np.uint8), "x"])
def test_what_is_no_picture(fake, wrong):
    fake("solutions")
    with pytest.raises(RadliteError, match="number 1"):
        MediaPipeHands().detect([PICTURE, wrong])


def test_pictures_of_one_clip_have_one_size(fake):
    asked = fake("solutions").log
    with pytest.raises(RadliteError, match="one size"):
        MediaPipeHands().detect([PICTURE, PICTURE[:40]])
    assert asked[-1] == "closed"
    assert len(MediaPipeHands(tracking=False).detect([PICTURE, PICTURE[:40]])) == 2


@pytest.mark.parametrize("wrong", [{"most": 0}, {"confidence": 1.5}, {"confidence": float("nan")}])
def test_bad_arguments(fake, wrong):
    fake("solutions")
    with pytest.raises(RadliteError):
        MediaPipeHands(**wrong)
