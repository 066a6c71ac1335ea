"""The log of a training run, and a stop that does not tear a step apart."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from radlite.formats.staging import disk_errors, replace_text


class TrainLog:
    """JSONL lines {"step", "loss", "lr", "samples_per_s", "fields": {field: {"loss", "accuracy", "tokens"}}}.

    Of several processes the first one keeps it (`mine`): the loss is that of all, the fields are those of its own sequences.
    """

    def __init__(self, path: Path, step: int, every: int, mine: bool = True) -> None:
        self.path, self.every, self.mine = path, every, mine
        self._losses: list[float] = []
        self._samples, self._since = 0, time.monotonic()
        if not mine:
            return
        kept = [row for row in read_log(path) if row["step"] <= step]
        replace_text(path, "".join(json.dumps(row) + "\n" for row in kept))

    def add(self, step: int, loss: float, fields: dict, rate: float, samples: int) -> dict | None:
        """Counts a step; every `every` steps a row is written, and returned."""
        if not self.mine:
            return None
        self._losses.append(loss)
        self._samples += samples
        if step % self.every:
            return None
        now = time.monotonic()
        row = {
            "step": step,
            "loss": sum(self._losses) / len(self._losses),
            "lr": rate,
            "samples_per_s": round(self._samples / max(1e-9, now - self._since), 2),
            "fields": fields,
        }
        with disk_errors(self.path), self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        self._losses, self._samples, self._since = [], 0, now
        return row


def read_log(path: str | Path) -> list[dict]:
    """The rows of a `log.jsonl`, oldest first; a line that was cut off is left out."""
    rows, path = [], Path(path)
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict) and "step" in row]


@contextmanager
def polite_stop() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event instead of tearing a step apart; outside the main thread nothing is caught."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    old = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
