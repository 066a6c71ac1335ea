"""One at a time in a folder: two that train the same run at once would take turns at its log and its checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors


@contextmanager
def alone(folder: Path, option: str) -> Iterator[None]:
    """Holds the folder (made where it is missing) until the block ends, however it ends; a killed process has let go of it.

    Args:
        folder: which.
        option: how a user chooses another, for the error.

    Raises:
        RadliteError: another process, or another thread of this one, holds it; or it may not be written.
    """
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")  # the operating system's own; a file that somebody has to delete where it has none
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RadliteError(f"one run at a time in {folder}", "another at work there",
                               f"let it end, stop it, or choose another {option}; if none is running, delete {lock.lock_file}"
                               ) from None
        except NotImplementedError:
            pass  # a mounted drive without locks, an older filelock: better unguarded than not at all
    try:
        yield
    finally:
        lock.release()
