"""Many short clips, a worker killed on the way: is each of them done, and none twice?

Makes clips of noise with recorded landmarks, runs `radlite.annotate.many` over them on Ray or on processes of this machine, and
kills one worker in the middle of a clip, without warning (SIGKILL), once a quarter is written. What the store wrote down tells
how often each clip was begun and written. A second run over the same store has nothing left to do.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from machine import report

from radlite import EpisodeDataset, write_mp4
from radlite.annotate import AnnotateConfig, Hand, write_landmarks
from radlite.annotate.clip_store import ClipStore
from radlite.annotate.engines import LOCAL, local_processes, ray_data
from radlite.annotate.landmarks import Landmarks
from radlite.annotate.manifest import ListedClip, list_clips
from radlite.annotate.many import annotate_many, write_annotated
from radlite.annotate.recipe import Recipe

SIDE, FPS = 96, 5.0


def make_clips(folder: Path, count: int, frames: int) -> tuple[ListedClip, ...]:
    """`count` clips in which nothing is seen and a hand was recorded that goes from right to left."""
    for k in range(count):
        rng = np.random.default_rng(k)
        shape = rng.uniform(-0.1, 0.1, (21, 3)).astype(np.float32)
        hands = tuple((Hand(shape + (0.8 - 0.5 * t / frames, 0.5, 0), "right", 0.9),) for t in range(frames))
        write_landmarks(folder / f"{k:04}.landmarks.json", Landmarks(hands, FPS, SIDE, SIDE))
        write_mp4(folder / f"{k:04}.mp4", rng.integers(0, 255, (frames, SIDE, SIDE, 3), np.uint8), FPS)
    return list_clips(folder, instruction="put the red can on the plate")


class Killer(threading.Thread):
    """Kills the worker of a clip that was begun and is neither written nor failed, once enough are written."""

    def __init__(self, store: ClipStore, after: int) -> None:
        super().__init__(daemon=True)
        self.store, self.after, self.killed = store, after, None

    def run(self) -> None:
        while self.killed is None:
            time.sleep(0.02)
            events = self.store.events()
            if sum(written(e) for e in events.values()) >= self.after:
                open_now = [(key, e[-1]["pid"]) for key, e in events.items() if e and e[-1]["event"] == "begun"]
                if open_now:
                    key, pid = open_now[0]
                    os.kill(pid, signal.SIGKILL)  # one of this run's own workers: it wrote its number down
                    self.killed = {"clip": key, "pid": pid, "after": sum(written(e) for e in events.values())}


def written(events: list[dict]) -> int:
    """How often a clip was written."""
    return sum(event["event"] == "written" for event in events)


def measure(args, folder: Path) -> dict:
    """Makes the clips, annotates them, kills, counts, and does it again."""
    (folder / "clips").mkdir()
    store, recipe, began = ClipStore(folder / "work"), Recipe(AnnotateConfig(size=64)), time.perf_counter()
    with ray_data(args.address, args.workers) if args.engine == "ray" else local_processes(args.workers) as engine:
        there, clips = time.perf_counter(), make_clips(folder / "clips", args.clips, args.frames)
        killer, started = Killer(store, args.clips // 4), time.perf_counter()
        killer.start()
        outcomes = annotate_many(folder / "clips", clips, recipe, store, engine,
                                 told=lambda clip, o: print(clip.clip, o.state, o.reason, file=sys.stderr))  # fmt: skip
        done, counts = time.perf_counter(), store.events()
        again = annotate_many(folder / "clips", clips, recipe, store, engine)
    info = write_annotated(folder / "data", clips, outcomes, store)
    names = [episode.meta["clip"] for episode in EpisodeDataset(folder / "data")]
    begun = {key: sum(e["event"] == "begun" for e in events) for key, events in counts.items()}
    after = store.events()
    return {
        "clips": len(clips), "done": sum(written(e) == 1 for e in after.values()),
        "twice": sum(written(e) > 1 for e in after.values()),
        "failed": sum(o.state == "failed" for o in outcomes), "killed": killer.killed,
        "begun_again": bool(killer.killed) and begun[killer.killed["clip"]] == 2, "begun": sum(begun.values()),
        "workers": len({e["pid"] for events in counts.values() for e in events}),
        "tried_again_by_us": sum(o.tries > 1 for o in outcomes), "second_run_kept": sum(o.state == "kept" for o in again),
        "episodes": info.num_episodes, "in_order": names == [clip.clip for clip in clips],
        "seconds": {"start": round(there - began, 1), "annotate": round(done - started, 1)},
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--frames", type=int, default=12, help="of a clip (default 12)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", choices=("ray", "processes"), default="ray")
    parser.add_argument("--address", default=LOCAL, help="of a Ray that is there; by default one of its own is started")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):  # Ray tells of dead workers there
        results = measure(args, Path(folder))
    report("annotate_many", vars(args), results)


if __name__ == "__main__":
    main()
