"""Does what is not done yet: datasets, trainings and cells as jobs, each in a process of one thread, several at a time.

A job is a pure function of its arguments, so where it runs and what runs beside it changes nothing. A killed run goes on:
datasets are there whole or not at all, a training resumes from its last checkpoint, and a cell is one small file.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from radlite.alone import alone
from radlite.bases import best_device, load_vlm
from radlite.demo import versions
from radlite.errors import RadliteError
from radlite.experiment.arms import Training, arm_named
from radlite.experiment.cells import JUDGED, Cell
from radlite.experiment.data import SOURCES, episodes_of, make
from radlite.experiment.measure import Tell, measure, train_policy, trained
from radlite.experiment.scale import Scale
from radlite.formats.staging import read_json, replace_text
from radlite.rollouts import leave_with_parent

# seconds of one core, measured; they only weigh jobs against each other in the bar
SECONDS = {"episode": 0.3, "sample": 0.092, "blind": 0.036, "trial": 3.0, "judged": 0.25}


@dataclass
class Experiment:
    """A folder of results, a folder to work in, and the sizes.

    Attributes:
        out: gets one JSON a cell.
        scale: sizes.
        work: gets datasets, checkpoints and adapters; may be deleted when all is done.
        workers: processes; by default one a core, up to four, and two beside a GPU; 0: in this process, one after the other.
    """

    out: Path
    scale: Scale = field(default_factory=Scale)
    work: Path = Path("runs/paper")
    workers: int | None = None

    def __post_init__(self) -> None:
        self.out, self.work = Path(self.out), Path(self.work)

    # -- what is there -------------------------------------------------------------------------------------------------
    def path(self, cell: Cell) -> Path:
        """The file of a cell."""
        return self.out / f"{cell.name}.json"

    def finished(self, cell: Cell) -> bool:
        """Whether the cell is there.

        Raises:
            RadliteError: its file is of another experiment, with other sizes.
        """
        path = self.path(cell)
        if not path.exists():
            return False
        found, expected = read_json(path, "a cell").get("config"), self._config(cell)
        if found != expected:
            odd = sorted(k for k in expected if not isinstance(found, dict) or found.get(k) != expected[k])
            raise RadliteError(f"a cell of this experiment at {path}", f"one with another {', '.join(odd)}",
                               "choose another --out, or move that folder away")
        return True

    def _config(self, cell: Cell) -> dict:
        steps = cell.training.steps_at(self.scale)
        return {**self._key(), "steps": steps, "trials_asked": cell.trials, "max_steps": self.scale.max_steps}

    def _key(self) -> dict:
        return {**json.loads(json.dumps(self.scale.training())), "base_sha256": self._base()}

    def _base(self) -> str:
        if not hasattr(self, "_sha"):
            self._sha = load_vlm(self.scale.base).sha256
        return self._sha

    # -- doing the rest ------------------------------------------------------------------------------------------------
    def run(self, cells: Sequence[Cell], progress: bool = True) -> list[Cell]:
        """Does every cell that is not finished; returns those that were done now.

        Raises:
            RadliteError: another run is at work in the same folder, or what lies there is of another experiment.
        """
        todo = [c for c in cells if not self.finished(c)]
        self._check_work()
        with alone(self.work, "--work"):
            todo = [c for c in todo if not self._copy(c)]
            jobs = self.jobs(todo)
            if jobs:
                _Pool(self, jobs, progress).run()
            for cell in cells:
                if not self.finished(cell):  # the same measurement as another, which is there now
                    self._copy(cell)
        return todo

    def jobs(self, cells: Sequence[Cell]) -> list[Job]:
        """Datasets, trainings and measurements for these cells, each once, each after what it needs."""
        jobs: dict[object, Job] = {}
        order = {t: k for k, t in enumerate(dict.fromkeys(c.training for c in cells))}
        for cell in sorted(cells, key=lambda c: order[c.training]):  # all that one policy is needed for, then the next
            if cell.measures in jobs:
                continue
            names = [*cell.training.datasets(), *([f"held_out_{cell.axis}"] if cell.table in JUDGED else [])]
            for name in [*(SOURCES[n] for n in names if n in SOURCES), *names]:
                source = {SOURCES[name]} if name in SOURCES else set()
                jobs.setdefault(name, Job(name, "data", name, episodes_of(name, self.scale) * SECONDS["episode"], source))
            needs = set(names)
            if arm_named(cell.training.arm).trained:
                seconds = self._train_seconds(cell.training)
                jobs.setdefault(cell.training, Job(cell.training, "train", cell.training, seconds, needs))
                needs = needs | {cell.training}
            each = SECONDS["judged"] if cell.table in JUDGED else SECONDS["trial"]
            jobs[cell.measures] = Job(cell.measures, "cell", cell, cell.trials * each, needs)
        ready = {key for key, job in jobs.items() if self._ready(job)}
        return [replace(job, needs=job.needs - ready) for key, job in jobs.items() if key not in ready]

    def _ready(self, job: Job) -> bool:
        if job.kind == "data":
            return (self.work / "data" / f"{job.what}_{episodes_of(job.what, self.scale)}").exists()
        return job.kind == "train" and trained(self.work, job.what, self.scale)

    def _train_seconds(self, training: Training) -> float:
        s, arm = self.scale, arm_named(training.arm)
        rows = s.robot_per_batch + (s.human_per_batch if len(training.datasets()) > 1 else 0)
        return training.steps_at(s) * (rows * SECONDS["sample"] + (s.blind_per_batch if arm.think else 0) * SECONDS["blind"])

    def write(self, cell: Cell, result: dict) -> None:
        """The cell's file, whole or not at all."""
        whole = {**result, "config": self._config(cell), "versions": versions()}
        replace_text(self.path(cell), json.dumps(whole, indent=1) + "\n")

    def _copy(self, cell: Cell) -> bool:
        """Takes over a measurement that another table has made already."""
        for path in sorted(self.out.glob("*.json")) if self.out.exists() else ():
            other = read_json(path, "a cell")
            same = other.get("measures") == _plain(cell.measures) and other.get("config") == self._config(cell)
            if same and path != self.path(cell):
                mine = {"table": cell.table, "arm": cell.arm, "variant": cell.variant, "x": cell.x, "same_as": path.stem}
                self.write(cell, {**other, **mine})
                return True
        return False

    def _check_work(self) -> None:
        """A work folder belongs to one experiment: what took hours to train is not mixed with another base or size."""
        path, key = self.work / "experiment.json", self._key()
        if path.exists() and (stored := read_json(path, "an experiment's work")) != key:
            raise RadliteError(f"an experiment of the same sizes in {self.work}",
                               f"another {', '.join(k for k in key if stored.get(k) != key[k])}", "choose another --work")
        replace_text(path, json.dumps(key))


@dataclass(frozen=True)
class Job:
    """One thing to do: its key, kind ("data", "train", "cell"), what, seconds it may take, and the keys it waits for."""

    key: object
    kind: str
    what: object
    seconds: float
    needs: set = field(default_factory=set)


class _Pool:
    """Runs jobs as what they need is done; the bar counts expected seconds."""

    def __init__(self, experiment: Experiment, jobs: list[Job], progress: bool) -> None:
        self.experiment, self.jobs = experiment, jobs
        self.bar = tqdm(total=round(sum(j.seconds for j in jobs)), unit="s", desc=f"{len(jobs)} jobs", disable=not progress,
                        bar_format="{l_bar}{bar}| {elapsed} spent, {remaining} left {postfix}")
        self.shares: dict[int, float] = {}

    def run(self) -> None:
        """All jobs; an error in one is raised when those beside it have ended, and they are kept."""
        if self.experiment.workers == 0:
            return self._run_here()
        context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
        told, workers = context.SimpleQueue(), self.experiment.workers or suited_workers()
        # a fresh process a job gives back all memory
        pool = ProcessPoolExecutor(workers, context, _begin_worker, (told,), max_tasks_per_child=1)
        waiting, running, errors = list(enumerate(self.jobs)), {}, []
        try:
            with self.bar:
                while running or (waiting and not errors):
                    open_keys = {j.key for _, j in waiting} | {j.key for _, j in running.values()}
                    for entry in [e for e in waiting if not e[1].needs & open_keys] if not errors else []:
                        if len(running) < workers:
                            waiting.remove(entry)
                            running[self._start(pool, *entry)] = entry
                    for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                        number, job = running.pop(future)
                        try:
                            self._end(number, job, future.result())
                        except (Exception, KeyboardInterrupt) as error:
                            errors.append(error)
                    self._listen(told)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown()
        if errors:
            raise errors[0]
        return None

    def _run_here(self) -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in a process of its own: another order of sums is another robot, after a while
        try:
            with self.bar:
                for number, job in enumerate(self.jobs):  # a job stands after what it needs
                    self.bar.set_postfix_str(_title(job))
                    tell = partial(self._advance, number)
                    self._end(number, job, _work(job.kind, job.what, self.experiment.work, self.experiment.scale, tell))
        finally:
            torch.set_num_threads(threads)

    def _start(self, pool: ProcessPoolExecutor, number: int, job: Job) -> Future:
        self.bar.set_postfix_str(_title(job))
        return pool.submit(_work_apart, number, job.kind, job.what, self.experiment.work, self.experiment.scale)

    def _end(self, number: int, job: Job, result) -> None:
        """Keeps what a job gave; a training that was stopped stops the run."""
        if job.kind == "train" and not result:
            raise KeyboardInterrupt
        if job.kind == "cell":
            self.experiment.write(job.what, {**result, "measures": _plain(job.what.measures)})
        self._advance(number, 1.0)

    def _listen(self, told) -> None:
        while not told.empty():
            self._advance(*told.get())

    def _advance(self, number: int, share: float) -> None:
        more = max(0.0, share - self.shares.get(number, 0.0))
        self.shares[number] = self.shares.get(number, 0.0) + more
        self.bar.update(more * self.jobs[number].seconds)


def suited_workers() -> int:
    """Processes that pay: one a core, up to four; two beside a GPU."""
    return min(4, os.cpu_count() or 1) if best_device() == "cpu" else 2


def _title(job: Job) -> str:
    return job.what.name if job.kind != "data" else job.what


def _plain(measures: tuple) -> list:
    return json.loads(json.dumps(measures, default=lambda t: t.name))


_told = None  # in a worker process: where it says how far it is


def _begin_worker(told) -> None:
    global _told
    _told = told
    torch.set_num_threads(1)
    threading.Thread(target=leave_with_parent, daemon=True).start()


def _work_apart(number: int, kind: str, what, work: Path, scale: Scale) -> object:
    return _work(kind, what, work, scale, lambda share: _told.put((number, share)))


def _work(kind: str, what, work: Path, scale: Scale, tell: Tell) -> object:
    if kind == "data":
        return make(work / "data", what, scale) and True
    return (train_policy if kind == "train" else measure)(work, what, scale, tell)
