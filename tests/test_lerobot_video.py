"""Pictures in mp4 files: the right one or an error, in any order, whoever wrote the file; and what we write comes back."""

import errno
import json
import shutil
from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats import lerobot_video, mp4, video_writer
from radlite.formats.lerobot_video import VIDEO_PATTERN
from radlite.formats.picture import encode_image
from radlite.quarantine import quarantine
from radlite.subset import subset
from radlite.validate import examine

CAMERA, SIZE, LENGTHS = "observation.images.main", (32, 48), (5, 3, 8, 4)
VIDEO = f"videos/{CAMERA}/chunk-000/file-000.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def picture(number):
    """A frame that tells its number, however it was compressed: eight bars, black or white."""
    bars = [255 * (number >> bit & 1) for bit in range(8)]
    return np.repeat(np.repeat(np.uint8(bars), SIZE[1] // 8)[None, :, None], SIZE[0], 0).repeat(3, 2)


def number(frame):
    assert frame.shape == (*SIZE, 3) and frame.dtype == np.uint8
    bars = frame[SIZE[0] // 2, SIZE[1] // 16 :: SIZE[1] // 8, 1] > 127
    return int((bars << np.arange(8)).sum())


def episodes(lengths=LENGTHS):
    start = 0
    for i, length in enumerate(lengths):
        frames = np.stack([picture(k) for k in range(start, start + length)])
        yield Episode(f"task {i}", frames, [None] * length, "robot", actions=np.full((length, 7), 0.5, np.float32), fps=5.0)
        start += length


def psnr(a, b):
    return 10 * np.log10(255**2 / ((a.astype(float) - b) ** 2).mean())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("video") / "set", episodes(), image_format="mp4").path


@pytest.fixture
def dataset(written, tmp_path):
    """A dataset of 5 + 3 + 8 + 4 frames in one video, to spoil."""
    return shutil.copytree(written, tmp_path / "set")


def film(path, numbers, fps=5, codec="libx264", first=0, container="mp4", **options):
    """A video as others write them: colours at half resolution, B-frames, keyframes far apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(fps), options={"g": "250", **options})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for k, n in enumerate(numbers, first):
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts, frame.time_base = k, 1 / Fraction(fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


def columns(path, **changes):
    """Changes columns of meta/episodes; None removes one."""
    table = pq.read_table(path / EPISODES)
    for name, values in changes.items():
        name = f"videos/{CAMERA}/{name}"
        at = table.column_names.index(name)
        table = table.remove_column(at) if values is None else table.set_column(at, name, pa.array(values))
    pq.write_table(table, path / EPISODES)


def features(path, **changes):
    info = json.loads((path / "meta/info.json").read_text())
    info["features"][CAMERA] |= changes
    (path / "meta/info.json").write_text(json.dumps(info))


def numbers(dataset):
    return [number(dataset.frame(k).image) for k in range(dataset.num_frames)]


# ------------------------------------------------------------------------------------------------ what we write
@pytest.mark.parametrize("kind", ["robot", "human"])
def test_our_frames_come_back_at_35_db_and_all_else_as_it_was(tmp_path, kind):
    source = [EpisodeDataset(f"data_samples/{kind}")[i] for i in (0, 5, 9)]
    read = EpisodeDataset(write_dataset(tmp_path / "set", source, image_format="mp4").path)
    for before, after in zip(source, read, strict=True):
        assert (before.instruction, before.reasoning, before.meta) == (after.instruction, after.reasoning, after.meta)
        np.testing.assert_array_equal(before.states, after.states)
        assert min(psnr(a, b) for a, b in zip(before.frames, after.frames, strict=True)) >= 35
    small, large = (sum(p.stat().st_size for p in (tmp_path / "set" / part).rglob("*.*")) for part in ("videos", "data"))
    assert small < 0.7 * sum(len(f) for e in source for f in (encode_image(frame, "png") for frame in e.frames)) and large


def test_the_layout_is_lerobots(written):
    info = json.loads((written / "meta/info.json").read_text())
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4" == VIDEO_PATTERN
    assert info["features"][CAMERA]["dtype"] == "video" and info["features"][CAMERA]["shape"] == [*SIZE, 3]
    about = info["features"][CAMERA]["info"]
    with av.open(str(written / VIDEO)) as video:
        [stream] = video.streams
        context = stream.codec_context
        told = (about["video.height"], about["video.width"], about["video.codec"], about["video.pix_fmt"], about["video.fps"])
        assert told == (context.height, context.width, context.codec.canonical_name, context.pix_fmt, stream.average_rate)
        keys = [frame.key_frame for frame in video.decode(stream)]
    assert len(keys) == sum(LENGTHS) and all(keys[start] for start in np.cumsum([0, *LENGTHS[:-1]]))
    assert all(a or b for a, b in zip(keys, keys[1:], strict=False))  # never two from one keyframe
    assert not about["video.is_depth_map"] and not about["has_audio"]
    rows = pq.read_table(written / EPISODES).to_pylist()
    places = [[row[f"videos/{CAMERA}/{name}"] for name in lerobot_video.PLACE] for row in rows]
    assert places == [[0, 0, 0.0, 1.0], [0, 0, 1.0, 1.6], [0, 0, 1.6, 3.2], [0, 0, 3.2, 4.0]]
    assert CAMERA not in pq.read_schema(written / "data/chunk-000/file-000.parquet").names
    assert len(json.loads((written / "meta/stats.json").read_text())[CAMERA]["mean"]) == 3
    card = (written / "README.md").read_text()
    assert "mp4" in card and "lossless" not in card


def test_the_same_episodes_give_the_same_bytes_and_others_another_hash(written, dataset, tmp_path):
    again = write_dataset(tmp_path / "again", episodes(), image_format="mp4").path
    assert (again / VIDEO).read_bytes() == (written / VIDEO).read_bytes()
    assert EpisodeDataset(again).sha256 == EpisodeDataset(written).sha256
    film(dataset / VIDEO, range(20))
    assert EpisodeDataset(dataset).sha256 != EpisodeDataset(written).sha256


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 33)])
def test_any_size_and_rate_can_be_written(tmp_path, shape):
    frames = np.full((3, *shape, 3), 90, np.uint8)
    episode = Episode("go", frames, [None] * 3, "human", fps=29.97)
    read = EpisodeDataset(write_dataset(tmp_path / "set", [episode, episode], image_format="mp4").path)
    assert all(np.abs(e.frames.astype(int) - 90).max() < 4 for e in read) and read.fps == 29.97


def test_a_full_file_is_followed_by_another(tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer, "VIDEO_MB", 0)
    monkeypatch.setattr(lerobot_video, "MOST_OPEN", 2)
    path = write_dataset(tmp_path / "set", episodes(), image_format="mp4").path
    assert len(list(path.glob("videos/*/*/*.mp4"))) == len(LENGTHS)
    table = pq.read_table(path / EPISODES)
    assert table[f"videos/{CAMERA}/from_timestamp"].to_pylist() == [0.0] * len(LENGTHS)
    opened = EpisodeDataset(path)
    assert numbers(opened) == list(range(20)) == numbers(EpisodeDataset(path).cache())
    assert len(opened._reader.videos(CAMERA, (*SIZE, 3))._open) == 2


@pytest.mark.parametrize("problem", ["disk", "generator", "size", "closing"])
def test_whole_or_not_at_all(tmp_path, monkeypatch, problem):
    class Full:
        def __init__(self, container):
            self._container = container

        def __getattr__(self, name):
            return getattr(self._container, name)

        def mux(self, packet):
            raise OSError(errno.ENOSPC, "No space left on device")

    def spoiled():
        yield from episodes((3,))
        if problem == "generator":
            raise KeyError("mine")
        yield Episode("x", np.zeros((2, 8, 8, 3), np.uint8), [None] * 2, "robot", actions=np.ones((2, 7), np.float32))

    if problem == "disk":
        original = av.open
        monkeypatch.setattr(video_writer.av, "open", lambda *a, **k: Full(original(*a, **k)))
    if problem == "closing":
        monkeypatch.setattr(video_writer.VideoWriter, "close", lambda self: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises((RadliteError, KeyError)) as error:
        write_dataset(tmp_path / "set", spoiled() if problem != "closing" else episodes(), image_format="mp4")
    assert problem != "disk" or "free some disk space" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fps", "width", "text"), [(1e-9, 2, "frames a second"), (1e9, 2, "a second"), (5, 70_000, "H.264")])
def test_what_h264_cannot_hold_is_told(tmp_path, fps, width, text):
    episode = Episode("x", np.zeros((1, 1, width, 3), np.uint8), [None], "human", fps=fps)
    with pytest.raises(RadliteError, match=text):
        write_dataset(tmp_path / "set", [episode], image_format="mp4")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ what others write
KINDS = {
    "one keyframe, B-frames": {"bf": "3"},
    "keyframes and B-frames": {"bf": "2", "g": "6"},
    "open groups": {"bf": "3", "g": "5", "x264-params": "open-gop=1"},
    "av1": {"codec": "libsvtav1", "g": "2", "preset": "12"},
}


@pytest.fixture(scope="module", params=KINDS)
def foreign(request, written, tmp_path_factory):
    path = shutil.copytree(written, tmp_path_factory.mktemp("foreign") / "set")
    film(path / VIDEO, range(20), **KINDS[request.param])
    return path


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 19), min_size=1, max_size=30), st.sampled_from([2, 256]), st.sampled_from([1, 32]))
def test_every_frame_is_the_right_one_in_any_order(foreign, order, held, ahead):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mp4, "HELD_FRAMES", held)
        patch.setattr(mp4, "AHEAD", ahead)
        opened = EpisodeDataset(foreign)
        assert [number(opened.frame(k).image) for k in order] == order
        assert [s.step for s in map(opened.frame, order[:3])] == [k - max(s for s in (0, 5, 8, 16) if s <= k) for k in order[:3]]


def test_in_order_nothing_is_decoded_twice(foreign, monkeypatch):
    seeks, original = [], mp4.Mp4._seek
    monkeypatch.setattr(mp4.Mp4, "_seek", lambda self, *when: (seeks.append(when), original(self, *when)))
    opened = EpisodeDataset(foreign)
    assert numbers(opened) == list(range(20)) and len(seeks) == 1
    assert numbers(opened) == list(range(20)) and len(seeks) == 1  # all of it is still held
    with opened._reader.videos(CAMERA, (*SIZE, 3))._lock:
        held = opened._reader.videos(CAMERA, (*SIZE, 3))._open[VIDEO]._held
    assert held.maxlen == 256 and mp4.HELD_BYTES == 1 << 25


def test_held_pictures_have_a_bound(monkeypatch, foreign):
    monkeypatch.setattr(mp4, "HELD_BYTES", 5 * 32 * 48 * 3)
    opened = EpisodeDataset(foreign)
    assert numbers(opened) == list(range(20))
    assert len(opened._reader.videos(CAMERA, (*SIZE, 3))._open[VIDEO]._held) <= 5


def test_episodes_may_lie_anywhere_in_the_files(dataset):
    """Another order, gaps between them, two files, and a video of three times the rate."""
    film(dataset / VIDEO, [n for k in (*range(100, 104), *range(8, 16), 99, *range(5)) for n in (k, 77, 77)], fps=15)
    film(dataset / VIDEO.replace("file-000", "file-012").replace("chunk-000", "chunk-1001"), [5, 6, 7, *range(16, 20)])
    columns(dataset, chunk_index=[0, 1001, 0, 1001], file_index=[0, 12, 0, 12],
            from_timestamp=[2.6, 0.0, 0.8, 0.6], to_timestamp=[3.6, 0.6, 2.4, 1.4])  # fmt: skip
    assert numbers(EpisodeDataset(dataset)) == list(range(20)) == numbers(EpisodeDataset(dataset).cache())
    assert not examine(dataset).bad


def test_times_that_are_a_little_off_do_not_matter_and_half_a_frame_does(dataset):
    begins, ends = np.array([0.0, 1.0, 1.6, 3.2]), np.array([1.0, 1.6, 3.2, 4.0])
    for off in (0.04, -0.03):
        columns(dataset, from_timestamp=np.maximum(begins + off, 0), to_timestamp=ends + off)
        assert numbers(EpisodeDataset(dataset)) == list(range(20))
    columns(dataset, from_timestamp=begins + 0.1, to_timestamp=ends + 0.1)
    with pytest.raises(RadliteError, match="no picture at 0.100 s"):
        EpisodeDataset(dataset).frame(0)


def test_a_file_in_use_survives_a_fork(written, monkeypatch):
    opened = EpisodeDataset(written)
    opened.frame(3)
    videos = opened._reader.videos(CAMERA, (*SIZE, 3))
    parent = videos._open[VIDEO]
    monkeypatch.setattr(lerobot_video.os, "getpid", lambda: -1)
    assert number(opened.frame(4).image) == 4 and videos._open[VIDEO] is not parent


def test_a_depth_camera_is_not_the_one_to_look_through(dataset):
    info = json.loads((dataset / "meta/info.json").read_text())
    depth = {"dtype": "video", "shape": [*SIZE, 3], "names": None, "info": {"video.is_depth_map": True}}
    info["features"] = {"observation.images.depth": depth, "front": info["features"].pop(CAMERA), **info["features"]}
    (dataset / "meta/info.json").write_text(json.dumps(info))
    table = pq.read_table(dataset / EPISODES)
    pq.write_table(table.rename_columns([name.replace(CAMERA, "front") for name in table.column_names]), dataset / EPISODES)
    (dataset / "videos" / CAMERA).rename(dataset / "videos/front")
    assert number(EpisodeDataset(dataset).frame(7).image) == 7


# ------------------------------------------------------------------------------------------------ what is wrong
def cut(path):
    (path / VIDEO).write_bytes((path / VIDEO).read_bytes()[:-900])


def garbled(path):
    """One picture in the middle, without a keyframe near it, whose bits mean something else."""
    film(path / VIDEO, range(20), crf="1", bf="0", sc_threshold="0")
    with av.open(str(path / VIDEO)) as video:
        at, size = [(p.pos, p.size) for p in video.demux(video=0) if p.size][9]
    data = bytearray((path / VIDEO).read_bytes())
    data[at + size // 2 : at + size] = b"\xa5" * (size - size // 2)
    (path / VIDEO).write_bytes(data)


def playlist(path):
    """What opens other files: ffmpeg would play it, were it not told that this is an mp4."""
    (path / VIDEO).rename(path / "secret.mp4")
    lines = ("#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:4", "#EXTINF:4.0,", str(path / "secret.mp4"), "#EXT-X-ENDLIST")
    (path / VIDEO).write_text("\n".join(lines) + "\n")


def smaller(path):
    frames = np.zeros((20, 16, 48, 3), np.uint8)
    other = Episode("x", frames, [None] * 20, "human", fps=5.0)
    shutil.copyfile(write_dataset(path.parent / "other", [other], image_format="mp4").path / VIDEO, path / VIDEO)


def silent(path):
    with av.open(str(path / VIDEO), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode())


BROKEN = {
    "missing": (lambda p: (p / VIDEO).unlink(), "no such file"),
    "a folder": (lambda p: ((p / VIDEO).unlink(), (p / VIDEO).mkdir()), "no such file"),
    "empty": (lambda p: (p / VIDEO).write_bytes(b""), "cannot be decoded"),
    "a playlist": (playlist, "cannot be decoded"),
    "another container": (lambda p: film(p / VIDEO, range(20), container="matroska"), "cannot be decoded"),
    "garbled": (garbled, "cannot be decoded|damaged"),
    "cut off": (cut, "."),
    "shorter": (lambda p: film(p / VIDEO, range(18)), "ends with a picture at 3.400 s|and is the last"),
    "begins later": (lambda p: film(p / VIDEO, range(5, 20), first=5), "begins with a picture at 1.000 s|no picture at 0.000 s"),
    "another size": (smaller, "pictures of 16x48, and meta/info.json tells 32x48"),
    "only sound": (silent, "no video"),
    "slower": (lambda p: film(p / VIDEO, range(20), fps=2), "no picture at 0.200 s"),
    "absurd size": (lambda p: features(p, shape=[100_000, 100_000, 3]), "at most 67,108,864 pixels"),
    "no column": (lambda p: columns(p, from_timestamp=None), "from_timestamp"),
    "no file number": (lambda p: columns(p, file_index=[0, 0, None, 0]), "for episode 2"),
    "negative number": (lambda p: columns(p, chunk_index=[0, -1, 0, 0]), "for episode 1"),
    "no time": (lambda p: columns(p, from_timestamp=[0.0, None, 1.6, 3.2]), "episode 1"),
    "not a number": (lambda p: columns(p, to_timestamp=[1.0, 1.6, float("nan"), 4.0]), "episode 2"),
    "text": (lambda p: columns(p, to_timestamp=["1", "2", "3", "4"]), "episode 0"),
    "too short a time": (lambda p: columns(p, to_timestamp=[1.0, 1.6, 2.8, 4.0]), "episode 2"),
    "overlap": (lambda p: columns(p, from_timestamp=[0.0, 0.6, 1.6, 3.2]), "episode 0 up to 0.800 s and episode 1"),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_every_problem_is_one_clear_error(dataset, problem):
    spoil, text = BROKEN[problem]
    spoil(dataset)
    with pytest.raises(RadliteError, match=text) as error:
        numbers(EpisodeDataset(dataset))
    assert CAMERA in str(error.value) and "episode" in str(error.value) or problem == "absurd size"
    with pytest.raises(RadliteError, match=text):
        EpisodeDataset(dataset).cache()


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", "..", "c:x", ""])
def test_a_camera_whose_name_is_a_path_is_refused(dataset, name):
    info = json.loads((dataset / "meta/info.json").read_text())
    info["features"] = {name: info["features"].pop(CAMERA), **info["features"]}
    (dataset / "meta/info.json").write_text(json.dumps(info))
    table = pq.read_table(dataset / EPISODES)
    pq.write_table(table.rename_columns([n.replace(CAMERA, name) for n in table.column_names]), dataset / EPISODES)
    with pytest.raises(RadliteError, match="without slashes"):
        EpisodeDataset(dataset)


def test_another_size_is_seen_before_anything_is_decoded(written):
    with pytest.raises(mp4.BadVideo, match="32x48, and meta/info.json tells 16x48"):
        mp4.Mp4(written / VIDEO, (16, 48, 3), 5.0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)), min_size=1, max_size=3))
def test_any_damage_gives_frames_of_the_right_size_or_our_error(dataset, written, changes):
    data = bytearray((written / VIDEO).read_bytes())
    for at, new in changes:
        at = int(at * len(data))
        data[at : at + len(new)] = new
    (dataset / VIDEO).write_bytes(data)
    opened = EpisodeDataset(dataset)
    for k in (0, 9, 19, 4):
        try:
            assert opened.frame(k).image.shape == (*SIZE, 3)
        except RadliteError as error:
            assert CAMERA in error.expected


def test_damage_is_found_once_and_what_lies_before_and_behind_can_be_read(dataset, monkeypatch):
    film(dataset / VIDEO, range(20), g="5", bf="0", crf="1", sc_threshold="0")
    with av.open(str(dataset / VIDEO)) as video:
        packets = [(p.pos, p.size) for p in video.demux(video=0) if p.size]
    data = bytearray((dataset / VIDEO).read_bytes())
    for at, size in packets[7:8]:  # in the second group of five
        data[at + 4 : at + size] = bytes(size - 4)
    (dataset / VIDEO).write_bytes(data)
    opened, found, decodes = EpisodeDataset(dataset), [], []
    original = mp4.Mp4._decode
    monkeypatch.setattr(mp4.Mp4, "_decode", lambda self, when: (decodes.append(when), original(self, when)))
    for k in range(20):
        try:
            found.append(number(opened.frame(k).image))
        except RadliteError:
            found.append(None)
    assert found == [*range(7), None, None, None, *range(10, 20)]
    assert len(decodes) <= 24


# ------------------------------------------------------------------------------------------------ whoever reads it
def test_validate_counts_bad_pictures_and_quarantine_leaves_their_episodes_out(dataset, tmp_path):
    assert not examine(dataset).bad and examine(dataset).pictures
    film(dataset / VIDEO, range(18))
    report = examine(dataset)
    [finding] = report.of("picture")
    assert (finding.episode, finding.step, finding.frames, finding.column) == (3, 2, 2, CAMERA)
    assert not examine(dataset, decode=False).bad
    quarantine([report], tmp_path / "out", ["mit"])
    kept = EpisodeDataset(tmp_path / "out/set")
    assert numbers(kept) == list(range(16))


def test_a_subset_needs_only_the_videos_of_its_episodes(tmp_path, monkeypatch):
    monkeypatch.setattr(video_writer, "VIDEO_MB", 0)
    large = write_dataset(tmp_path / "large", episodes(), image_format="mp4").path
    lines = []
    info = subset(large, tmp_path / "out", tasks=["task 1", "task 3"], told=lines.append)
    assert numbers(EpisodeDataset(info.path)) == [5, 6, 7, 16, 17, 18, 19]
    assert "1 of 1 data files and 2 of 4 videos" in lines[0]
    (large / VIDEO).unlink()
    assert numbers(EpisodeDataset(subset(large, tmp_path / "again", tasks=["task 1"]).path)) == [5, 6, 7]
    with pytest.raises(RadliteError, match=r"large.*no such file") as error:
        subset(large, tmp_path / "none", tasks=["task 0"])
    assert "tmp" not in str(error.value).replace(str(tmp_path), "") and not (tmp_path / "none").exists()


def test_a_video_dataset_can_be_written_anew_from_itself(dataset):
    before = EpisodeDataset(dataset)[2].frames
    write_dataset(dataset, EpisodeDataset(dataset), image_format="png", overwrite=True)
    np.testing.assert_array_equal(EpisodeDataset(dataset)[2].frames, before)
    assert not (dataset / "videos").exists()
