"""How long does it take, and how much memory, to join an ECoT JSON of a given size to Bridge V2?

The JSON is made up, as large as asked for and of the shape of `embodied_features_bridge.json`. Two processes join it, each of
its own: "annotate" writes a dataset of eight episodes anew and passes over all other records; "join" knows an episode for
every record, so that every chain is kept, which is the most that a join can be asked for. Memory is the peak of the process;
`above_mb` leaves out what it held before it began to read, libraries included.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from apart import again, peak_gb
from machine import report

from radlite import Episode, EpisodeDataset, write_dataset
from radlite.ecot_join import BridgeEpisode, annotate_from_ecot, join_ecot
from radlite.formats.ecot import read_ecot

STEPS, PER_FILE, EPISODES, TEMPLATES = 36, 19, 8, 200
WORDS = "the arm moves left above a pot then lowers onto red cloth because spoon lies near edge of table and must open".split()


def key(number: int) -> tuple[str, str]:
    """file_path and episode_id of a record."""
    return f"/data/numpy_256/bridge_data_v2/kitchen/task_{number // PER_FILE:05}/00/train/out.npy", str(number % PER_FILE)


def instruction(number: int) -> str:
    """What was asked for in a record."""
    return f"put the spoon on cloth {number % TEMPLATES}"


def template(number: int) -> str:
    """One record as JSON, about 30 kB, with FILE and ID where its key belongs."""
    rng = random.Random(number)

    def words(count: int) -> str:
        return " ".join(rng.choices(WORDS, k=count))

    texts = ("task", "plan", "subtask", "subtask_reason", "move", "move_reason")
    task = [words(count) for count in (8, 30)]
    steps = {str(k): dict(zip(texts, [*task, *map(words, (6, 20, 4, 20))], strict=True)) for k in range(STEPS)}
    boxes = [[[rng.random(), words(2), [rng.randrange(120), rng.randrange(120), rng.randrange(130, 256), 200]] for _ in range(4)]
             for _ in range(STEPS)]  # fmt: skip
    features = {
        "state_3d": [[rng.random() for _ in range(3)] for _ in range(STEPS)],
        "move_primitive": [words(3) for _ in range(STEPS)],
        "gripper_position": [[rng.randrange(256), rng.randrange(256)] for _ in range(STEPS)],
        "bboxes": boxes,
    }
    about = {"episode_id": "ID", "file_path": "FILE", "n_steps": STEPS, "language_instruction": instruction(number)}
    return json.dumps({"reasoning": steps, "features": features, "metadata": about})


def make(path: Path, size: int) -> int:
    """Write a JSON of at least so many bytes; returns the number of records."""
    templates, number = [template(k) for k in range(TEMPLATES)], 0
    with path.open("w", encoding="utf-8") as file:
        written = file.write("{")
        while written < size or number < EPISODES:
            name, episode = key(number)
            if number % PER_FILE == 0:
                written += file.write(("}, " if number else "") + json.dumps(name) + ": {")
            comma = ", " if number % PER_FILE else ""
            record = templates[number % TEMPLATES].replace("FILE", name).replace('"ID"', f'"{episode}"')
            written += file.write(f'{comma}"{episode}": {record}')
            number += 1
        file.write("}}")
    return number


def dataset(folder: Path, records: int) -> None:
    """A few of the records' episodes, with pictures of 16x16 pixels."""
    numbers = np.linspace(0, records - 1, EPISODES).astype(int).tolist()
    arrays = {"frames": np.zeros((STEPS, 16, 16, 3), np.uint8), "actions": np.zeros((STEPS, 7), np.float32)}
    write_dataset(folder, (
        Episode(instruction(n), reasoning=[None] * STEPS, embodiment="robot", **arrays,
                meta=dict(zip(("file_path", "episode_id"), key(n), strict=True)))
        for n in numbers
    ))  # fmt: skip


def work(way: str, folder: Path, records: int) -> dict:
    """One way to join, in this process."""
    known = [BridgeEpisode(*key(n), instruction(n), STEPS) for n in range(records)] if way == "join" else None
    before, began, path = peak_gb(), time.perf_counter(), folder / "ecot.json"
    if known:
        with join_ecot(read_ecot(path), known) as joined:
            found = joined.report
            last = joined.chains(records - 1)
            assert last is not None and None not in last
    else:
        found = annotate_from_ecot(EpisodeDataset(folder / "bridge"), path, folder / "annotated")
    seconds, peak = time.perf_counter() - began, peak_gb()
    assert found.matched == (records if known else EPISODES) and found.agreement == 1
    return {
        "way": way, "seconds": round(seconds, 1), "mb_per_s": round(path.stat().st_size / 1e6 / seconds, 2),
        "peak_mb": round(1e3 * peak, 1), "above_mb": round(1e3 * (peak - before), 1),
        "matched": found.matched, "chains": found.steps,
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=1.5, help="size of the JSON in 10^9 bytes (default 1.5)")
    parser.add_argument("--work", nargs=3, metavar=("WAY", "FOLDER", "RECORDS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        way, folder, records = args.work
        print(json.dumps(work(way, Path(folder), int(records))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = make(folder / "ecot.json", int(args.gb * 1e9))
        dataset(folder / "bridge", records)
        size, rows = (folder / "ecot.json").stat().st_size, []
        for way in ("annotate", "join"):
            rows.append(again("--work", way, name, str(records)))
            if isinstance(rows[-1], str):
                raise SystemExit(rows[-1])
    report("ecot_join", {"gb": args.gb}, {"bytes": size, "records": records, "episodes": EPISODES, "rows": rows})


if __name__ == "__main__":
    main()
