"""Other values in some rows of a LeRobotDataset v3 folder, everything else as it was.

A parquet file cannot be changed in place. The data file that holds the rows is copied beside itself, a row group at a time, with
the new values; the copy then takes its name in one step. Pictures are copied as the bytes that they are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from radlite.errors import RadliteError
from radlite.formats.lerobot import LeRobotReader
from radlite.formats.staging import disk_errors


class LeRobotEdit(LeRobotReader):
    """A dataset whose columns can get other values."""

    def replace(self, start: int, columns: Mapping[str, list | pa.Array]) -> Path:
        """Puts values into the rows from `start` on, whole or not at all; this reader is out of date then.

        Args:
            start: number of the first row.
            columns: for each column a value a row, all of one number of rows.

        Returns:
            The data file that was written.

        Raises:
            RadliteError: the rows lie in several files, or the file is damaged, or the disk refuses.
        """
        path, footer, first = self._file_of(start, start + len(next(iter(columns.values()))))
        temp = path.with_suffix(f".partial-{os.getpid()}")
        try:
            with disk_errors(path):
                _copy(path, footer, temp, start - first, columns)
                shutil.copymode(path, temp)
                with temp.open("rb+") as file:
                    os.fsync(file.fileno())
                os.replace(temp, path)
        except pa.ArrowException as error:
            found = str(error).splitlines()[0]
            raise RadliteError(f"a readable parquet file at {path}", found, "write or download the dataset again") from error
        finally:
            temp.unlink(missing_ok=True)  # gone when all went well
        return path

    def _file_of(self, start: int, stop: int) -> tuple[Path, pq.FileMetaData, int]:
        """The data file with these rows, its footer, and the number of its first row."""
        first = 0
        for path, footer in zip(self._files, self._footers, strict=True):
            if first <= start < stop <= first + footer.num_rows:
                return path, footer, first
            first += footer.num_rows
        raise RadliteError(f"each episode in one data file of {self.root}", "one in several", "write the dataset again")


def _copy(path: Path, footer: pq.FileMetaData, temp: Path, at: int, columns: Mapping[str, Any]) -> None:
    """A data file once more, with other values in its rows from `at` on."""
    with pq.ParquetFile(path, metadata=footer) as old, pq.ParquetWriter(temp, old.schema_arrow, **_packing(footer)) as new:
        for group in range(old.num_row_groups):
            table = old.read_row_group(group)
            for name, values in columns.items():
                table = _replaced(table, name, values, at)
            new.write_table(table, row_group_size=max(1, len(table)))
            at -= len(table)


def _packing(footer: pq.FileMetaData) -> dict[str, Any]:
    """How the columns are packed, for the writer of the copy."""
    group = footer.row_group(0)
    leaves = [group.column(k) for k in range(group.num_columns)]
    return {
        "compression": {c.path_in_schema: c.compression.replace("UNCOMPRESSED", "NONE") for c in leaves},
        "use_dictionary": [c.path_in_schema for c in leaves if any("DICTIONARY" in e for e in c.encodings)],
        "write_statistics": [c.path_in_schema for c in leaves if c.is_stats_set],
    }


def _replaced(table: pa.Table, name: str, values: list | pa.Array, at: int) -> pa.Table:
    """Rows at, at + 1, ... of a column with these values, as far as they lie in the table."""
    start, stop = max(at, 0), min(at + len(values), len(table))
    if start >= stop:
        return table
    field, column = table.schema.field(name), table.column(name)
    part = values[start - at : stop - at]
    part = part if isinstance(part, pa.Array) else pa.array(part, field.type)
    chunks = [*column.slice(0, start).chunks, part, *column.slice(stop).chunks]
    return table.set_column(table.schema.get_field_index(name), field, pa.chunked_array(chunks, field.type))
