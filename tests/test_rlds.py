"""Bridge V2 in RLDS: records as they are meant, ECoT's three changes, and no damaged shard that does more than be told."""

import io
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radlite import rlds_episode
from radlite.cli import main
from radlite.ecot_join import annotate_from_ecot
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats import tf_example, tfrecord
from radlite.formats.tf_example import Example
from radlite.formats.tfrecord import crc32c, masked_crc32c, read_records
from radlite.rlds import find_shards, import_rlds
from radlite.rlds_episode import RldsConfig, binary_gripper, read_episode
from radlite.validate import examine

FILE = "/data/numpy_256/bridge_data_v2/kitchen/stack/00/train/out.npy"
SHARD = "bridge_dataset-train.tfrecord-0000{}-of-00002"
HOSTILE = "put \x1b[31m\u202ethe can\x07"
NAMES = tuple(f"steps/{n}" for n in ("action", "observation/state", "observation/image_0", "language_instruction"))


# ---------------------------------------------------------------------------------------- an encoder of the test's own
def slow_crc(data):
    """CRC-32C bit by bit, as RFC 3720 defines it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(data, crc=slow_crc):
    value = crc(data)
    return (((value >> 15) | (value << 17) & 0xFFFFFFFF) + 0xA282EAD8) % (1 << 32)


def frame(data):
    """One TFRecord. The checksum of the bytes is radlite's, which is quick and has tests of its own."""
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(head)) + data + struct.pack("<I", masked(data, crc32c))


def varint(value):
    value, parts = value % (1 << 64), []
    while value > 127:
        parts.append(value % 128 + 128)
        value //= 128
    return bytes([*parts, value])


def block(number, data):
    return varint(number * 8 + 2) + varint(len(data)) + data


def feature(values, packed=True):
    """A Feature: bytes, floats (a float32 array) or whole numbers."""
    if isinstance(values, np.ndarray):
        rows = [struct.pack("<f", v) for v in values.ravel()]
        return block(2, block(1, b"".join(rows)) if packed else b"".join(varint(13) + row for row in rows))
    if values and isinstance(values[0], int):
        rows = [varint(v) for v in values]
        return block(3, block(1, b"".join(rows)) if packed else b"".join(varint(8) + row for row in rows))
    return block(1, b"".join(block(1, v.encode() if isinstance(v, str) else v) for v in values))


def example(features, packed=True):
    entries = (block(1, k.encode()) + block(2, v if isinstance(v, bytes) else feature(v, packed)) for k, v in features.items())
    return block(1, b"".join(block(1, entry) for entry in entries))


def jpeg(level, shape=(6, 8), kind="JPEG"):
    buffer = io.BytesIO()
    Image.new("RGB", shape[::-1], (level, 2 * level, 99)).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def vectors(length, seed=0):
    values = np.random.default_rng(seed).uniform(-0.05, 0.05, (length, 7)).astype(np.float32)
    values[:, 6] = np.linspace(1, 0, length)
    return values


def steps(length=5, instruction="put the can down", episode_id=7, **changes):
    """The features of one episode as TFDS writes them; a keyword with two underscores names a feature with a slash."""
    action = vectors(length, 1)
    action[:1] = 0
    told = {
        "steps/observation/image_0": [jpeg(10 * k) for k in range(length)],
        "steps/observation/state": vectors(length, 2),
        "steps/action": action,
        "steps/language_instruction": [instruction] * length,
        "steps/language_embedding": np.zeros((length, 512), np.float32),
        "steps/is_first": [1] + [0] * (length - 1),
        "episode_metadata/file_path": [FILE],
        "episode_metadata/episode_id": [episode_id],
        "episode_metadata/has_image_0": [1],
        **changes,
    }
    return {name: value for name, value in told.items() if value is not None}


@pytest.fixture
def shards(tmp_path):
    """Writes shards of records (features or bytes) and returns their folder."""

    def make(*files):
        folder = tmp_path / "1.0.0"
        folder.mkdir(exist_ok=True)
        for k, records in enumerate(files):
            data = b"".join(frame(r if isinstance(r, bytes) else example(r)) for r in records)
            (folder / SHARD.format(k)).write_bytes(data)
        return folder

    return make


# ------------------------------------------------------------------------------------------------------ records, bytes
def test_the_checksum_is_crc_32c():
    vectors = {b"": 0, b"123456789": 0xE3069283, bytes(32): 0x8A9136AA, b"\xff" * 32: 0x62A8AB43, bytes(range(32)): 0x46DD794E}
    assert {data: crc32c(data) for data in vectors} == vectors  # RFC 3720, B.4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3000), st.integers(0, 2**32 - 1))
def test_the_quick_checksum_is_the_slow_one(size, seed):
    data = np.random.default_rng(seed).bytes(size)
    assert crc32c(data) == slow_crc(data) and masked_crc32c(memoryview(data)) == masked(data)


def test_the_checksum_goes_on_from_block_to_block(monkeypatch):
    data = np.random.default_rng(0).bytes(10_000)
    whole = slow_crc(data)
    assert crc32c(data) == whole
    monkeypatch.setattr(tfrecord, "_LANES", 4)
    for end in (2048, 4096, 4097, 4096 + 255, 4096 + 256, 10_000):  # the rest is none, too short for lanes, long enough
        assert crc32c(data[:end]) == slow_crc(data[:end])


def test_records_are_read_in_order(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"".join(map(frame, (b"one", b"", b"x" * 5000))))
    assert list(read_records(path)) == [(0, b"one"), (1, b""), (2, b"x" * 5000)]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damage_of_a_file_is_told_and_never_passed_on(tmp_path_factory, data):
    records = [b"one", b"two" * 100, b"three"]
    whole = b"".join(map(frame, records))
    path = tmp_path_factory.mktemp("damaged") / "a.tfrecord"
    kind = data.draw(st.sampled_from(("cut", "flip", "junk")))
    if kind == "cut":
        damaged = whole[: data.draw(st.integers(1, len(whole) - 1))]
    elif kind == "flip":
        at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
        damaged = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    else:
        damaged = data.draw(st.binary(min_size=1, max_size=200))
    path.write_bytes(damaged)
    read, error = [], None
    try:
        for _, found in read_records(path):
            read.append(found)
    except RadliteError as raised:
        error = raised
    refused = [r for r in read if isinstance(r, RadliteError)]
    assert all(r in records for r in read if isinstance(r, bytes))
    cut_between = any(damaged == b"".join(map(frame, records[:k])) for k in range(1, 3))
    assert refused or cut_between or (error is not None and str(path) in str(error))


@pytest.mark.parametrize("length", [1 << 63, 1 << 40, (1 << 28) + 1, 1 << 28])
def test_an_absurd_length_takes_no_memory(tmp_path, length):
    head = struct.pack("<Q", length)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(frame(b"one") + head + struct.pack("<I", masked(head)) + bytes(100))
    tracemalloc.start()
    with pytest.raises(RadliteError, match="record 1 of .*a.tfrecord"):
        list(read_records(path))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_record_that_is_there_may_be_too_large_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(tfrecord, "MOST_RECORD", 100)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(frame(bytes(100)) + frame(bytes(101)))
    with pytest.raises(RadliteError, match="at most 100 bytes in record 1 of .*found 101 bytes"):
        list(read_records(path))


def test_a_packed_file_is_recognised(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(RadliteError, match="gunzip"):
        list(read_records(path))


# -------------------------------------------------------------------------------------------------- messages, features
@pytest.mark.parametrize("packed", [True, False])
def test_features_are_read_packed_or_not(packed):
    values = np.array([1.5, -2, 0, np.inf], np.float32)
    told = Example(example({"a/b": values, "n": [-5], "t": ["x", b"\xff", ""], "none": feature([])}, packed))
    assert told.names == ("a/b", "n", "t", "none") and "a/b" in told and "b" not in told
    np.testing.assert_array_equal(told.floats("a/b"), values)
    assert told.integer("n") == -5 and [bytes(v) for v in told.blobs("t")] == [b"x", b"\xff", b""] and told.blobs("none") == []


def test_unknown_fields_are_passed_over():
    strange = varint(9 * 8) + varint(300) + varint(9 * 8 + 1) + bytes(8) + varint(9 * 8 + 5) + bytes(4) + block(9, b"x")
    inner = block(1, strange + block(1, strange + block(1, b"n") + block(2, strange + block(3, strange + block(1, varint(7))))))
    assert Example(strange + inner).integer("n") == 7


@pytest.mark.parametrize(
    "name, ask, expected",
    [
        ("x", "floats", "a feature 'x'.*3 others.*'f, n, t'"),
        ("f", "blobs", "list of bytes in 'f'.*found floats"),
        ("t", "floats", "list of floats in 't'.*found bytes"),
        ("n", "integer", "one number in 'n'.*found more"),
        ("f", "integer", "whole numbers in 'f'"),
    ],
)
def test_a_feature_of_another_kind_is_named(name, ask, expected):
    told = Example(example({"f": np.ones(2, np.float32), "n": [1, 2], "t": ["x"]}))
    with pytest.raises(RadliteError, match=expected):
        getattr(told, ask)(name)


@pytest.mark.parametrize(
    "message, expected",
    [
        (varint(10) + varint(1 << 62) + b"x", "4,611,686,018,427,387,904 bytes in a field"),
        (b"\x0a\x80", "a number of at most 10 bytes"),
        (b"\x0b", "the key 11"),  # the beginning of a group, which nobody writes
        (b"\x02\x00", "the key 2"),  # field 0
        (example({"f": block(2, block(1, b"abc"))}), "list of floats in 'f'.*of another kind"),
        (example({"f": block(2, varint(8) + varint(7))}), "list of floats in 'f'.*of another kind"),
        (example({"f": block(2, varint(9) + bytes(8))}), "list of floats in 'f'.*of another kind"),
        (example({}) + block(1, block(1, block(1, b"\xff"))), "UTF-8"),
    ],
)
def test_what_protobuf_would_not_write_is_refused(message, expected):
    with pytest.raises(RadliteError, match=expected):
        Example(message).floats("f")


def test_a_feature_that_comes_twice_is_refused():
    with pytest.raises(RadliteError, match="'n' twice"):
        Example(example({"n": [1]}) + example({"n": [2]}))


def test_fields_without_end_are_refused(monkeypatch):
    for most in ("MOST_VALUES", "MOST_FEATURES"):
        monkeypatch.setattr(tf_example, most, 50)
    with pytest.raises(RadliteError, match="at most 50 fields"):
        Example(example({"t": ["x"] * 51})).blobs("t")
    with pytest.raises(RadliteError, match="at most 50 fields"):
        Example(example({f"{k}": [1] for k in range(51)}))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_of_a_message_ends_in_an_error_or_an_episode(data):
    if data.draw(st.booleans()):
        message = data.draw(st.binary(max_size=300))
    else:
        message = bytearray(example(steps(3)))
        for _ in range(data.draw(st.integers(1, 3))):
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
        message = bytes(message[: data.draw(st.integers(0, len(message)))] if data.draw(st.booleans()) else message)
    try:
        episode = read_episode(message)
    except RadliteError:
        return
    if not isinstance(episode, str):
        episode.validate()


# ------------------------------------------------------------------------------------------------------ what ECoT does
def test_the_gripper_is_what_is_reached_next():
    values = np.array([1, 0.96, 0.95, 0.5, 0.05, 0.04, 0, 0.06, 0.3, 0.93, 1, 0.6, 0.7], np.float32)
    told = binary_gripper(values)
    np.testing.assert_array_equal(told, np.array([1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0.7, 0.7], np.float32))  # the end as it is
    assert values[2] == np.float32(0.95)  # the argument stays


def test_by_default_an_episode_is_what_ecot_trains_on():
    told = steps(6)
    states, actions = told["steps/observation/state"], told["steps/action"]
    episode = read_episode(example(told))
    assert len(episode) == 4 and episode.fps == 5 and episode.embodiment == "robot" and episode.reasoning == [None] * 4
    np.testing.assert_array_equal(episode.actions[:, :6], states[2:, :6] - states[1:-1, :6])
    np.testing.assert_array_equal(episode.actions[:, 6], np.zeros(4))  # 0.8, 0.6, 0.4, 0.2, and then 0
    np.testing.assert_array_equal(episode.states, states[1:-1])
    pictures = [np.asarray(Image.open(io.BytesIO(p))) for p in told["steps/observation/image_0"][1:-1]]
    np.testing.assert_array_equal(episode.frames, pictures)
    assert episode.meta == {"file_path": FILE, "episode_id": 7, "first_step": 1}
    assert actions[1, 6] == np.float32(0.8)


def test_each_choice_can_be_undone():
    told = steps(6)
    states, actions = told["steps/observation/state"], told["steps/action"]
    asis = read_episode(example(told), RldsConfig(drop_first_step=False, actions="recorded", gripper="continuous"))
    np.testing.assert_array_equal(asis.actions, actions)
    np.testing.assert_array_equal(asis.states, states)
    assert asis.meta["first_step"] == 0
    first = read_episode(example(told), RldsConfig(drop_first_step=False))
    np.testing.assert_array_equal(first.states, states[:-1])
    recorded = read_episode(example(told), RldsConfig(actions="recorded"))
    np.testing.assert_array_equal(recorded.actions[:, :6], actions[1:, :6])
    np.testing.assert_array_equal(recorded.actions[:, 6], np.zeros(5))
    smooth = read_episode(example(told), RldsConfig(gripper="continuous"))
    np.testing.assert_array_equal(smooth.actions[:, 6], actions[1:-1, 6])
    for wrong in ({"actions": "zero"}, {"gripper": "shut"}):
        with pytest.raises(RadliteError, match="one of"):
            RldsConfig(**wrong)


@pytest.mark.parametrize(
    "told, config, reason",
    [
        (steps(instruction="  "), RldsConfig(), "no instruction"),
        (steps(2), RldsConfig(), "too few steps"),
        (steps(1), RldsConfig(actions="recorded"), "too few steps"),
        (steps(**{"steps/observation/image_0": []}, length=0), RldsConfig(), "too few steps"),
        (steps(**{"episode_metadata/has_image_1": [0]}), RldsConfig(camera="image_1"), "no picture of image_1"),
    ],
)
def test_an_episode_of_no_use_says_why(told, config, reason):
    assert read_episode(example(told), config) == reason


bad = np.zeros((5, 7), np.float32)
bad[3, 2] = np.nan


@pytest.mark.parametrize(
    "changes, expected",
    [
        *[({name: None}, f"a feature '{name}'") for name in (*NAMES, rlds_episode.FILE_PATH, rlds_episode.EPISODE_ID)],
        ({"steps/action": bad}, "finite numbers in 'steps/action'.* at step 3"),
        ({"steps/observation/state": np.full((5, 7), np.inf, np.float32)}, "finite numbers in 'steps/observation/state'.*step 0"),
        ({"steps/action": np.zeros((5, 6), np.float32)}, "5 times 7 numbers in 'steps/action'.*found 30"),
        ({"steps/observation/state": np.zeros((4, 7), np.float32)}, "5 times 7 numbers in 'steps/observation/state'"),
        ({"steps/action": ["x"]}, "list of floats in 'steps/action'.*found bytes"),
        ({"steps/observation/image_0": np.zeros(5, np.float32)}, "list of bytes in 'steps/observation/image_0'"),
        ({"steps/observation/image_0": [jpeg(1)] * 2 + [b"\xff\xd8junk"] + [jpeg(1)] * 2}, "picture .*step 2 of .*image_0"),
        ({"steps/observation/image_0": [b""] * 5}, "PNG, WebP or JPEG picture for step 1"),
        ({"steps/observation/image_0": [jpeg(1)[:-40]] * 5}, "picture for step 1"),
        ({"steps/observation/image_0": [jpeg(1)] * 2 + [jpeg(1, (8, 6))] * 3}, "picture of 6x8 for step 2.*found 8x6"),
        ({"steps/language_instruction": ["a"] * 4}, "5 texts"),
        ({"steps/language_instruction": ["a"] * 4 + ["b"]}, "one instruction .*'b' at step 4 after b'a'"),
        ({"steps/language_instruction": [b"\xff"] * 5}, "UTF-8 in 'steps/language_instruction'"),
        ({"steps/language_instruction": ["a" * 5000] * 5}, "at most 4,096 bytes"),
        ({"episode_metadata/file_path": ["a", "b"]}, "one text in 'episode_metadata/file_path'"),
        ({"episode_metadata/episode_id": []}, "whole numbers in 'episode_metadata/episode_id'"),
    ],
)
def test_a_bad_record_is_told_with_file_record_and_feature(shards, tmp_path, changes, expected):
    folder = shards([steps(), steps(**changes)])
    with pytest.raises(RadliteError, match=expected) as raised:
        import_rlds(folder, tmp_path / "out")
    assert f"record 1 of {folder / SHARD.format(0)}" in str(raised.value) and "--skip-bad" in raised.value.fix
    assert not (tmp_path / "out").exists() and [p.name for p in tmp_path.iterdir()] == ["1.0.0"]
    report = import_rlds(folder, tmp_path / "out", strict=False)
    assert (report.dataset.num_episodes, report.records, report.refused) == (1, 2, 1) and len(report.examples) == 1


def test_the_first_picture_tells_the_size():
    told = steps(**{"steps/observation/image_0": [b"", b"GIF89a", *[jpeg(1)] * 3]})
    with pytest.raises(RadliteError, match="PNG or JPEG picture for step 1 .*begin with b'GIF89a'"):
        read_episode(example(told))
    told = steps(**{"steps/observation/image_0": [b"", *[jpeg(1, (9, 7))] * 4]})  # the first step is dropped, not looked at
    assert read_episode(example(told)).frames.shape == (3, 9, 7, 3)


def test_huge_pictures_are_refused_before_they_are_unpacked(monkeypatch):
    monkeypatch.setattr(rlds_episode, "MOST_BYTES", 1 << 20)
    bomb = jpeg(0, (4000, 4000), "PNG")
    told = example(steps(**{"steps/observation/image_0": [bomb] * 5}))
    tracemalloc.start()
    with pytest.raises(RadliteError, match="4000x4000"):
        read_episode(told)
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()
    monkeypatch.setattr(rlds_episode, "MOST_STEPS", 4)
    with pytest.raises(RadliteError, match="at most 4 steps"):
        read_episode(example(steps(5)))


# ----------------------------------------------------------------------------------------------------------- the import
def test_an_import_is_a_dataset_that_validates(shards, tmp_path):
    blank = steps(instruction="")
    folder = shards([steps(5, "lift it", 0), blank], [steps(6, "drop it", 1), steps(4, "lift it", 2)])
    report = import_rlds(folder.parent, tmp_path / "out")  # the folder above will do
    assert (report.records, report.left_out, report.refused, report.missing) == (4, {"no instruction": 1}, 0, 0)
    checked, dataset = examine(tmp_path / "out"), EpisodeDataset(tmp_path / "out")
    assert not checked.bad and checked.embodiment == "robot" and dataset.fps == 5
    told = [(e.instruction, len(e), e.meta["episode_id"]) for e in dataset]
    assert told == [("lift it", 3, 0), ("drop it", 4, 1), ("lift it", 2, 2)]
    assert dataset[1].meta["file_path"] == FILE
    expected = read_episode(example(steps(6, "drop it", 1)))
    for name in ("frames", "actions", "states"):
        np.testing.assert_array_equal(getattr(dataset[1], name), getattr(expected, name))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0" in card and "first step dropped, actions relabelled, gripper binary" in card
    assert str(tmp_path) not in card


def test_so_many_episodes_and_no_more_are_read(shards, tmp_path):
    folder = shards([steps(), b"no message"])
    assert import_rlds(folder, tmp_path / "out", episodes=1).records == 1  # the bad record was not looked at
    assert import_rlds(folder, tmp_path / "out", episodes=2, strict=False, overwrite=True).dataset.num_episodes == 1
    with pytest.raises(RadliteError, match="at least one"):
        import_rlds(folder, tmp_path / "out", episodes=0)


def test_of_a_record_with_a_wrong_checksum_only_it_is_lost(shards, tmp_path):
    folder = shards([steps(), steps(), steps()])
    path, size = folder / SHARD.format(0), len(frame(example(steps())))
    data = bytearray(path.read_bytes())
    data[size + 100] ^= 1
    path.write_bytes(data)
    with pytest.raises(RadliteError, match="checksum in record 1"):
        import_rlds(folder, tmp_path / "out")
    report = import_rlds(folder, tmp_path / "out", strict=False)
    assert (report.records, report.refused, report.dataset.num_episodes) == (3, 1, 2)
    data[size] ^= 1  # the length: where record 2 begins is unknown
    path.write_bytes(data)
    with pytest.raises(RadliteError, match="length .* record 1"):
        import_rlds(folder, tmp_path / "other", strict=False)
    assert not (tmp_path / "other").exists()


def test_one_episode_is_in_memory_at_a_time(shards, tmp_path):
    """Six times the episodes take about the same memory."""
    big = [jpeg(k, (64, 64)) for k in range(20)]
    record = example(steps(20, **{"steps/observation/image_0": big}))
    peaks = []
    for count in (2, 12):
        folder = shards([record] * count)
        tracemalloc.start()
        import_rlds(folder, tmp_path / "out", overwrite=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] + (1 << 20)


def test_pictures_of_another_size_than_the_first_are_refused(shards, tmp_path):
    folder = shards([steps(), steps(**{"steps/observation/image_0": [jpeg(1, (8, 8))] * 5})])
    with pytest.raises(RadliteError, match="6x8.*found 8x8 in record 1"):
        import_rlds(folder, tmp_path / "out")


def test_shards_are_found_by_split(shards, tmp_path):
    folder = shards([steps()])
    (folder / "bridge_dataset-train.tfrecord-00001-of-00002.part").write_bytes(b"half a download")
    (folder / "bridge_dataset-val.tfrecord-00000-of-00001").write_bytes(b"")
    (folder / "features.json").write_text("{}")
    assert find_shards(folder, "train") == ([folder / SHARD.format(0)], 1)
    assert find_shards(folder / SHARD.format(0), "val") == ([folder / SHARD.format(0)], 0)
    with pytest.raises(RadliteError, match=r"choose a split of \['train', 'val'\]"):
        find_shards(folder, "test")
    with pytest.raises(RadliteError, match="no such folder"):
        find_shards(tmp_path / "nowhere", "train")
    with pytest.raises(RadliteError, match="0 records"):
        import_rlds(folder, tmp_path / "out", split="val")
    (folder / "other-train.tfrecord-00000-of-00002").write_bytes(b"")
    with pytest.raises(RadliteError, match="one dataset"):
        find_shards(folder, "train")


def test_ecots_reasoning_joins_what_was_imported(shards, tmp_path):
    folder = shards([steps(6, "put the can down", 7), steps(5, "lift the pot", 8)])
    import_rlds(folder, tmp_path / "out")
    texts = {"task": "Put it.", "plan": "Go.", "subtask_reason": "So.", "subtask": "S.", "move_reason": "M.", "move": "move down"}
    record = {"reasoning": {"0": texts}, "features": {}, "metadata": {"n_steps": 4, "language_instruction": "Put the can down"}}
    (tmp_path / "features.json").write_text(json.dumps({FILE: {"7": record}}))
    report = annotate_from_ecot(EpisodeDataset(tmp_path / "out"), tmp_path / "features.json", tmp_path / "ecot")
    assert (report.matched, report.agreed, report.same_length, report.unmatched_episodes) == (1, 1, 1, 1)
    joined = EpisodeDataset(tmp_path / "ecot")
    assert joined[0].reasoning[0].move == "move down" and joined[0].reasoning[1:] == [None] * 3


# ---------------------------------------------------------------------------------------------------------- the command
def test_the_command_imports_and_tells(shards, tmp_path, capsys):
    folder = shards([steps(6), steps(instruction=""), b"no message"])
    out = str(tmp_path / "out")
    options = "--keep-first-step --actions recorded --gripper continuous --episodes 5 --image-format webp".split()
    assert main(["data", "import-rlds", str(folder), out, *options, "--skip-bad"]) == 0
    told = capsys.readouterr().out
    for part in ("1 episodes with 6 frames, out of 3 records", "1 with no instruction", "refused: 1", "1 more shards"):
        assert part in told
    np.testing.assert_array_equal(EpisodeDataset(out)[0].actions, steps(6)["steps/action"])
    assert main(["data", "validate", out]) == 0
    assert main(["data", "import-rlds", str(folder), out, "--skip-bad"]) == 2 and "not empty" in capsys.readouterr().err
    assert main(["data", "import-rlds", str(folder), out, "--skip-bad", "--overwrite"]) == 0
    assert len(EpisodeDataset(out)[0]) == 4


def test_hostile_text_is_kept_and_never_shown(shards, tmp_path, capsys):
    folder = shards([steps(instruction=HOSTILE), steps(**{HOSTILE: [1], "steps/action": None})])
    (folder / SHARD.format(0)).rename(folder / f"{HOSTILE}{SHARD.format(0)}")
    assert main(["data", "import-rlds", str(folder), str(tmp_path / "out")]) == 2
    assert main(["data", "import-rlds", str(folder), str(tmp_path / "out"), "--skip-bad"]) == 0
    told = "".join(capsys.readouterr())
    assert "steps/action" in told and "\x1b" not in told and "\u202e" not in told and "\x07" not in told
    assert EpisodeDataset(tmp_path / "out")[0].instruction == HOSTILE
    assert "\x1b" not in (tmp_path / "out" / "README.md").read_text()


def test_an_older_lerobot_copy_names_its_converter(shards, tmp_path, capsys):
    import_rlds(shards([steps()]), tmp_path / "out")
    info = tmp_path / "out" / "meta" / "info.json"
    info.write_text(info.read_text().replace("v3.0", "v2.1"))
    assert main(["data", "info", str(tmp_path / "out")]) == 2
    assert "python -m lerobot.scripts.convert_dataset_v21_to_v30 --repo-id=" in capsys.readouterr().err
