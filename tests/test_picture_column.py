"""Pictures out of parquet one by one: the bytes are those that Arrow gives, and no group is read twice for them."""

from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite.formats.picture_column import PictureColumn

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS = st.lists(st.none() | st.binary(max_size=30) | st.sampled_from([b"same", b"PNG" * 60]), min_size=1, max_size=25)


def column(folder, rows, group=4, plain=False, **options):
    """Two files of these pictures, and a reader."""
    paths, half = [folder / "a.parquet", folder / "b.parquet"], (len(rows) + 1) // 2
    for path, part in zip(paths, (rows[:half], rows[half:]), strict=True):
        values = pa.array(part, pa.binary()) if plain else pa.array([{"bytes": b, "path": "x"} for b in part], PICTURE)
        table = pa.table({"before": pa.array(range(len(part)), pa.int64()), "picture": values, "picture2": values})
        pq.write_table(table, path, row_group_size=group, **options)
    footers = [pq.read_metadata(path) for path in paths]
    groups = [(f, g) for f, footer in enumerate(footers) for g in range(footer.num_row_groups)]
    starts = np.cumsum([0, *(footers[f].row_group(g).num_rows for f, g in groups)]).tolist()
    return PictureColumn("picture", paths, footers, groups, starts, lambda path: nullcontext())


OPTIONS = {
    "as we write": {"compression": "none", "use_dictionary": False},
    "dictionary": {"compression": "none", "use_dictionary": True},
    "compressed": {"compression": "snappy", "use_dictionary": False},
    "many pages": {"compression": "none", "use_dictionary": False, "data_page_size": 1, "write_batch_size": 1},
    "version 2 pages": {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
    "deltas": {"compression": "none", "use_dictionary": False, "column_encoding": {"picture.bytes": "DELTA_BYTE_ARRAY"}},
}


@pytest.mark.parametrize("options", OPTIONS)
@settings(max_examples=12, deadline=None)
@given(rows=ROWS, order=st.randoms(use_true_random=False), plain=st.booleans())
def test_the_bytes_are_the_same_in_any_order(tmp_path_factory, options, rows, order, plain):
    settings = dict(OPTIONS[options])
    if plain:
        settings.pop("column_encoding", None)
    pictures = column(tmp_path_factory.mktemp("column"), rows, plain=plain, **settings)
    numbers = [*range(len(rows))] * 3
    order.shuffle(numbers)
    assert [pictures[k] for k in numbers] == [rows[k] for k in numbers]


@pytest.mark.parametrize("options, again", [("as we write", False), ("many pages", False), ("compressed", True)])
def test_a_group_is_read_once_where_its_pages_hold_the_bytes(tmp_path, monkeypatch, options, again):
    rows = [bytes([k]) * (10 + k) for k in range(40)]
    pictures = column(tmp_path, rows, **OPTIONS[options])
    [pictures[k] for k in range(40)]
    read, group = [], PictureColumn.group
    monkeypatch.setattr(PictureColumn, "group", lambda self, g: (read.append(g), group(self, g))[1])
    assert [pictures[k] for k in range(0, 40, 7)] == rows[::7]
    assert bool(read) == again
