"""One RLDS record of Bridge V2 into an `Episode`, changed as ECoT changes it before training, or not.

An RLDS episode is one `tf.train.Example` with each feature of all T steps in one list: `steps/observation/image_0` holds T
JPEGs, `steps/action` 7 T floats. ECoT's loader does three things with it, each of them an option here:

1. The first step goes: its action is all zeros.
2. The gripper's action becomes 0 or 1, see `binary_gripper`.
3. The other six entries of an action become the change of the state that the robot then reached; the command that was
   recorded is not quite followed. The last step has no next state and goes, too.

Units are radlite's already: metres, radians, gripper 1 open and 0 closed. `file_path` and `episode_id` go into `meta`:
`radlite.ecot_join` finds ECoT's reasoning by them. As in ECoT's loader, its step 0 then belongs to the first frame that is
left; `first_step` in `meta` is that frame's number in RLDS.

Sources: the transform `bridge_orig` in the loaders of OpenVLA and ECoT (arXiv 2406.09246, 2407.08693), BridgeData V2
(arXiv 2308.12952) and the features of its TFDS release.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from radlite.actions import ACTION_DIM, GRIPPER
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.picture import decode_image
from radlite.formats.tf_example import Example

ACTION, STATE, INSTRUCTION = "steps/action", "steps/observation/state", "steps/language_instruction"
FILE_PATH, EPISODE_ID = "episode_metadata/file_path", "episode_metadata/episode_id"
OPEN, CLOSED = 0.95, 0.05  # ECoT's bounds
MOST_STEPS = 10_000
MOST_BYTES = 1 << 30  # of an episode's pictures, decoded
MOST_TEXT = 4096  # bytes of an instruction or a path

ACTIONS, GRIPPERS = ("relabelled", "recorded"), ("binary", "continuous")
"""What the options of these names may be."""

_OTHER = "see whether this is another copy of the dataset"
_LOOK = "see what wrote it"


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
    actions: str = "relabelled"
    gripper: str = "binary"
    fps: float = 5.0

    def __post_init__(self) -> None:
        for name, choices in (("actions", ACTIONS), ("gripper", GRIPPERS)):
            if getattr(self, name) not in choices:
                raise RadliteError(f"{name} one of {choices}", repr(getattr(self, name)), "choose one of them")


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
        raise RadliteError(f"at most {MOST_STEPS:,} steps in {camera!r}", f"{length:,}", _LOOK)
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


def _vectors(example: Example, name: str, length: int) -> np.ndarray:
    values = example.floats(name)
    if len(values) != length * ACTION_DIM:
        expected = f"{length} times {ACTION_DIM} numbers in {name!r}, one row for each picture"
        raise RadliteError(expected, f"{len(values)}", _OTHER)
    values = values.reshape(length, ACTION_DIM)
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise RadliteError(f"finite numbers in {name!r}", f"{values[bad[0]].tolist()} at step {bad[0]}", _LOOK)
    return values


def _instruction(example: Example, length: int) -> str:
    """The instruction, the same for all steps; "" for an episode without."""
    told = example.blobs(INSTRUCTION)
    if len(told) != length:
        expected = f"{length} texts in {INSTRUCTION!r}, one for each picture"
        raise RadliteError(expected, f"{len(told)}", _OTHER)
    other = next((k for k, text in enumerate(told) if text != told[0]), None)
    if other is not None:
        found = f"{quoted(bytes(told[other]))} at step {other} after {quoted(bytes(told[0]))}"
        raise RadliteError(f"one instruction for all steps in {INSTRUCTION!r}", found, "divide the episode there")
    return _decoded(told[0], INSTRUCTION) if told else ""


def _text(example: Example, name: str) -> str:
    told = example.blobs(name)
    if len(told) != 1:
        raise RadliteError(f"one text in {name!r}", f"{len(told)}", _OTHER)
    return _decoded(told[0], name)


def _decoded(value: memoryview, name: str) -> str:
    if len(value) > MOST_TEXT:
        raise RadliteError(f"at most {MOST_TEXT:,} bytes of text in {name!r}", f"{len(value):,}", _LOOK)
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise RadliteError(f"text in UTF-8 in {name!r}", quoted(bytes(value)), _LOOK) from error


def _frames(pictures: list[memoryview], shape: tuple[int, int, int] | None, name: str, first: int) -> np.ndarray:
    """The pictures decoded, uint8 (T, H, W, 3); `first` is the number of the first one in RLDS, for errors."""
    shape = shape or _size(bytes(pictures[0]), f"step {first} of {name!r}")
    need = len(pictures) * shape[0] * shape[1] * shape[2]
    if need > MOST_BYTES:
        found = f"{len(pictures)} of {shape[0]}x{shape[1]} pixels, {need:,} bytes"
        raise RadliteError(f"pictures that take at most {MOST_BYTES:,} bytes in {name!r}", found, _LOOK)
    frames = np.empty((len(pictures), *shape), np.uint8)
    for k, data in enumerate(pictures):
        where = f"step {first + k} of {name!r}"
        try:
            frames[k] = decode_image(bytes(data), shape, where)
        except RadliteError:
            raise
        except Exception as error:  # a decoder fed with damaged bytes may raise anything
            raise _no_picture(data, where) from error
    return frames


def _size(data: bytes, where: str) -> tuple[int, int, int]:
    """Height and width that a picture tells before anything is unpacked."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            return image.height, image.width, 3
    except Exception as error:
        raise _no_picture(data, where) from error


def _no_picture(data: bytes | memoryview, where: str) -> RadliteError:
    found = f"{len(data):,} bytes that are none and begin with {quoted(bytes(data[:8]))}"
    return RadliteError(f"a PNG or JPEG picture for {where}", found, _LOOK)
