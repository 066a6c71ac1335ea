"""How a check speaks: properties one after the other, each "ok" or "not yet" with what was found and a hint.

A student's function may raise, return nonsense or never end; all of that is told in words, never as a traceback.
"""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

SECONDS = 20  # for one property; right answers take well under one


class Wrong(Exception):
    """A property does not hold; the text says what was found."""


class NotWritten(Wrong):
    """The student's function is still the one that was handed out."""


class _TooSlow(BaseException):
    """The time is over. No Exception, so that a student's `except Exception` does not swallow it."""


@dataclass(frozen=True)
class Property:
    """One thing that a right answer does.

    Args:
        says: the property in words.
        hint: where to look when it does not hold.
        test: takes the student's function; raises `Wrong` where the property does not hold.
    """

    says: str
    hint: str
    test: Callable[[Callable], None]


@dataclass(frozen=True)
class Result:
    """What a check found; true if every property holds."""

    name: str
    passed: int
    total: int

    def __bool__(self) -> bool:
        return self.passed == self.total


def run(name: str, function: Callable, properties: Sequence[Property]) -> Result:
    """Tests all properties, prints a line or more on each, and returns the count."""
    passed, unwritten = 0, None
    for item in properties:
        found = _found(name, function, item)
        passed += found is None
        if isinstance(found, NotWritten):
            unwritten = found
            print(f"not yet  {item.says}")
        elif found is None:
            print(f"ok       {item.says}")
        else:
            print(f"not yet  {item.says}\n         found: {found}\n         hint:  {item.hint}")
    if unwritten:
        print(f"         {unwritten}")
    print(f"public checks passed ({passed} of {len(properties)})")
    return Result(name, passed, len(properties))


def _found(name: str, function: Callable, item: Property) -> Wrong | None:
    """What keeps the property from holding; None if it holds."""
    if not callable(function):
        return Wrong(f"{short(function)}, which is no function; pass the function itself, without brackets: check.{name}({name})")
    try:
        with _time_limit():
            item.test(function)
    except Wrong as wrong:
        return wrong
    except _TooSlow:
        return Wrong(f"no answer within {SECONDS} seconds; does a loop of {name} never end?")
    except Exception as error:  # an answer so odd that no property foresaw it
        return Wrong(f"an answer that cannot be read ({type(error).__name__}: {short(str(error), 200)})")
    return None


def ask(function: Callable, *values: Any) -> Any:
    """The student's answer. The function gets copies, and whatever it raises becomes a `Wrong` in words."""
    try:
        return function(*[value if callable(value) else deepcopy(value) for value in values])
    except NotImplementedError as error:
        raise NotWritten(f"it is not written yet: {short(str(error), 200)}") from None
    except (Exception, SystemExit) as error:
        steps = traceback.extract_tb(error.__traceback__)[1:]  # the first one is the call above
        mine = [step for step in steps if step.filename == steps[0].filename]
        line = f", at the line `{mine[-1].line}`" if mine and mine[-1].line else ""
        raise Wrong(f"it stopped with {type(error).__name__}: {short(str(error), 200)}{line}") from None


def short(value: Any, most: int = 80) -> str:
    """A value for reading: its text if it is a string, else its repr; one line of at most `most` characters."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # a student's own class
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def number(value: Any, what: str) -> float:
    """A student's number as a float; `Wrong` if it is none."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise Wrong(f"{what} should be a number and is {short(value)}") from None
    if result != result or result in (float("inf"), float("-inf")):
        raise Wrong(f"{what} is {result}")
    return result


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raises `_TooSlow` after `SECONDS`, where the system has timers and this is the main thread; elsewhere no limit."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(*_: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
