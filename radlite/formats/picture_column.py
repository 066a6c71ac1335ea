"""Encoded pictures of a parquet column, one at a time.

Arrow gives a picture only with its whole row group. So a group is read that way once, and on the way it is noted where in the
file the bytes of each picture lie: pages that are not compressed a second time hold them as they are. From then on a picture
costs one read of its own bytes, however many episodes there are. Where pages are compressed, every jump to another group reads
that group.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_UNKNOWN, _NONE = -1, -2  # in place of a position: not looked for yet, and no picture there


class PictureColumn:
    """The bytes of one column.

    Args:
        name: of the column; a struct with `bytes`, as the `datasets` library writes pictures, or the bytes themselves.
        files: the parquet files.
        footers: of the files.
        groups: (number of the file, row group in it) of every row group.
        starts: G+1 numbers; group g holds the frames starts[g] .. starts[g+1]-1.
        errors: a context for reading a file, which turns what Arrow raises into something for people.
    """

    def __init__(
        self, name: str, files: Sequence[Path], footers: Sequence[pq.FileMetaData], groups: Sequence[tuple[int, int]],
        starts: Sequence[int], errors: Any,
    ) -> None:  # fmt: skip
        self._name, self._files, self._footers, self._groups, self._starts = name, files, footers, groups, starts
        self._errors: Any = errors
        self._held: tuple[int, Any] = (-1, None)  # the group read last: frames are often read in order
        self._at, self._size = array("q", [_UNKNOWN]) * starts[-1], array("i", [0]) * starts[-1]
        self._packed: set[int] = set()  # groups whose pictures do not lie in the file as they are

    def group(self, group: int) -> pa.Array:
        """The pictures of one row group: bytes, null where there is none."""
        file, index = self._groups[group]
        with self._guarded(file), pq.ParquetFile(self._files[file], metadata=self._footers[file], pre_buffer=False) as parquet:
            images = parquet.read_row_group(index, columns=[self._name], use_threads=False).column(self._name).combine_chunks()
        images = images.chunk(0) if isinstance(images, pa.ChunkedArray) else images
        return images.field("bytes") if pa.types.is_struct(images.type) else images

    def __getitem__(self, frame: int) -> Any:
        """The encoded picture of one frame, or None."""
        at = self._at[frame]
        if at == _NONE:
            return None
        group = bisect_right(self._starts, frame) - 1
        if at != _UNKNOWN and group != self._held[0]:
            file = self._groups[group][0]
            with self._guarded(file), self._files[file].open("rb", buffering=0) as opened:
                opened.seek(at)
                return opened.read(self._size[frame])
        if group != self._held[0]:
            self._held = (group, self.group(group))
            if group not in self._packed:
                self._locate(group, self._held[1])
        return self._held[1][frame - self._starts[group]].as_py()

    def _guarded(self, file: int) -> AbstractContextManager:
        return self._errors(self._files[file])

    def _locate(self, group: int, images: pa.Array) -> None:
        """Notes where the pictures of a group lie: each behind its length in four bytes (parquet's encoding PLAIN)."""
        file, index = self._groups[group]
        row_group = self._footers[file].row_group(index)
        chunks = (row_group.column(c) for c in range(row_group.num_columns))
        chunk = next((c for c in chunks if c.path_in_schema in (self._name, f"{self._name}.bytes")), None)
        if chunk is None or chunk.compression != "UNCOMPRESSED" or len(images) != row_group.num_rows:
            self._packed.add(group)
            return
        begin, size, start = chunk.data_page_offset, chunk.total_compressed_size, self._starts[group]
        with self._guarded(file), self._files[file].open("rb", buffering=0) as opened:
            opened.seek(begin)
            data = opened.read(size)
        found, at = [], 0
        for image in images.to_pylist():
            if not isinstance(image, bytes):
                found.append((_NONE, 0))
                continue
            at = data.find(len(image).to_bytes(4, "little") + image, at)  # at once, but for the headers of pages
            if at < 0:
                self._packed.add(group)
                return
            found.append((begin + at + 4, len(image)))
            at += 4 + len(image)
        for k, (place, length) in enumerate(found, start):
            self._at[k], self._size[k] = place, length
