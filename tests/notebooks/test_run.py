"""Every notebook and every solution runs top to bottom, offline, in the time and memory that its header says.

`make test-notebooks` runs them at RADLITE_PRESET=tiny; with RADLITE_PRESET=laptop it measures what students will see.
Wall time and peak memory of each are written to runs/notebooks.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil

import nbformat
import pytest
from course import HOME, NOTEBOOKS, ROOT, checks, claims, code_cells, read, run

pytestmark = pytest.mark.notebooks

PRESET = os.environ.get("RADLITE_PRESET", "tiny")
TIMEOUT = 120 if PRESET == "tiny" else 1800
SLACK = 2  # times what the header claims
RECORD = ROOT / "runs" / "notebooks.json"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A copy of notebooks/ beside copies of data_samples/ and results/, so that nothing is written into the repository."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(HOME, folder / "notebooks", ignore=shutil.ignore_patterns("source", ".ipynb_checkpoints"))
    for name in ("data_samples", "results"):
        shutil.copytree(ROOT / name, folder / name)
    return folder / "notebooks"


def record(name: str, seconds: float, peak_mb: float) -> None:
    """Adds one line to runs/notebooks.json."""
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    known[f"{name} at {PRESET}"] = {"seconds": round(seconds, 1), "peak_mb": round(peak_mb), "cores": os.cpu_count()}
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def errors(notebook: nbformat.NotebookNode) -> list[tuple[nbformat.NotebookNode, str]]:
    """(cell, name of the error) of all cells that failed."""
    return [(cell, out.ename) for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "error"]


def spoken(notebook: nbformat.NotebookNode) -> list[tuple[int, int]]:
    """(passed, total) of every check that was run."""
    said = "".join(out.text for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "stream")
    found = re.findall(r"^public checks passed \((\d+) of (\d+)\)$", said, re.MULTILINE)
    return [(int(passed), int(total)) for passed, total in found]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_top_to_bottom_as_its_header_says(name, home):
    minutes, memory = claims(read(name))
    ran = run(home / name, PRESET, TIMEOUT)
    record(name, ran.seconds, ran.peak_mb)

    solution = name.startswith("solutions/")
    unexpected = [f"{error} in this cell:\n\n{cell.source}" for cell, error in errors(ran.notebook)
                  if solution or error != "NotImplementedError" or "exercise" not in cell.metadata.get("tags", [])]
    assert not unexpected, unexpected[0]
    found = spoken(ran.notebook)
    assert len(found) == len(checks(ran.notebook)), f"{checks(ran.notebook)} are called, {len(found)} spoke"
    assert all(passed == (total if solution else 0) for passed, total in found), found  # a student's copy holds no answer
    assert ran.peak_mb > 50  # a kernel alone has more: it was measured
    assert ran.seconds <= SLACK * 60 * minutes, f"{name} took {ran.seconds / 60:.1f} minutes, its header says {minutes:g}"
    assert ran.peak_mb <= SLACK * memory, f"{name} took {ran.peak_mb:.0f} MB, its header says {memory:.0f}"


# -------------------------------------------------------------------------------------- the machinery of this test
def written(folder, *sources, tags=()):
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {}) for source in sources]
    path = folder / "made.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_failing_cell_is_shown_with_its_last_words(tmp_path):
    with pytest.raises(AssertionError) as told:
        run(written(tmp_path, "x = 1", "print(x)\nx / 0", "y = 2"), "tiny", 30)
    assert "print(x)\nx / 0" in str(told.value) and "ZeroDivisionError" in str(told.value) and "y = 2" not in str(told.value)


def test_a_cell_that_takes_too_long_is_shown(tmp_path):
    with pytest.raises(AssertionError, match="(?s)CellTimeoutError.*while True"):
        run(written(tmp_path, "while True: pass"), "tiny", 2)


NETWORK = """
import socket
for reach in (lambda: socket.create_connection(("192.0.2.1", 80), 1), lambda: socket.getaddrinfo("example.org", 80)):
    try:
        reach()
    except RuntimeError as error:
        assert "offline" in str(error)
    else:
        raise AssertionError("this reached the network")
""".strip()
MEMORY = "import time, os\nblock = b'x' * 400_000_000\ntime.sleep(0.5)\nprint(os.environ['RADLITE_PRESET'], os.getcwd())"


def test_notebooks_run_offline_and_their_memory_is_measured(tmp_path):
    ran = run(written(tmp_path, NETWORK, MEMORY), "tiny", 30)
    assert 400 < ran.peak_mb < 800 and 0.5 < ran.seconds < 30
    assert code_cells(ran.notebook)[1].outputs[0].text.split() == ["tiny", str(tmp_path)]
