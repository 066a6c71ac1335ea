"""How many samples a second does one core read from disk, and does that depend on how many episodes there are?

The robot's episodes of data_samples, at 64x64 pixels, are written twice over and twenty times over, as PNG inside parquet or as
mp4. Each dataset is opened and every frame read once, in a shuffled order: "first" includes reading the columns, parsing the
chains and finding the pictures; "again" is every pass after it. Nothing is decoded beforehand. The two sizes are read in turn, so
that whatever else the machine does meets both. Rates are samples per second of the clock, and per second of this process's own
processor time, which is what counts on a machine that is busy.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from machine import report
from PIL import Image

from radlite import Episode, EpisodeDataset, write_dataset

SAMPLES = Path(__file__).resolve().parents[1] / "data_samples" / "robot"


def episodes(times: int, side: int) -> Iterator[Episode]:
    """The sample's episodes, so many times over, as small frames."""
    for episode in [*EpisodeDataset(SAMPLES)] * times:
        frames = [np.asarray(Image.fromarray(f).resize((side, side), Image.Resampling.LANCZOS)) for f in episode.frames]
        yield replace(episode, frames=np.stack(frames))


def read(dataset: EpisodeDataset, seed: int) -> tuple[float, float]:
    """Every frame once, shuffled; samples per second of the clock and of processor time."""
    order = np.random.default_rng(seed).permutation(dataset.num_frames)
    clock, own = time.perf_counter(), time.process_time()
    for k in order:
        dataset.frame(int(k))
    return len(order) / (time.perf_counter() - clock), len(order) / (time.process_time() - own)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--times", type=int, nargs=2, default=(2, 20), help="how often the sample is repeated (default 2 20)")
    parser.add_argument("--passes", type=int, default=3, help="after the first (default 3)")
    parser.add_argument("--image-format", choices=("png", "webp", "mp4"), default="png")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for times in args.times:
            info = write_dataset(Path(name) / f"{times}", episodes(times, args.side), image_format=args.image_format)
            size = sum(p.stat().st_size for p in info.path.rglob("*") if p.is_file())
            rows.append({"episodes": info.num_episodes, "frames": info.num_frames, "mb": round(size / 1e6, 1)})
        opened = [EpisodeDataset(Path(name) / f"{times}") for times in args.times]
        passes = [[read(dataset, seed) for dataset in opened] for seed in range(1 + args.passes)]
    for row, mine in zip(rows, zip(*passes, strict=True), strict=True):
        for k, clock in enumerate(("per_s", "per_cpu_s")):
            row[f"first_{clock}"] = round(mine[0][k])
            row[f"again_{clock}"] = round(median(one[k] for one in mine[1:]))
    ratio = {key: round(rows[1][key] / rows[0][key], 3) for key in rows[0] if key.endswith("per_cpu_s")}
    report("loading", vars(args), {"rows": rows, "large_by_small": ratio})


if __name__ == "__main__":
    main()
