"""What the tests of the course share: where the notebooks are, what a header claims, and how to run one."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import nbformat
import psutil

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "notebooks"
GUARD = ROOT / "tests" / "notebooks" / "offline"
NOTEBOOKS = sorted(p.relative_to(HOME).as_posix() for folder in (HOME, HOME / "solutions") for p in folder.glob("[0-9]*.ipynb"))
HEADER = ("Goal", "Minutes on two cores", "Minutes on a GPU", "Peak memory", "Network", "At the end you should see")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def load(path: Path) -> ModuleType:
    """A script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name: str, home: Path = HOME) -> nbformat.NotebookNode:
    """A notebook by its path below notebooks/, unconverted."""
    return nbformat.read(home / name, as_version=nbformat.NO_CONVERT)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Its cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def header(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """The table of the first cell: row -> text."""
    rows = re.findall(r"^\| *([^|]+?) *\| *(.*?) *\|$", notebook.cells[0].source, re.MULTILINE)
    return {name: text for name, text in rows if set(name) - set("- ")}


def claims(notebook: nbformat.NotebookNode) -> tuple[float, float]:
    """What the header promises: (minutes on two cores, peak memory in MB)."""
    table = header(notebook)
    minutes = float(re.search(r"\d+(?:\.\d+)?", table["Minutes on two cores"])[0])
    size, unit = re.search(r"(\d+(?:\.\d+)?) *(GB|MB)", table["Peak memory"]).groups()
    return minutes, float(size) * {"GB": 1000, "MB": 1}[unit]


def functions(notebook: nbformat.NotebookNode) -> dict[str, ast.FunctionDef]:
    """Functions that its cells define at top level, the last one of each name."""
    trees = [ast.parse(cell.source) for cell in code_cells(notebook)]
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}


def checks(notebook: nbformat.NotebookNode) -> list[str]:
    """Names of the checks that its cells call, in order: "loss_mask" for `radlite.check.loss_mask(...)`."""
    calls = [node for cell in code_cells(notebook) for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    return [name.removeprefix("radlite.").removeprefix("check.") for name in map(ast.unparse, (call.func for call in calls))
            if name.startswith(("radlite.check.", "check."))]


def asks(cell: nbformat.NotebookNode) -> bool:
    """Whether this cell of a student's copy holds a function to be written."""
    return cell.cell_type == "code" and "raise NotImplementedError(" in cell.source


# ------------------------------------------------------------------------------------------------------- running
@dataclass(frozen=True)
class Ran:
    """A notebook after its run: wall seconds (kernel start included), peak memory of all its processes in MB."""

    notebook: nbformat.NotebookNode
    seconds: float
    peak_mb: float


def environment(preset: str, scratch: Path) -> dict[str, str]:
    """Environment of a kernel: offline, and nothing written into the user's folders."""
    path = os.pathsep.join(filter(None, (str(GUARD), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "RADLITE_PRESET": preset, "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, "IPYTHONDIR": str(scratch),
            "JUPYTER_RUNTIME_DIR": str(scratch), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def run(path: Path, preset: str, timeout: float) -> Ran:
    """Executes a notebook in its folder, in a kernel of this Python, within `timeout` seconds.

    A failing cell ends it with `AssertionError`: the cell's source and the last lines of what it said. Cells tagged
    "raises-exception" may fail; the caller looks at how.
    """
    from jupyter_client import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook, began = nbformat.read(path, as_version=4), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="nb") as scratch:  # short: the paths of sockets have a limit
        # through files instead of ports, which the tests' own guard forbids
        manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=f"{scratch}/k.json")
        client = NotebookClient(notebook, km=manager, timeout_func=lambda cell: max(1, began + timeout - time.perf_counter()),
                                resources={"metadata": {"path": str(path.parent)}})
        with _Memory() as memory:
            try:
                client.execute(env=environment(preset, Path(scratch)), cleanup_kc=True)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise AssertionError(failure(path, notebook, error)) from None
    return Ran(notebook, time.perf_counter() - began, memory.peak / 1e6)


def failure(path: Path, notebook: nbformat.NotebookNode, error: Exception) -> str:
    """The cell that failed, and the end of what it said."""
    ran = [cell for cell in code_cells(notebook) if cell.get("execution_count") or cell.outputs]
    cell = ran[-1] if ran else code_cells(notebook)[0]
    said = ["".join(out.get("traceback", []) and "\n".join(out.traceback)) or out.get("text", "") for out in cell.outputs]
    last = COLOUR.sub("", "\n".join(said) or str(error)).splitlines()[-15:]
    return "\n".join([f"{path.name} failed ({type(error).__name__}) in this cell:", "", cell.source, "", *last])


class _Memory:
    """Peak resident memory of the processes below this one, in bytes, looked at ten times a second."""

    def __enter__(self) -> _Memory:
        self._this = psutil.Process()
        self._others = {process.pid for process in self._this.children(recursive=True)}  # before the kernel is there
        self.peak, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            mine = [process for process in self._this.children(recursive=True) if process.pid not in self._others]
            self.peak = max(self.peak, sum(map(_resident, mine)))


def _resident(process: psutil.Process) -> int:
    """Resident memory of a process in bytes; 0 for one that has just ended."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0
