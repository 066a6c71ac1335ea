"""Read a JSON file that is larger than memory, value by value, whoever wrote it.

`ijson` turns blocks of the file into events; `JsonStream` builds one value at a time out of them and keeps only the keys
that are asked for. Nothing in the file decides how much memory that takes: a single text or number that does not end
within 1 MiB, nesting without end and a value of more than 4 MiB (some 200 MB of Python objects at the worst) are refused,
whatever the size of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson

from radlite.errors import RadliteError
from radlite.escape import quoted

BLOCK = 1 << 16
MOST_TOKEN = 1 << 20
MOST_VALUE = 1 << 22
MOST_DEPTH = 12
MOST_SKIPPED = 1000

ANY = object()
"""As a key in `wanted`: every key that is not named beside it."""

_SKIP = object()
_NESTING = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_NOT_JSON = (ijson.JSONError, ValueError, ArithmeticError)  # the backends of ijson differ in what they raise


class JsonStream:
    """The events of one file, (name, value) as `ijson.basic_parse` gives them; it is its own iterator.

    Attributes:
        path: the file.
        place: where the reader is, in words, which whoever reads keeps up to date: errors name it.
        problem: what is wrong with the value that was built last, or None.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.place, self.problem = path, "the beginning", None
        self._offset, self._began, self._large = 0, 0, False
        self._events = self._read()

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._events

    def build(self, event: str, value: Any, wanted: dict | None = None) -> Any:
        """The value that begins with this event, as `json.loads` would give it.

        Args:
            wanted: keys of an object that are kept, each with the same for what lies below it; None keeps everything. A
                key that is not wanted has the value None.

        Returns:
            The value. Where a key comes twice in one object, or a limit is passed, `problem` says so, the value is not
            complete, and the stream stands behind it nevertheless: the next value can be read.

        Raises:
            RadliteError: the file ends or is no JSON.
        """
        self._began, self._large, self.problem = self._offset, False, None
        return self._build(event, value, wanted, 1)

    def _build(self, event: str, value: Any, wanted: Any, depth: int) -> Any:
        if event not in _NESTING:
            return value
        if self._refused(depth) or wanted is _SKIP:
            return self._skip()
        if event == "start_array":
            return [self._build(event, value, None, depth + 1) for event, value in self._until("end_array")]
        found: dict[str, Any] = {}
        for _, key in self._until("end_map"):
            below = None if wanted is None else wanted.get(key, wanted.get(ANY, _SKIP))
            twice = key in found
            item = self._build(*next(self._events), below, depth + 1)
            found[key] = None if below is _SKIP else item
            if twice and self.problem is None:
                self.problem = RadliteError("each key once", f"{quoted(key)} twice in one object", "keep one of the two")
        return found

    def _until(self, end: str) -> Iterator[tuple[str, Any]]:
        """The events up to the end of this array or object; once something is wrong, they are passed over."""
        for event in self._events:
            if event[0] == end:
                return
            if self._large and self._refused(0):
                self._skip(event[0])
                return
            yield event

    def _refused(self, depth: int) -> bool:
        if self.problem is None and (self._large or depth > MOST_DEPTH):
            limit = f"{MOST_VALUE >> 20} MiB" if self._large else f"{MOST_DEPTH} levels of nesting"
            self.problem = RadliteError(f"at most {limit} in one value", "more", "look at what wrote it")
        return self.problem is not None

    def _skip(self, event: str = "") -> None:
        """Pass over the rest of the array or object that is open; `event` has been taken from it already."""
        levels = 1 + _NESTING.get(event, 0)
        while levels:
            levels += _NESTING.get(next(self._events)[0], 0)
            if levels > MOST_SKIPPED:  # the parser itself remembers every open bracket
                raise RadliteError(f"JSON in {self.path}", f"{levels} open brackets in {self.place}", "look at what wrote it")

    def _read(self) -> Iterator[tuple[str, Any]]:
        events, silent = ijson.sendable_list(), 0
        parser = ijson.basic_parse_coro(events, use_float=True)
        try:
            with self.path.open("rb") as file:
                block = None
                while block != b"":
                    block, broken = file.read(BLOCK), None
                    try:
                        parser.send(block)
                    except StopIteration:
                        pass  # the parser is done
                    except _NOT_JSON as error:
                        broken = error
                    self._offset += len(block)
                    self._large = self._offset - self._began > MOST_VALUE
                    silent = 0 if events else silent + len(block)
                    yield from events  # what came ahead of an error tells where it lies
                    events.clear()
                    if broken is not None or silent > MOST_TOKEN:
                        raise self._broken(broken) from broken
        except OSError as error:
            raise RadliteError(f"a JSON file that can be read at {self.path}", str(error), "check the path") from error

    def _broken(self, error: Exception | None) -> RadliteError:
        """`ijson` quotes the file in its messages, which is not for the screen."""
        if error is None:
            what, fix = f"a text, number or gap of more than {MOST_TOKEN >> 20} MiB", "look at what wrote it"
        elif "EOF" in str(error) or "ncomplete" in str(error):
            what, fix = "the end of the file", "download it again: it was cut off"
        else:
            what, fix = "something else", "download it again, or correct it there"
        return RadliteError(f"JSON in {self.path}", f"{what} near byte {self._offset}, in {self.place}", fix)
