"""Read a `tf.train.Example` without protobuf: features by name, each a list of bytes, of floats or of whole numbers.

    Example { Features features = 1 }    Features { map<string, Feature> feature = 1 }
    Feature { oneof { BytesList = 1, FloatList = 2, Int64List = 3 } }    each list { repeated value = 1 }

Opening finds the names; a list is looked at when it is asked for, so features that nobody wants cost nothing. The parser
goes through its bytes once, four levels deep and no deeper; slices are views, so a message can claim no memory. Fields
that it does not know are passed over, as protobuf does.

Sources: TensorFlow's `example.proto` and `feature.proto`; protobuf's guide `encoding`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from radlite.errors import RadliteError
from radlite.escape import quoted

MOST_VALUES = 100_000  # of a list, where they do not come packed
MOST_FEATURES = 10_000
_FEW = 10  # fields of a message that should have one or two

_KINDS = {1: "bytes", 2: "floats", 3: "whole numbers"}
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5  # wire types
_AGAIN = "download or write that file again"
_OTHER = "see whether this is another copy of the dataset: docs/bridge.md"


class Example:
    """The features of one example.

    Args:
        data: the message.

    Raises:
        RadliteError: it is no such message, or a name comes twice.
    """

    def __init__(self, data: bytes) -> None:
        self._features: dict[str, memoryview] = {}
        for features in _messages(memoryview(data), _FEW):
            for entry in _messages(features, MOST_FEATURES):
                name, feature = _entry(entry)
                if name in self._features:
                    raise RadliteError("every feature once", f"{quoted(name)} twice", _AGAIN)
                self._features[name] = feature

    def __contains__(self, name: str) -> bool:
        return name in self._features

    @property
    def names(self) -> tuple[str, ...]:
        """Of all features, in the order of the message."""
        return tuple(self._features)

    def blobs(self, name: str) -> list[memoryview]:
        """The values of a list of bytes, which are views of the message."""
        return [value for kind, value in self._values(name, 1) if _told(kind == _BYTES, name, 1)]

    def floats(self, name: str) -> np.ndarray:
        """The values of a list of floats, float32 (N,); NaN and infinity come through."""
        parts = [np.empty(0, "<f4")]
        for kind, value in self._values(name, 2):
            _told(kind in (_BYTES, _FOUR) and len(value) % 4 == 0, name, 2)
            parts.append(np.frombuffer(value, "<f4"))
        return np.concatenate(parts).astype(np.float32)

    def integer(self, name: str) -> int:
        """The one value of a list of whole numbers."""
        found: list[int] = []
        for kind, value in self._values(name, 3):
            if kind == _BYTES:
                at = 0
                while at < len(value) and len(found) < 2:
                    number, at = _varint(value, at)
                    found.append(number)
            else:
                _told(kind == _VARINT, name, 3)
                found.append(value)
        if len(found) != 1:
            raise RadliteError(f"one number in {name!r}", "more" if found else "none", _AGAIN)
        return found[0] - (found[0] >> 63 << 64)  # negative numbers come as 64 bits in two's complement

    def _values(self, name: str, wanted: int) -> list[tuple[int, int | memoryview]]:
        """(wire type, value) of the list under `name`, which is of the wanted kind."""
        if name not in self._features:
            known = ", ".join(sorted(self._features)[:40])
            raise RadliteError(f"a feature {name!r}", f"{len(self._features)} others: {quoted(known, 400)}", _OTHER)
        lists = [(k, value) for k, wire, value in _fields(self._features[name], _FEW) if wire == _BYTES and k in _KINDS]
        if len(lists) != 1 or lists[0][0] != wanted:
            found = " and ".join(_KINDS[k] for k, _ in lists[:3]) or "nothing"
            raise RadliteError(f"a list of {_KINDS[wanted]} in {name!r}", found, _OTHER)
        return [(wire, value) for k, wire, value in _fields(lists[0][1], MOST_VALUES) if k == 1]


def _told(right: bool, name: str, kind: int) -> bool:
    if not right:
        raise RadliteError(f"a list of {_KINDS[kind]} in {name!r}", "values of another kind", _AGAIN)
    return True


def _entry(entry: memoryview) -> tuple[str, memoryview]:
    """Name and feature of a map's entry; what is absent is empty."""
    found = {1: memoryview(b""), 2: memoryview(b"")}
    found |= {k: value for k, wire, value in _fields(entry, _FEW) if wire == _BYTES and k in found}
    try:
        return str(found[1], "utf-8"), found[2]
    except UnicodeDecodeError as error:
        raise RadliteError("names of features in UTF-8", str(error), _AGAIN) from error


def _messages(data: memoryview, most: int) -> Iterator[memoryview]:
    """The messages in field 1."""
    return (value for k, wire, value in _fields(data, most) if k == 1 and wire == _BYTES)


def _fields(data: memoryview, most: int) -> Iterator[tuple[int, int, int | memoryview]]:
    """Number, wire type and value of every field of a message: a number for a varint, else a view."""
    at = count = 0
    while at < len(data):
        count += 1
        if count > most:
            raise RadliteError(f"at most {most:,} fields in a message", "more", "look at what wrote the file")
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        else:
            size = {_EIGHT: 8, _FOUR: 4}.get(wire, -1)
        if size < 0 or key >> 3 == 0:
            raise RadliteError("a message as protobuf writes it", f"the key {key} in it", _AGAIN)
        if size > len(data) - at:
            raise RadliteError(f"{size:,} bytes in a field of a message", f"{len(data) - at:,}", _AGAIN)
        yield key >> 3, wire, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, 0 .. 2**64 - 1, and where it ends."""
    value = 0
    for k, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value & (1 << 64) - 1, at + k + 1
    raise RadliteError("a number of at most 10 bytes in a message", "one that does not end", _AGAIN)
