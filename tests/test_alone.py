"""One run at a time in a folder."""

import pytest

from radlite import alone as locking
from radlite.alone import alone
from radlite.errors import RadliteError


def test_a_folder_is_held_until_the_block_ends_however_it_ends(tmp_path):
    folder = tmp_path / "new" / "run"
    with pytest.raises(ZeroDivisionError), alone(folder, "--out"):
        with pytest.raises(RadliteError, match="another at work there.*choose another --out; if none is running, delete .*lock"):
            with alone(folder, "--out"):
                raise AssertionError("two at once")
        _ = 1 / 0
    with alone(folder, "--out"), alone(tmp_path / "other", "--out"):
        assert folder.is_dir()


def test_a_drive_without_locks_is_worked_on_without(tmp_path, monkeypatch):
    class Refuses(locking.FileLock):
        def _acquire(self):
            raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(locking, "FileLock", Refuses)
    ran = []
    with alone(tmp_path, "--out"):
        ran.append(1)
    assert ran


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RadliteError, match="to be able to write"), alone(tmp_path / "file" / "run", "--out"):
        pass
