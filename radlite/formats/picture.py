"""One picture as the bytes that stand in a parquet file, and back."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from radlite.errors import RadliteError

_BROKEN_IMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
MOST_PIXELS = 1 << 26  # of a frame that anybody is to decode: 8192 x 8192
_AGAIN = "write or download the dataset again"


def encode_image(frame: np.ndarray, image_format: str) -> bytes:
    """One picture, uint8 (H, W, 3), as lossless PNG or WebP bytes."""
    buffer = io.BytesIO()
    # compress_level 4: within a few percent of the default's size at about half its time
    options = {"lossless": True} if image_format == "webp" else {"compress_level": 4}
    Image.fromarray(frame).save(buffer, format=image_format, **options)
    return buffer.getvalue()


def decode_image(data: bytes | None, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """The picture in `data` as uint8 (H, W, 3) RGB; `shape` is what info.json says, `where` is for errors."""
    if not isinstance(data, bytes):
        raise RadliteError(
            f"a picture inside the parquet file for {where}", repr(data), "embed the images when writing"
        )
    try:
        # only these decoders: the bytes are untrusted, and the size is known before anything is unpacked
        image = Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG"))
        if (image.height, image.width) != shape[:2]:
            found = f"{image.height}x{image.width}"
            raise RadliteError(
                f"a picture of {shape[0]}x{shape[1]} for {where}", found, "make all frames one size"
            )
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))
    except _BROKEN_IMAGE as error:
        raise RadliteError(f"a PNG, WebP or JPEG picture for {where}", f"{error}", _AGAIN) from error
