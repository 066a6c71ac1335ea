"""Is this machine ready? One look at everything radlite stands on, with what to do about each thing that is not right.

Every check looks, and none raises: a broken torch must not hide that ffmpeg is fine. Imports are therefore lazy, and a check
that fails becomes a line of the report like any other.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OK, WARNING, PROBLEM = "ok", "warning", "problem"
REQUIRED = (
    "torch", "transformers", "tokenizers", "peft", "accelerate", "safetensors", "huggingface_hub", "mujoco", "gymnasium", "numpy",
    "pillow", "pyarrow", "plotly", "imageio-ffmpeg", "av", "ijson", "filelock", "tqdm",
)  # fmt: skip
OPTIONAL = {
    "bitsandbytes": "4-bit weights: pip install -e '.[gpu]'",
    "datasets": "notebooks: pip install -e '.[notebooks]'",
    "jupyterlab": "notebooks: pip install -e '.[notebooks]'",
    "mediapy": "notebooks: pip install -e '.[notebooks]'",
}
WEIGHTS = ("radlite-tiny", "ecot", "rad")  # what the package ships
DISK_GB = 2.0  # a demo's datasets, adapters and videos, with room to spare
REINSTALL = "install again: pip install -c constraints.txt -e ."

Check = dict[str, str]


def doctor() -> dict[str, Any]:
    """Looks at the machine and never raises.

    Returns:
        JSON-able: {"status": the worst one, "checks": [{"name", "status", "found", "fix"}, ...]}, status being "ok",
        "warning" (works, with a limit that `found` names) or "problem" (something will fail); `fix` is "" when all is well.
    """
    checks = [_guarded("python", _python)]
    checks += [_guarded(name, _package, name) for name in REQUIRED]
    checks += [_guarded(name, _optional, name) for name in OPTIONAL]
    looks = {"device": _device, "cores": _cores, "bf16": _bf16, "disk": _disk, "ffmpeg": _ffmpeg, "simulator": _simulator}
    checks += [_guarded(name, look) for name, look in looks.items()]
    checks += [_guarded(f"weights {name}", _weights, name) for name in WEIGHTS]
    found = {check["status"] for check in checks}
    return {"status": next(s for s in (PROBLEM, WARNING, OK) if s in found), "checks": checks}


def format_doctor(report: dict[str, Any]) -> str:
    """The report of `doctor` as text: one line a check, and under it what to do where there is something to do."""
    width = max(len(check["name"]) for check in report["checks"])
    lines = []
    for check in report["checks"]:
        lines.append(f"{check['status']:<8} {check['name']:<{width}}  {check['found']}")
        if check["fix"]:
            lines.append(f"{'':<8} {'':<{width}}  -> {check['fix']}")
    last = {OK: "all is well", WARNING: "works, with the limits named above", PROBLEM: "not ready: see the lines above"}
    return "\n".join([*lines, "", last[report["status"]]])


def _guarded(name: str, look: Callable[..., tuple[str, str, str]], *args: str) -> Check:
    """Runs one look; whatever it throws (a broken library throws anything) becomes a problem."""
    try:
        status, found, fix = look(*args)
    except Exception as error:
        status, found, fix = PROBLEM, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", REINSTALL
    return {"name": name, "status": status, "found": found, "fix": fix}


def _python() -> tuple[str, str, str]:
    return OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}", ""


def _package(name: str) -> tuple[str, str, str]:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return PROBLEM, "not installed", REINSTALL
    floor = _floor(name)
    if floor and _numbers(version) < _numbers(floor):
        return PROBLEM, version, f"needs {floor} or newer: pip install -U '{name}>={floor}'"
    return OK, version, ""


def _floor(name: str) -> str:
    """The lower bound of a dependency as radlite's own metadata states it; "" when radlite is not installed."""
    try:
        needs = importlib.metadata.requires("radlite") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    lines = (line.replace(" ", "") for line in needs)
    bounds = [part[2:] for line in lines if line.startswith((f"{name}>", f"{name}<"))
              for part in line[len(name):].split(";")[0].split(",") if part.startswith(">=")]
    return bounds[0] if bounds else ""


def _numbers(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: "2.13.0+cpu" -> (2, 13, 0)."""
    parts = version.split("+")[0].split(".")
    return tuple(int(p) for p in parts if p.isdigit())


def _optional(name: str) -> tuple[str, str, str]:
    try:
        return OK, importlib.metadata.version(name), ""
    except importlib.metadata.PackageNotFoundError:
        return OK, f"not installed; only for {OPTIONAL[name]}", ""


def _device() -> tuple[str, str, str]:
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return OK, f"CUDA: {torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free", ""
    if torch.backends.mps.is_available():
        return OK, "MPS: Apple GPU, memory shared with the processor", ""
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        return WARNING, "CPU, although an NVIDIA driver is here", "install the CUDA build of torch (see pytorch.org)"
    return OK, f"CPU: {_memory()}", ""


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows knows no sysconf
        return "memory unknown"
    return f"{total / 2**30:.1f} GiB of memory"


def _cores() -> tuple[str, str, str]:
    import torch

    mine = getattr(os, "sched_getaffinity", None)  # what this process may use; absent on macOS and Windows
    count = len(mine(0)) if mine else os.cpu_count() or 1
    threads = torch.get_num_threads()
    found = f"{count}, torch uses {threads} threads"
    if threads > count:
        return WARNING, found, f"more threads than cores slow torch down many times: export OMP_NUM_THREADS={count}"
    return OK, found, ""


def _bf16() -> tuple[str, str, str]:
    """bf16 may exist and still be emulated, so both precisions are timed on one product."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if device == "cuda":
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        return (OK, "in hardware on the GPU", "") if good else (OK, "not on this GPU; training uses fp16 and scales the loss", "")
    ratio = _seconds(torch.float32, device) / _seconds(torch.bfloat16, device)
    return OK, f"a product in bf16 runs {ratio:.1f}x as fast as in float32 on {device}", ""


def _seconds(dtype: Any, device: str) -> float:
    """Best of five 384x384 products, seconds."""
    import torch

    square = torch.ones(384, 384, dtype=dtype, device=device)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        float((square @ square)[0, 0])  # reading a value waits for the device
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9)


def _disk() -> tuple[str, str, str]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    found = f"{free:.1f} GB free in {Path.cwd()}"
    if free < DISK_GB:
        return PROBLEM, found, f"make {DISK_GB:.0f} GB free, or work in another folder"
    if not os.access(Path.cwd(), os.W_OK):
        return WARNING, f"{found}, not writable", "pass --out with a folder that you may write to"
    return OK, found, ""


def _ffmpeg() -> tuple[str, str, str]:
    """Runs the very binary that `radlite.show.video` uses, and asks for the encoder it needs."""
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-encoders"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    if "libx264" not in text:
        return PROBLEM, f"{imageio_ffmpeg.get_ffmpeg_version()} without H.264", "pip install -U imageio-ffmpeg"
    return OK, f"{imageio_ffmpeg.get_ffmpeg_version()} with H.264", ""


def _simulator() -> tuple[str, str, str]:
    """Builds a random scene and looks at it once with `mj_multiRay`."""
    import numpy as np

    from radlite.tabletop.camera import render
    from radlite.tabletop.scene import draw_scene
    from radlite.tabletop.things import BASE_THINGS, PLACES
    from radlite.tabletop.world import World

    scene = draw_scene(np.random.default_rng(0), [BASE_THINGS[0]], [next(iter(PLACES))])
    world = World(scene)
    start = time.perf_counter()
    frame, geoms = render(world.model, world.data, scene.look, 64)
    took = time.perf_counter() - start
    seen = len(np.unique(geoms))
    if frame.shape != (64, 64, 3) or frame.std() < 1 or seen < 5:
        return PROBLEM, f"a picture with {seen} parts, spread {frame.std():.1f}", "install the tested mujoco: " + REINSTALL
    return OK, f"a 64x64 frame with shadows in {took * 1e3:.1f} ms, no OpenGL", ""


def _weights(name: str, home: Path | None = None) -> tuple[str, str, str]:
    """Hashes the shipped tensors and compares them with the manifest that lies beside them."""
    folder = (home or Path(__file__).parent / "weights") / name
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return PROBLEM, "no safetensors in the package", "install radlite again, from a complete checkout"
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    found = ", ".join(f"{key} sha256 {value[:16]}" for key, value in digests.items())
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return OK, found, ""
    wanted = {key: entry["sha256"] for key, entry in json.loads(manifest.read_text()).items()}
    wrong = [key for key, value in digests.items() if wanted.get(key) != value]
    wrong += [key for key in wanted if not (folder / key).is_file()]
    if wrong:
        return PROBLEM, f"{', '.join(wrong)} is not what was shipped", "install radlite again, from a complete checkout"
    return OK, found, ""
