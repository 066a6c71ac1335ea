"""Video files in and out, with nothing but pip wheels: the ffmpeg binary is the one inside `imageio-ffmpeg`.

What is written is H.264 in yuv420p with the index at the front of the file, which every browser plays. What
is read is decoded to plain `uint8` arrays. Files are checked before ffmpeg sees them, and ffmpeg may open
only video containers from the local disk, never a playlist that points elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from radlite.errors import RadliteError
from radlite.formats.picture import MOST_PIXELS

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
# A text file is "video" to ffmpeg (its tty reader), and a playlist makes it open other files: so containers
# by name.
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,ogg,flv,asf,h264,hevc,ivf"
_READ_ERRORS = (OSError, RuntimeError, IndexError, AttributeError, ValueError, AssertionError)


def as_frame(frame: object) -> np.ndarray:
    """`frame` as uint8 (H, W, 3), or a RadliteError. Grey (H, W) and RGBA (H, W, 4) are not guessed at."""
    array = np.asarray(frame)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise RadliteError(
            "a frame of uint8 (height, width, 3)",
            f"{array.dtype} {array.shape}",
            "convert it first, e.g. np.asarray(Image.open(path).convert('RGB'))",
        )
    return array


def write_mp4(path: str | os.PathLike, frames: Iterable[np.ndarray], fps: float = 5.0) -> Path:
    """Write frames as an H.264 yuv420p mp4 (silent).

    Args:
        path: target file; replaced only once the new one is complete.
        frames: uint8 (H, W, 3) arrays of one size (an array (T, H, W, 3), a list or a generator). Odd sizes
            are padded by one row or column, which H.264 needs.
        fps: frames per second, > 0.

    Returns:
        The path.

    Raises:
        RadliteError: no frames, frames of different size or type, bad fps, a folder that cannot be written.
    """
    target = Path(path)
    if not np.isfinite(fps) or fps <= 0:
        raise RadliteError("frames per second above 0", repr(fps), "pass fps=5.0, for instance")
    stream = iter(frames)
    first = next(stream, None)
    if first is None:
        raise RadliteError("at least one frame", "none", "check that the rollout or video is not empty")
    part = _part_file(target)
    try:
        _encode(part, chain([first], stream), as_frame(first).shape, fps)
        os.replace(part, target)
    except OSError as error:
        raise RadliteError(
            "a complete video file", f"{target}: {error}", "check space and rights there"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _part_file(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".part.mp4", dir=target.parent)
        os.close(handle)
        os.chmod(name, 0o644)  # mkstemp gives 0600, which a web server could not read
    except OSError as error:
        raise RadliteError(
            "a folder that can be written", f"{target.parent}: {error}", "choose another folder"
        ) from error
    return Path(name)


def _encode(part: Path, frames: Iterable[np.ndarray], shape: tuple[int, ...], fps: float) -> None:
    pad = ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0))
    size = (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2)
    writer = imageio_ffmpeg.write_frames(
        str(part),
        size,
        fps=float(fps),
        codec="libx264",
        pix_fmt_in="rgb24",
        pix_fmt_out="yuv420p",
        quality=None,
        macro_block_size=1,
        ffmpeg_log_level="error",
        output_params=["-crf", "20", "-preset", "veryfast", "-movflags", "+faststart", "-threads", "2"],
    )
    writer.send(None)
    try:
        for frame in frames:
            if as_frame(frame).shape != shape:
                raise RadliteError(
                    f"frames of one shape {shape}", f"one of {np.shape(frame)}", "resize them first"
                )
            writer.send(np.ascontiguousarray(np.pad(frame, pad, mode="edge")))
    finally:
        writer.close()


def read_video(path: str | os.PathLike, max_frames: int | None = None) -> tuple[np.ndarray, float]:
    """Decode a video file.

    Args:
        path: an mp4, mov, mkv, webm, avi, gif, ... on the local disk.
        max_frames: stop after this many frames (None: all of them, in memory, H * W * 3 bytes each).

    Returns:
        (frames uint8 (T, H, W, 3) with rotation applied, frames per second as the file states it; 5.0 when it
        does not).

    Raises:
        RadliteError: no such file, not a video, no frame in it, or a nonsensical max_frames.
    """
    source = _existing_file(path)
    if max_frames is not None and max_frames < 1:
        raise RadliteError(
            "max_frames of at least 1, or None", repr(max_frames), "leave it out to read all frames"
        )
    try:
        frames, fps = _decode(_reader(source), max_frames)
    except _READ_ERRORS as error:
        raise _no_video(source, error) from error
    if not frames:
        raise RadliteError("a video with frames", f"none in {source}", "check that the recording is complete")
    return np.stack(frames), fps


def video_rate(path: str | os.PathLike) -> float:
    """Pictures a second of a video, as the file states it, in the mean where they are uneven; 5.0 where it does not.

    Raises:
        RadliteError: no such file, or not a video.
    """
    source = _existing_file(path)
    try:
        reader = _reader(source)
        with closing(reader):
            return float(next(reader).get("fps") or 5.0)
    except _READ_ERRORS as error:
        raise _no_video(source, error) from error


def video_frames(path: str | os.PathLike, fps: float, side: int, pad: bool = False) -> Iterator[np.ndarray]:
    """A video as small squares at even times; the memory it takes does not depend on the file.

    Frame k is what a player shows k / fps seconds after the first picture, also where the file's own rate changes. Rotation
    and pixels that are not square are put right first.

    Args:
        path: as of `read_video`.
        fps: frames a second to give, > 0.
        side: height and width of the frames, pixels.
        pad: keep the whole picture, with black bars; otherwise the middle is kept, as large a square as there is.

    Yields:
        uint8 (side, side, 3).

    Raises:
        RadliteError: no such file, not a video, no frame in it, pictures of more than 2^26 pixels, or a file that is damaged or
            ends too early; that may show only after some frames.
    """
    square = f"crop=w='min(iw,ih/sar)':h='min(ih,iw*sar)',scale={side}:{side}"
    if pad:
        fit = f"{side}*min(1,{{}})"
        width, height = (f"max(1,round({fit.format(ratio)}))" for ratio in ("iw*sar/ih", "ih/(iw*sar)"))
        square = f"scale=w='{width}':h='{height}',format=rgb24,pad={side}:{side}:-1:-1"
    return _at_even_times(path, fps, square)


def video_pictures(path: str | os.PathLike, fps: float, longest: int) -> Iterator[np.ndarray]:
    """The whole pictures of a video at even times, made smaller where one side is longer than `longest` pixels.

    Moments, rotation and errors are those of `video_frames`.

    Yields:
        uint8 (H, W, 3), all of one shape.
    """
    ratio = f"min(1,{longest}/max(iw*sar,ih))"
    return _at_even_times(path, fps, f"scale=w='max(1,round(iw*sar*{ratio}))':h='max(1,round(ih*{ratio}))'")


def _at_even_times(path: str | os.PathLike, fps: float, scaling: str) -> Iterator[np.ndarray]:
    """Pictures as ffmpeg's filters make them; each comes as a PPM, which says its own size."""
    source, count = _existing_file(path), 0
    with tempfile.TemporaryFile() as log:  # a pipe that nobody empties would stop ffmpeg
        command = _sampling(source, fps, scaling)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log) as process:
            try:
                while (picture := _next_ppm(process.stdout)) is not None:
                    yield picture
                    count += 1
                status = process.wait()
            finally:
                process.kill()
        log.seek(-min(log.tell(), 1 << 16), os.SEEK_END)
        said = log.read().decode("utf-8", "replace").strip()
    if status or not count or "ended prematurely" in said:
        reason = re.sub(r"^(\[[^]]*\] )+", "", (said.splitlines() or ["no frame"])[0])[:200]
        expected, found = "a whole video file", f"{source}, of which {count} frames could be read ({reason})"
        raise RadliteError(expected, found, "copy the clip again, or save it as mp4")


def _next_ppm(stream: BinaryIO) -> np.ndarray | None:
    """The next picture of a stream of binary PPMs, uint8 (H, W, 3); None at its end, or where it is cut off."""
    lines = [stream.readline() for _ in range(3)]  # P6, width and height, 255
    if not lines[2]:
        return None
    width, height = map(int, lines[1].split())
    data = stream.read(width * height * 3)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3) if len(data) == width * height * 3 else None


def _sampling(source: Path, fps: float, scaling: str) -> list[str]:
    """The call of ffmpeg for pictures at even times."""
    # round=up: a picture is shown from the first even time at or after its own, so the first one is always there
    rate = Fraction(fps).limit_denominator(1_000_000)
    return [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-xerror", "-nostdin",
        "-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS, "-max_pixels", f"{MOST_PIXELS}",
        "-i", f"{source.resolve()}", "-map", "0:V:0",  # V: a video, not a cover
        "-vf", f"fps={rate.numerator}/{rate.denominator}:round=up,{scaling},setsar=1", "-fps_mode", "passthrough",
        "-f", "image2pipe", "-c:v", "ppm", "-",
    ]  # fmt: skip


def _reader(source: Path) -> Generator:
    """What describes a file first, then its pictures as bytes; only of video containers, and only from the local disk."""
    options = ["-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS]
    return imageio_ffmpeg.read_frames(f"{source.resolve()}", pix_fmt="rgb24", input_params=options)


def _no_video(source: Path, error: Exception) -> RadliteError:
    reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
    return RadliteError("a video file", f"{source} ({reason[0][:200]})", "give an mp4, mov, mkv, webm, avi or gif")


def _decode(reader, max_frames: int | None) -> tuple[list[np.ndarray], float]:
    meta = next(reader)
    width, height = meta["size"]
    frames: list[np.ndarray] = []
    try:
        while max_frames is None or len(frames) < max_frames:
            data = next(reader, None)
            if data is None:
                break
            frames.append(np.frombuffer(data, np.uint8).reshape(height, width, 3))
    finally:
        reader.close()
    return frames, float(meta.get("fps") or 5.0)


def read_images(source: str | os.PathLike | Sequence[str | os.PathLike]) -> list[np.ndarray]:
    """Read pictures from a file, a list of files, or a folder (its image files sorted by name).

    Returns:
        A list of uint8 (H, W, 3); sizes may differ. Camera rotation (EXIF) is applied, transparency is
        dropped.

    Raises:
        RadliteError: nothing there, or a file that is no picture.
    """
    if isinstance(source, (str, os.PathLike)):
        folder = Path(source)
        paths = (
            sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if folder.is_dir()
            else [folder]
        )
    else:
        paths = [Path(p) for p in source]
    if not paths:
        raise RadliteError(
            "at least one picture", f"none in {source}", f"give files ending in {', '.join(IMAGE_SUFFIXES)}"
        )
    return [_read_image(path) for path in paths]


def _read_image(path: Path) -> np.ndarray:
    try:
        with Image.open(_existing_file(path)) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as error:
        raise RadliteError("a picture", f"{path} ({error})", "give a complete PNG or JPEG file") from error


def _existing_file(path: str | os.PathLike) -> Path:
    source = Path(path)
    if not source.is_file():
        found = "a folder" if source.is_dir() else "no such file"
        raise RadliteError("a file", f"{found}: {source}", "check the path")
    return source
