"""Pictures of one mp4 file by their time, forward and back.

A video can only be decoded from a keyframe on. So the decoder stays where it is: a picture a little further on is reached by
going on, one among the last that were decoded is still held, and for any other the nearest keyframe before it is looked up.
ffmpeg is given a file of the local disk, as mp4 and as nothing else, and told to stop at damage instead of painting over it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

SLACK = 0.25  # of a frame: how far a picture may be from the time that was asked for
AHEAD = 32  # frames: as far ahead it is quicker to go on than to look for a keyframe
HELD_FRAMES, HELD_BYTES = 256, 1 << 25  # most of the decoded pictures that are held
_BACK = (0.0, 1.0, 30.0, math.inf)  # seconds: where decoding from the nearest keyframe does not do, it begins that much earlier
_EXACT = 1e-6  # seconds


class BadVideo(Exception):
    """Why a picture cannot be had from a file, for people."""


class Mp4:
    """An open file; to be used from one thread and one process at a time.

    Args:
        path: a file of the local disk.
        shape: (H, W, 3) that its pictures must have.
        fps: frames a second of whoever asks; the file's own rate may be a multiple of it.

    Raises:
        BadVideo: no such file, no mp4, no video in it, or one of another size.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], fps: float) -> None:
        self._size, self._slack, self._ahead = shape[:2], SLACK / fps, AHEAD / fps
        self._held: deque = deque(maxlen=max(2, min(HELD_FRAMES, HELD_BYTES // math.prod(shape))))
        self._packets: Iterator | None = None
        self._from, self._at, self._end = math.inf, -math.inf, math.inf  # where decoding began, newest picture, last one of all
        self._damage: dict[float, tuple[float, str]] = {}  # where decoding began -> how far it came, and why
        self._reformatter = VideoReformatter()
        if not path.is_file():
            raise BadVideo("no such file")
        most = {"max_pixels": str((shape[0] + 64) * (shape[1] + 64))}  # coded sizes are rounded up
        with _reasons():
            # absolute, so that no name can be taken for a protocol
            self._container = av.open(
                str(path.resolve()), format="mov", options={"protocol_whitelist": "file"}, metadata_errors="replace"
            )
        try:
            if not self._container.streams.video:
                raise BadVideo("no video in it")
            self._stream = self._container.streams.video[0]
            context = self._stream.codec_context
            if context is None:
                raise BadVideo("a video of an unknown kind")
            self._check((context.height, context.width))
            context.options = {"err_detect": "crccheck+bitstream+buffer+explode"} | most
            context.thread_type, context.thread_count = "NONE", 1  # threads would put pictures off, and processes share the cores
            self._tick = float(self._stream.time_base)
        except BaseException:
            self.close()
            raise

    def frame(self, when: float) -> np.ndarray:
        """The picture nearest to `when` seconds, uint8 (H, W, 3).

        Raises:
            BadVideo: none within a quarter of a frame, or what is there is damaged.
        """
        if when > self._end + self._slack:
            raise BadVideo(f"it ends with a picture at {self._end:.3f} s, and {when:.3f} s is asked for")
        if not (self._held and self._held[0][0] <= when + self._slack and when <= self._at + _EXACT):
            self._move(when)
        time, picture = min(self._held, key=lambda held: abs(held[0] - when))
        if abs(time - when) > self._slack:
            end = " and is the last" if self._at == self._end else ""
            raise BadVideo(f"no picture at {when:.3f} s: the nearest is at {time:.3f} s{end}")
        return self._reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()

    def close(self) -> None:
        """Lets go of the file."""
        self._held.clear()
        self._packets = None
        self._container.close()

    def _move(self, when: float) -> None:
        """Decodes until the newest picture is at or behind `when`, or the last."""
        if self._packets is not None and self._at < when <= self._at + self._ahead:
            with suppress(BadVideo):
                return self._decode(when)
        why = None
        for back in _BACK:
            try:
                self._seek(when, back)
                return self._decode(when)
            except BadVideo as error:  # perhaps no damage: after some keyframes pictures are made of others before it
                why = why or error
        raise why

    def _seek(self, when: float, back: float) -> None:
        """Goes to the last keyframe before `when` - `back`."""
        self._held.clear()
        self._at, self._packets = -math.inf, None
        with _reasons():
            self._container.seek(int(max(0.0, when - back + self._slack) / self._tick), stream=self._stream)
            packets = self._container.demux(self._stream)
            first = next((p for p in packets if p.pts is not None), None)
        if first is None:
            raise BadVideo("no picture in it")
        self._from = first.pts * self._tick
        if self._from > when + self._slack:
            raise BadVideo(f"it begins with a picture at {self._from:.3f} s, and {when:.3f} s is asked for")
        reached, why = self._damage.get(self._from, (math.inf, ""))
        if when > reached + self._slack:  # it was tried before: not again for every picture behind the damage
            raise BadVideo(why)
        self._packets = chain([first], packets)

    def _decode(self, when: float) -> None:
        try:
            with _reasons():
                for packet in self._packets:
                    self._take(packet)
                    if self._at >= when - _EXACT:
                        return
                if not self._held:
                    raise BadVideo("no picture in it")
        except BadVideo as error:
            self._packets, self._damage[self._from] = None, (self._at, str(error))
            raise
        self._packets, self._end = None, self._at

    def _take(self, packet: av.Packet) -> None:
        """Decodes a packet; what comes out may be none or several pictures, and of packets before it."""
        if packet.is_corrupt:
            raise BadVideo("it is cut off")
        if packet.pts is not None and packet.pts * self._tick < self._from:
            return  # shown before the keyframe, and made of pictures before it
        for picture in packet.decode():
            if picture.pts is None or picture.is_corrupt:
                raise BadVideo("a damaged picture")
            self._check((picture.height, picture.width))
            self._held.append((picture.pts * self._tick, picture))
            self._at = max(self._at, self._held[-1][0])

    def _check(self, size: tuple[int, int]) -> None:
        if size != self._size:
            raise BadVideo(f"pictures of {size[0]}x{size[1]}, and meta/info.json tells {self._size[0]}x{self._size[1]}")


@contextmanager
def _reasons() -> Iterator[None]:
    """What ffmpeg and its wrapper say of a file."""
    try:
        yield
    except BadVideo:
        raise
    except (av.FFmpegError, OSError, ValueError, TypeError, RuntimeError, MemoryError, OverflowError) as error:
        said = (getattr(error, "strerror", None) or f"{error}" or type(error).__name__).splitlines()[0][:200]
        raise BadVideo(f"it cannot be decoded: {said}") from error
