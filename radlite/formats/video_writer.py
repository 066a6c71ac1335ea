"""Write a camera of a LeRobotDataset v3 as mp4 files, several episodes one after the other in each.

H.264 with a keyframe at least every second frame, LeRobot's own choice, so that any picture is two decodes away; the first
picture of an episode always is one. Colours keep their full resolution (yuv444p): things in small frames are a few pixels wide,
and with colour at half resolution (yuv420p) our simulator's frames come back at 31 dB and not at 42. The price: some browsers do
not play it. One thread and no time in the file: the same frames give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from radlite.errors import RadliteError
from radlite.formats.lerobot_video import VIDEO_PATTERN, place_columns

VIDEO_MB = 200  # a file that has grown past this is closed and the next one begun
GOP, CRF, PIXELS = 2, 12, "yuv444p"  # frames from keyframe to keyframe; x264's quality, lower is better
RATES = (0.1, 1000)  # frames a second
_OPTIONS = {"crf": f"{CRF}", "g": f"{GOP}", "preset": "veryfast", "tune": "zerolatency"}


class VideoWriter:
    """Writes the videos of one camera: `add` every episode, then `close`; also after an error.

    Args:
        folder: the dataset's folder.
        key: name of the camera.
        shape: (H, W, 3) of its frames.
        fps: frames a second.
        chunk_files: files in one chunk folder.

    Raises:
        RadliteError: frames or a rate that an mp4 cannot hold. An `OSError` of the disk comes out as it is.
    """

    def __init__(self, folder: Path, key: str, shape: tuple[int, int, int], fps: float, chunk_files: int) -> None:
        self._folder, self._key, self._shape, self._fps, self._chunk_files = folder, key, shape, fps, chunk_files
        self._file = self._bytes = self._frames = 0  # number of the open file, and what it holds
        self._container: Any = None
        if not RATES[0] <= fps <= RATES[1]:  # ffmpeg would silently take another one
            raise RadliteError(f"{RATES[0]} to {RATES[1]} frames a second, for mp4", f"{fps:g}", "choose image_format='png'")

    def add(self, frames: np.ndarray) -> dict[str, Any]:
        """Appends an episode, uint8 (T, H, W, 3); returns its columns of meta/episodes."""
        if self._container is not None and self._bytes >= VIDEO_MB * 2**20:
            self.close()
            self._file += 1
        with self._errors():
            if self._container is None:
                self._begin()
            begin = self._frames
            for frame in frames:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                picture.pts, picture.time_base = self._frames, 1 / self._stream.average_rate
                if self._frames == begin:
                    picture.pict_type = PictureType.I
                self._mux(self._stream.encode(picture))
                self._frames += 1
        chunk, file = divmod(self._file, self._chunk_files)
        values = (chunk, file, begin / self._fps, self._frames / self._fps)
        return dict(zip(place_columns(self._key), values, strict=True))

    def feature(self) -> dict[str, Any]:
        """The camera's entry in the features of meta/info.json."""
        height, width, channels = self._shape
        about = {
            "video.height": height, "video.width": width, "video.codec": "h264", "video.pix_fmt": PIXELS,
            "video.is_depth_map": False, "video.fps": int(self._fps) if float(self._fps).is_integer() else self._fps,
            "video.channels": channels, "has_audio": False,
        }  # fmt: skip
        return {"dtype": "video", "shape": list(self._shape), "names": ["height", "width", "channels"], "info": about}

    def close(self) -> None:
        """Ends the open file."""
        container, self._container = self._container, None
        if container is None:
            return
        try:
            with self._errors():
                self._mux(self._stream.encode(), container)
        finally:
            with self._errors():
                container.close()
            self._bytes = self._frames = 0

    def abort(self) -> None:
        """Lets go of the open file, whatever becomes of it."""
        with suppress(OSError, RadliteError):
            self.close()

    def _begin(self) -> None:
        chunk, file = divmod(self._file, self._chunk_files)
        path = self._folder / VIDEO_PATTERN.format(video_key=self._key, chunk_index=chunk, file_index=file)
        path.parent.mkdir(parents=True, exist_ok=True)
        # the index at the front, for players that stream; no version of a library in the file
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._container = av.open(str(path.resolve()), "w", format="mp4", options=options)
        rate = Fraction(self._fps).limit_denominator(1_000_000)
        self._stream = self._container.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
        self._stream.height, self._stream.width = self._shape[:2]
        self._stream.pix_fmt = PIXELS
        self._stream.codec_context.thread_count = 1

    def _mux(self, packets: list, container: Any = None) -> None:
        for packet in packets:
            self._bytes += packet.size
            (container or self._container).mux(packet)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            raise
        except (av.FFmpegError, ValueError, OverflowError) as error:
            found = f"{self._shape} at {self._fps:g} a second ({error})"
            raise RadliteError("frames that H.264 can hold", found, "choose image_format='png', which takes any") from error
