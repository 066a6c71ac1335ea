"""Read TFRecord files without TensorFlow, one record in memory at a time, whoever wrote them.

    uint64 length | uint32 checksum of the length | so many bytes | uint32 checksum of the bytes      little-endian

The checksums are CRC-32C, turned by 15 bits and shifted by a constant. Nothing in a file decides how much memory it takes:
a length is believed only if its checksum is right, the file holds that much, and it is at most `MOST_RECORD`.

Sources: TensorFlow's guide `tfrecord` for the layout, RFC 3720 appendix B.4 for CRC-32C.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from radlite.errors import RadliteError

MOST_RECORD = 1 << 28
"""Bytes of the largest record that is read; an episode of Bridge V2 with all cameras takes a few MB."""

_AGAIN = "download that file again"
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, lowest bit first
_LANE = 512  # bytes one lane goes through
_LANES = 2048  # lanes that go side by side
_FEW = 256  # bytes below which plain Python is quicker
_BITS = np.arange(32, dtype=np.uint32)


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C of `data`: about 100 MB a second on one core, by numpy alone.

    A checksum is linear: that of a whole is the XOR of its parts', each pushed on by the zeros that would follow it. So a
    block is cut into lanes, all lanes take a byte in each step, and neighbours are joined until one is left.
    """
    register = 0xFFFFFFFF
    if len(data) < _FEW:
        return _plain(register, data) ^ 0xFFFFFFFF
    values, block = np.frombuffer(data, np.uint8), _LANE * _LANES
    for start in range(0, len(values), block):
        part = values[start : start + block]
        register = _plain(register, part.tobytes()) if len(part) < _FEW else _lanes(register, part)
    return register ^ 0xFFFFFFFF


def masked_crc32c(data: bytes | memoryview) -> int:
    """The checksum as TFRecord stores it."""
    value = crc32c(data)
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: str | Path) -> Iterator[tuple[int, bytes | RadliteError]]:
    """Number, from 0, and bytes of every record; in place of bytes with a wrong checksum an error that says so.

    Raises:
        RadliteError: the file cannot be read, ends within a record, or a length is wrong, so that no later record can be
            found either. Names the file and the record.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise RadliteError(f"a TFRecord file at {path}", "no such file", "check the path")
        with path.open("rb") as file:
            left, number = os.fstat(file.fileno()).st_size, 0
            while left > 0:
                head = file.read(12)
                length = _length(head, left, f"record {number} of {path}")
                data, tail = file.read(length), file.read(4)
                if len(data) < length or len(tail) < 4:
                    raise _ends(f"record {number} of {path}", length, len(data) + len(tail))
                right = struct.unpack("<I", tail)[0] == masked_crc32c(data)
                yield number, data if right else RadliteError(
                    f"bytes that fit their checksum in record {number} of {path}", "others", _AGAIN
                )
                left, number = left - 16 - length, number + 1
    except OSError as error:
        raise RadliteError(f"a readable file at {path}", str(error), "check the path and its permissions") from error


def _length(head: bytes, left: int, where: str) -> int:
    """The length in the first 12 bytes of a record, of which the file holds `left` bytes."""
    if len(head) < 12:
        raise _ends(where, 12, len(head))
    length, told = struct.unpack("<QI", head)
    if masked_crc32c(head[:8]) != told:
        fix = "unpack it with gunzip" if head.startswith(b"\x1f\x8b") else f"{_AGAIN}; or it is no TFRecord file"
        raise RadliteError(f"a length that fits its checksum at the beginning of {where}", head[:8].hex(" "), fix)
    if length > MOST_RECORD:
        found = f"{length:,} bytes"
        raise RadliteError(f"at most {MOST_RECORD:,} bytes in {where}", found, "look at what wrote the file")
    if length > left - 16:
        raise _ends(where, length, left - 16)
    return length


def _ends(where: str, expected: int, found: int) -> RadliteError:
    return RadliteError(f"{expected:,} bytes in {where}", f"the end of the file after {max(found, 0):,}", _AGAIN)


@lru_cache(1)
def _table() -> np.ndarray:
    """What a register becomes by each byte, uint32 (256,)."""
    values = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        values = np.where(values & 1, values >> 1 ^ _POLYNOMIAL, values >> 1).astype(np.uint32)
    return values


@lru_cache(1)
def _plain_table() -> list[int]:
    return _table().tolist()


def _plain(register: int, data: bytes | memoryview) -> int:
    table = _plain_table()
    for byte in bytes(data):
        register = table[(register ^ byte) & 255] ^ register >> 8
    return register


def _lanes(register: int, part: np.ndarray) -> int:
    """The register after `part`, uint8 (N,) with 4 <= N <= _LANE * _LANES."""
    count = 1
    while count * _LANE < len(part):
        count *= 2
    padded = np.zeros(count * _LANE, np.uint8)  # zeros in front leave an empty register as it is
    padded[-len(part) :] = part
    at = len(padded) - len(part)
    padded[at : at + 4] ^= np.frombuffer(struct.pack("<I", register), np.uint8)  # the same as to begin with `register`
    table, lanes = _table(), np.zeros(count, np.uint32)
    for column in np.ascontiguousarray(padded.reshape(count, _LANE).T):  # (count,), one byte of each lane
        lanes = table[(lanes ^ column) & 255] ^ lanes >> 8
    power = _LANE.bit_length() - 1
    while len(lanes) > 1:
        lanes = _times(_zeros(power), lanes[0::2]) ^ lanes[1::2]
        power += 1
    return int(lanes[0])


@lru_cache(None)
def _zeros(power: int) -> np.ndarray:
    """What 2**power bytes of zero make of each bit of a register, uint32 (32,)."""
    if power == 0:
        bits = np.uint32(1) << _BITS
        return _table()[bits & 255] ^ bits >> 8
    half = _zeros(power - 1)
    return _times(half, half)


def _times(matrix: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """Each of the registers (N,) through a matrix of bits (32,), in which entry k is what bit k becomes."""
    return np.bitwise_xor.reduce(np.where(registers[:, None] >> _BITS & 1, matrix, np.uint32(0)), 1)
