"""Bridge V2 as it is published for training, RLDS episodes in TFRecord shards, into a dataset of radlite.

An RLDS episode is one `tf.train.Example` with each feature of all T steps in one list: `steps/observation/image_0` holds T
JPEGs, `steps/action` 7 T floats. Before ECoT trains on an episode it changes three things, each of them an option here:

1. The first step goes: its action is all zeros.
2. The gripper's action becomes 0 or 1, see `binary_gripper`.
3. The other six entries of an action become the change of the state that the robot then reached; the command that was
   recorded is not quite followed. The last step has no next state and goes, too.

Units are radlite's already: metres, radians, gripper 1 open and 0 closed, at 5 frames a second. `file_path` and
`episode_id` go into the episode's `meta`: `radlite.ecot_join` finds ECoT's reasoning by them. As in ECoT's loader, its step
0 then belongs to the first frame that is left; `first_step` in `meta` is that frame's number in RLDS.

Sources: the loader's `bridge_orig` transform in OpenVLA and ECoT (arXiv 2406.09246, 2407.08693), BridgeData V2
(arXiv 2308.12952) and the `features.json` of its TFDS release.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from radlite.actions import ACTION_DIM, GRIPPER
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.formats.json_stream import quoted
from radlite.formats.lerobot import decode_image
from radlite.formats.tf_example import Example
from radlite.formats.tfrecord import read_records

ACTION, STATE, INSTRUCTION = "steps/action", "steps/observation/state", "steps/language_instruction"
FILE_PATH, EPISODE_ID = "episode_metadata/file_path", "episode_metadata/episode_id"
OPEN, CLOSED = 0.95, 0.05  # ECoT's bounds
MOST_STEPS = 10_000
MOST_BYTES = 1 << 30  # of an episode's pictures, decoded
MOST_TEXT = 4096  # bytes of an instruction or a path
EXAMPLES = 5  # of refused records that are told

_SHARD = re.compile(r"(?P<name>.+)-(?P<split>[^-]+)\.tfrecord(?:-(?P<number>\d{5})-of-(?P<count>\d{5}))?", re.DOTALL)
_SKIP = "leave it out with --skip-bad (strict=False), or download the file again"


@dataclass(frozen=True)
class RldsConfig:
    """How an episode is taken over; the defaults are ECoT's choices.

    Attributes:
        camera: which picture: image_0 (over the shoulder, the one ECoT uses) to image_3.
        drop_first_step: leave the first step out.
        actions: "relabelled" by the states that were reached, or "recorded".
        gripper: "binary", or "continuous" as recorded.
        fps: steps a second; RLDS does not tell it.
    """

    camera: str = "image_0"
    drop_first_step: bool = True
    actions: Literal["relabelled", "recorded"] = "relabelled"
    gripper: Literal["binary", "continuous"] = "binary"
    fps: float = 5.0


@dataclass
class ImportReport:
    """How an import went; `print` it.

    Attributes:
        dataset: what was written.
        records: how many were read.
        left_out: reason -> records that are whole and of no use: no instruction, no picture of this camera, too few steps.
        refused: how many were bad (`strict=False`).
        examples: why, for the first of them; hostile text is escaped.
        missing: shards that the names of the others promise.
    """

    dataset: DatasetInfo | None = None
    records: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    examples: list[str] = field(default_factory=list)
    missing: int = 0

    def __str__(self) -> str:
        info = self.dataset
        lines = [f"{info.num_episodes:,} episodes with {info.num_frames:,} frames, out of {self.records:,} records"]
        lines += [f"left out: {count:,} with {reason}" for reason, count in self.left_out.items()]
        lines += [f"refused: {self.refused:,}"] * bool(self.refused)
        lines += [f"  {text}" for text in self.examples]
        lines += [f"not here: {self.missing:,} more shards of this split"] * bool(self.missing)
        return "\n".join(lines)


def import_rlds(
    source: str | Path,
    out: str | Path,
    config: RldsConfig | None = None,
    *,
    split: str = "train",
    episodes: int | None = None,
    strict: bool = True,
    overwrite: bool = False,
    image_format: str = "png",
    license: str = "cc-by-4.0",
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Writes the episodes of a folder of shards as a dataset, one in memory at a time, whole or not at all.

    Args:
        source: the folder that holds `NAME-SPLIT.tfrecord-00000-of-01024` and so on, or one such file. Some of the shards
            will do.
        out: the folder to make.
        split: "train" or "val".
        episodes: write that many, the first ones; TFDS has shuffled them.
        strict: stop at the first record that is not as it should be, rather than leave it out and count it. Where the
            length of a record is wrong, everything behind it is lost, and that is an error in any case.
        overwrite, image_format, license: as for `write_dataset`; the licence is Bridge V2's by default.
        progress: is told the number of episodes after each one.

    Raises:
        RadliteError: there are no such shards, a record is bad, no episode is left, or the disk refuses; names file, record
            and feature, and nothing was changed at `out`.
    """
    config = config or RldsConfig()
    shards, missing = find_shards(Path(source), split)
    report = ImportReport(missing=missing)

    def wanted() -> Iterator[Episode]:
        count = 0
        for episode in read_episodes(shards, config, report, strict):
            yield episode
            count += 1
            if progress is not None:
                progress(count)
            if count == episodes:
                return
        if not count:
            told = [f"{number} with {reason}" for reason, number in report.left_out.items()] + report.examples
            found = f"{report.records} records, none of use: {'; '.join(told)}"
            raise RadliteError(f"episodes in {source}", found, "choose another camera or split, or see what wrote them")

    name = re.sub(r"[^\w.-]", "_", shards[0].name.partition(".tfrecord")[0])
    origin = (
        f"`{name}` in RLDS, imported by `radlite data import-rlds`: camera {re.sub(r'[^a-z0-9_]', '_', config.camera)}, first "
        f"step {'dropped' if config.drop_first_step else 'kept'}, actions {config.actions}, gripper {config.gripper}."
    )
    report.dataset = write_dataset(
        out, wanted(), image_format=image_format, overwrite=overwrite, origin=origin, license=license
    )
    return report


def find_shards(source: Path, split: str) -> tuple[list[Path], int]:
    """The shards of a split in the order of their names, and how many more these names promise.

    Raises:
        RadliteError: there is none, or they are of several datasets.
    """
    if source.is_file():
        return [source], 0
    found = [(path, m) for path in sorted(source.rglob("*.tfrecord*")) if (m := _SHARD.fullmatch(path.name))]
    mine = [(path, m) for path, m in found if m["split"] == split and path.is_file()]
    if not mine:
        splits = sorted({m["split"] for _, m in found})
        fix = f"choose a split of {quoted(splits)}" if splits else "name the folder that holds dataset_info.json"
        raise RadliteError(f"files NAME-{split}.tfrecord-00000-of-00001 in {source}", "none", fix)
    kinds = {(path.parent, m["name"], m["count"]) for path, m in mine}
    if len(kinds) > 1:
        some = " and ".join(sorted(quoted(f"{folder / name} (of {count})") for folder, name, count in kinds)[:2])
        raise RadliteError(f"shards of one dataset in {source}", some, "name the folder of one of them")
    return [path for path, _ in mine], int(mine[0][1]["count"] or 1) - len(mine)


def read_episodes(
    shards: Iterable[Path], config: RldsConfig | None = None, report: ImportReport | None = None, strict: bool = True
) -> Iterator[Episode]:
    """The episodes of some shards; what is left out is counted in `report`. Arguments and errors as for `import_rlds`."""
    config, report, shape = config or RldsConfig(), report or ImportReport(), None
    for path in shards:
        for number, data in read_records(path):
            report.records += 1
            try:
                if isinstance(data, RadliteError):
                    raise data
                episode = _located(data, config, shape, f"record {number} of {path}")
            except RadliteError as error:
                if strict:
                    raise
                report.refused += 1
                if len(report.examples) < EXAMPLES:
                    report.examples.append(f"expected {error.expected}; found {error.found}")
                continue
            if isinstance(episode, str):
                report.left_out[episode] = report.left_out.get(episode, 0) + 1
                continue
            shape = episode.frames.shape[1:]
            yield episode


def read_episode(data: bytes, config: RldsConfig | None = None, shape: tuple[int, int, int] | None = None) -> Episode | str:
    """The episode in one record, or in words why it is of no use.

    Args:
        data: a `tf.train.Example`.
        config: how it is taken over.
        shape: (H, W, 3) that its pictures have to have; None takes any one size.

    Raises:
        RadliteError: a feature is missing, or not as it should be; names it.
    """
    config, example = config or RldsConfig(), Example(data)
    camera, flag = f"steps/observation/{config.camera}", f"episode_metadata/has_{config.camera}"
    if flag in example and not example.integer(flag):
        return f"no picture of {config.camera}"
    pictures = example.blobs(camera)
    length = len(pictures)
    if length > MOST_STEPS:
        raise RadliteError(f"at most {MOST_STEPS:,} steps in {camera!r}", f"{length:,}", "look at what wrote the file")
    kept = slice(int(config.drop_first_step), length)
    actions, states = (_vectors(example, name, length)[kept] for name in (ACTION, STATE))
    if config.gripper == "binary" and len(actions):
        actions[:, GRIPPER] = binary_gripper(actions[:, GRIPPER])
    if config.actions == "relabelled":
        actions, states = relabelled(actions, states), states[:-1]
    instruction = _instruction(example, length)
    meta = {"file_path": _text(example, FILE_PATH), "episode_id": example.integer(EPISODE_ID), "first_step": kept.start}
    if not len(actions):
        return "too few steps"
    if not instruction.strip():
        return "no instruction"
    frames = _frames(pictures[kept][: len(actions)], shape, camera, kept.start)
    episode = Episode(instruction, frames, [None] * len(frames), "robot", actions, states, config.fps, meta)
    episode.validate()
    return episode


def binary_gripper(values: np.ndarray) -> np.ndarray:
    """The gripper's actions (T,), T > 0, as 1 (above 0.95) or 0 (below 0.05).

    What lies between, while it opens or closes, becomes what is reached next. Where nothing more is reached it becomes the
    last value as it is, which is not 0 or 1: so does ECoT.
    """
    result, ahead = np.empty_like(values), values[-1]
    for k in range(len(values) - 1, -1, -1):
        if not CLOSED <= values[k] <= OPEN:
            ahead = float(values[k] > OPEN)
        result[k] = ahead
    return result


def relabelled(actions: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Actions (T-1, 7) by the states (T, 7) that were reached; the gripper's stay. Angles are subtracted as they are."""
    return np.concatenate([np.diff(states[:, :GRIPPER], axis=0), actions[:-1, GRIPPER:]], axis=1)


def _located(data: bytes, config: RldsConfig, shape: tuple[int, int, int] | None, where: str) -> Episode | str:
    try:
        return read_episode(data, config, shape)
    except RadliteError as error:
        fix = error.fix if error.fix.startswith("is this") else f"{error.fix}; {_SKIP}"
        raise RadliteError(error.expected, f"{error.found} in {where}", fix) from error


def _vectors(example: Example, name: str, length: int) -> np.ndarray:
    values = example.floats(name)
    if len(values) != length * ACTION_DIM:
        expected = f"{length} times {ACTION_DIM} numbers in {name!r}, one row for each picture"
        raise RadliteError(expected, f"{len(values)}", "is this another copy of the dataset?")
    values = values.reshape(length, ACTION_DIM)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise RadliteError(f"finite numbers in {name!r}", f"{values[bad[0]].tolist()} at step {bad[0]}", "see what wrote it")
    return values


def _instruction(example: Example, length: int) -> str:
    """The instruction, the same for all steps; "" for an episode without."""
    told = example.blobs(INSTRUCTION)
    if len(told) != length:
        expected = f"{length} texts in {INSTRUCTION!r}, one for each picture"
        raise RadliteError(expected, f"{len(told)}", "is this another copy of the dataset?")
    other = next((k for k, text in enumerate(told) if text != told[0]), None)
    if other is not None:
        found = f"{quoted(bytes(told[other]))} at step {other} after {quoted(bytes(told[0]))}"
        raise RadliteError(f"one instruction for all steps in {INSTRUCTION!r}", found, "divide the episode there")
    return _decoded(told[0], INSTRUCTION) if told else ""


def _text(example: Example, name: str) -> str:
    told = example.blobs(name)
    if len(told) != 1:
        raise RadliteError(f"one text in {name!r}", f"{len(told)}", "is this another copy of the dataset?")
    return _decoded(told[0], name)


def _decoded(value: memoryview, name: str) -> str:
    if len(value) > MOST_TEXT:
        raise RadliteError(f"at most {MOST_TEXT:,} bytes of text in {name!r}", f"{len(value):,}", "see what wrote it")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise RadliteError(f"text in UTF-8 in {name!r}", quoted(bytes(value)), "see what wrote it") from error


def _frames(pictures: list[memoryview], shape: tuple[int, int, int] | None, name: str, first: int) -> np.ndarray:
    """The pictures decoded, uint8 (T, H, W, 3); `first` is the number of the first one in RLDS, for errors."""
    shape = shape or _size(bytes(pictures[0]), f"step {first} of {name!r}")
    need = len(pictures) * shape[0] * shape[1] * shape[2]
    if need > MOST_BYTES:
        found = f"{len(pictures)} of {shape[0]}x{shape[1]} pixels, {need:,} bytes"
        raise RadliteError(f"pictures that take at most {MOST_BYTES:,} bytes in {name!r}", found, "see what wrote them")
    frames = np.empty((len(pictures), *shape), np.uint8)
    for k, data in enumerate(pictures):
        where = f"step {first + k} of {name!r}"
        try:
            frames[k] = decode_image(bytes(data), shape, where)
        except RadliteError:
            raise
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            raise _no_picture(where, error) from error
    return frames


def _size(data: bytes, where: str) -> tuple[int, int, int]:
    """Height and width that a picture tells before anything is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            return image.height, image.width, 3
    except Exception as error:
        raise _no_picture(where, error) from error


def _no_picture(where: str, error: Exception) -> RadliteError:
    return RadliteError(f"a PNG or JPEG picture for {where}", f"{type(error).__name__}: {error}", "see what wrote it")
