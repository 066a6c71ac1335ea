"""LeRobot as a judge, run by the Python of an environment that has it: what it reads, and what it writes.

    python judge.py COMMAND FOLDER FILE [COMMAND FOLDER FILE ...]

    read      FILE.npz gets every frame of a dataset, as LeRobot gives it
    write     makes a dataset of the frames in FILE.npz, as LeRobot records it
    refuse    FILE gets what LeRobot says of a dataset that it does not read
    columns   FILE gets the language columns as JSON, as the `datasets` library gives them

`read` tells an array (N, ...) for each key of an item, pictures as uint8 (N, H, W, 3); `near:KEY` and `near:KEY_is_pad` for the
frames `near`, what `delta_timestamps` gives there; and `about`, JSON of the dataset's other properties.
`write` takes an array (N, ...) for each feature, `lengths` and `tasks` of the episodes, and `about`: the arguments of `create`
and, as "sizes", those of `update_chunk_settings`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

NAME = "radlite/judged"  # every dataset has a name on the Hub; nothing is looked up there


def use_python_of_torchvision():
    """torchvision's compiled part belongs to another torch (see constraints.txt); what it must find there is one operator."""

    def refuse(path):
        raise OSError("compiled for another torch")

    torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    load, torch.ops.load_library = torch.ops.load_library, refuse
    import torchvision  # noqa: F401

    torch.ops.load_library = load


def dataset(folder, **options):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    return LeRobotDataset(NAME, root=folder, video_backend="pyav", **options)


def array(key, values, cameras):
    """What items hold under a key, as one array; pictures are bytes again, exactly."""
    if isinstance(values[0], str):
        return np.array(values)
    stacked = torch.stack(values).numpy()
    if key not in cameras:
        return stacked
    pixels = np.rint(stacked * 255)
    assert np.abs(pixels - stacked * 255).max() < 1e-3, "a picture that was no bytes"
    return np.moveaxis(pixels.astype(np.uint8), -3, -1)


def read(folder, out):
    data = dataset(folder)
    cameras, items = data.meta.camera_keys, [data[k] for k in range(len(data))]
    arrays = {key: array(key, [item[key] for item in items], cameras) for key in items[0]}

    step, starts = 1 / data.fps, data.meta.episodes["dataset_from_index"][:]
    wanted = {key: [-step, 0.0, 2 * step] for key in (*cameras, "observation.state", "action") if key in data.features}
    near = dataset(folder, delta_timestamps=wanted)
    frames = sorted({*starts, *(start + 3 for start in starts), len(data) - 1})
    items = [near[k] for k in frames]
    arrays |= {f"near:{key}": array(key, [item[key] for item in items], cameras) for key in wanted}
    arrays |= {f"near:{key}_is_pad": array("", [item[f"{key}_is_pad"] for item in items], cameras) for key in wanted}

    batch = next(iter(torch.utils.data.DataLoader(data, batch_size=4)))
    about = {
        "fps": data.fps, "frames": len(data), "episodes": data.num_episodes, "starts": starts,
        "robot_type": data.meta.robot_type, "cameras": cameras, "features": list(data.features),
        "tasks": data.meta.tasks.sort_values("task_index").index.tolist(),
        "episode_tasks": data.meta.episodes["tasks"][:],
        "stats": {key: {name: value.tolist() for name, value in row.items()} for key, row in data.meta.stats.items()},
        "batch": {key: list(value.shape) for key, value in batch.items() if hasattr(value, "shape")},
    }  # fmt: skip
    np.savez(out, near=np.array(frames), about=json.dumps(about), **arrays)


def write(folder, source):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    with np.load(source) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    sizes, lengths, tasks = about.pop("sizes"), arrays.pop("lengths"), arrays.pop("tasks")
    for feature in about["features"].values():
        feature["shape"] = tuple(feature["shape"])
    data, k = LeRobotDataset.create(NAME, root=folder, **about), 0
    data.meta.update_chunk_settings(**sizes)
    for length, task in zip(lengths.tolist(), tasks.tolist(), strict=True):
        for _ in range(length):
            data.add_frame({name: values[k] for name, values in arrays.items()} | {"task": task})
            k += 1
        data.save_episode()
    data.finalize()


def refuse(folder, out):
    try:
        dataset(folder)
    except Exception as error:  # whatever it raises is its answer
        Path(out).write_text(str(error))
    else:
        raise AssertionError(f"LeRobot reads {folder}")


def columns(folder, out):
    from datasets import Dataset

    data = Dataset.from_parquet([str(path) for path in sorted(Path(folder, "data").glob("*/*.parquet"))])
    names = ("timestamp", "language_persistent", "language_events")
    Path(out).write_text(json.dumps({name: data[name][:] for name in names}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    use_python_of_torchvision()
    commands = {"read": read, "write": write, "refuse": refuse, "columns": columns}
    for name, folder, file in zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3], strict=True):
        commands[name](folder, file)
