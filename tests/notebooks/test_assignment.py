"""The otter bundle: students get no solution, a right submission gets all points, wrong ones do not.

Otter grades in a process of its own, without containers and without a network: `otter run`.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import subprocess
import sys
import zipfile

import nbformat
import numpy
import pytest
from course import ROOT, asks, environment, load, read

import radlite
import radlite.check

pytestmark = [
    pytest.mark.notebooks,
    pytest.mark.skipif(not importlib.util.find_spec("otter"), reason="otter-grader is not installed (extra `grading`)"),
]

assignment = load(ROOT / "docs" / "grading" / "assignment.py")
EXERCISES = assignment.exercises()
WRONG = {  # plausible, and wrong
    "loss_mask": "def loss_mask(roles, embodiment):\n    return [role not in ('image', 'prompt', 'pad') for role in roles]",
    "mixture_sampler": "import random\ndef mixture_sampler(step, robot, human, robot_per_batch, ratio, seed):\n"
    "    return random.choices(range(robot), k=robot_per_batch), random.choices(range(human), k=round(ratio * robot_per_batch))",
    "wilson_interval": "import math\ndef wilson_interval(k, n):\n"
    "    p = k / n\n    half = 1.96 * math.sqrt(p * (1 - p) / n)\n    return max(0.0, p - half), min(1.0, p + half)",
    "trials_needed": "import math\ndef trials_needed(p, half):\n    return max(1, math.ceil(p * (1 - p) * (1.96 / half) ** 2))",
    "fisher_test": "from math import comb\ndef fisher_test(a, n, b, m):\n"
    "    return sum(comb(n, k) * comb(m, a + b - k) for k in range(max(0, a + b - m), a + 1)) / comb(n + m, a + b)",
    "training_bytes": "def training_bytes(decoder, others, trained, nf4, optimizer):\n"
    "    return (decoder + others) * (0.5 if nf4 else 2), 4 * trained, 8 * trained",
    "hand_as_gripper": "import numpy as np\ndef hand_as_gripper(thumb, index, palm, closed, opened):\n"
    "    return (thumb + index) / 2, [bool(r > closed) for r in np.linalg.norm(thumb - index, axis=1) / palm]",
    "movement_primitives": "import numpy as np\ndef movement_primitives(path, window, threshold):\n"
    "    steps = np.nan_to_num(np.diff(path, axis=0, append=path[-1:]))\n"
    "    return ['move up' if up > threshold else 'stop' for up in steps[:, 2]]",
    "bad_frames": "import numpy as np\ndef bad_frames(actions, states):\n"
    "    return [not np.isfinite(a).all() or not a[:6].any() for a in actions]",
    "normalised": "import numpy as np\ndef normalised(actions, bad):\n    low, high = actions.min(0), actions.max(0)\n"
    "    return (actions - low) / (high - low) * 2 - 1",
    "faithfulness": "def faithfulness(act, chains, edits, paraphrases, directions):\n"
    "    far = lambda b, a: sum(abs(act(y) - act(x)).sum() for x, y in zip(a, b)) / len(a)\n"
    "    return {'signed': far(edits, chains), 'floor': far(paraphrases, chains), 'null': 0.0}",
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    out = tmp_path_factory.mktemp("assignment")
    assert assignment.main(["--out", str(out)]) == 0
    return out


def submitted(folder, notebook, written):
    """A student's copy whose gaps are filled: by the solution's cells, by code for each function, or not at all (None)."""
    student, solution = read(f"{notebook}.ipynb"), read(f"solutions/{notebook}.ipynb")
    for cell, right in zip(student.cells, solution.cells, strict=True):
        if asks(cell) and written is not None:
            name = re.search(r"^def (\w+)\(", cell.source, re.MULTILINE)[1]
            cell.source = right.source if written == "right" else WRONG[name]
    path = folder / f"{notebook}.ipynb"
    nbformat.write(student, path)
    return path


def graded(folder, path, bundle):
    """(points, most points, hidden cases) that otter gives."""
    grader = bundle / "autograder" / f"{path.stem}.zip"
    command = [sys.executable, "-m", "otter", "run", path.name, "-a", str(grader), "-o", str(folder), "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment("tiny", folder), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads((folder / "results.json").read_text())["tests"]
    scored = [case for case in cases if "max_score" in case]
    return sum(case["score"] for case in scored), sum(case["max_score"] for case in scored), cases


def test_every_exercise_has_hidden_cases():
    names = [name for found in EXERCISES.values() for name in found]
    assert sorted(names) == sorted({*names}) == sorted(path.stem for path in assignment.HIDDEN.glob("*.py")) == sorted(WRONG)


def test_students_get_notebooks_data_and_no_answer(bundle):
    archive = zipfile.ZipFile(bundle / "student.zip")
    names = archive.namelist()
    assert "radlite_course/data_samples/robot/meta/info.json" in names
    assert {f"radlite_course/notebooks/{notebook}.ipynb" for notebook in EXERCISES} <= set(names)
    assert not [name for name in names if re.search(r"solution|hidden|grading|source|\.py$", name)]
    text = "".join(archive.read(name).decode() for name in names if name.endswith(".ipynb"))
    assert "# solution" not in text and "otter.test_files" not in text
    assert text.count("raise NotImplementedError(") == sum(map(len, EXERCISES.values()))


def filled(notebook, written):
    """Namespace of a notebook's functions, as a student wrote them."""
    answers = {}
    for cell in read(f"solutions/{notebook}.ipynb").cells:
        name = re.search(r"^def (\w+)\(", cell.source, re.MULTILINE)
        if name and name[1] in EXERCISES[notebook]:
            answers[name[1]] = cell.source if written == "right" else WRONG[name[1]]
    namespace = {"np": numpy, "math": math, "radlite": radlite}
    for source in answers.values():
        exec(source, namespace)
    return namespace


@pytest.mark.parametrize("notebook, function", [(notebook, name) for notebook, names in EXERCISES.items() for name in names])
def test_hidden_cases_hold_for_the_solution_and_not_for_a_wrong_answer(notebook, function, capsys):
    from otter.test_files import ExceptionTestFile

    found = {}
    for written in ("right", "wrong"):
        cases = ExceptionTestFile.from_file(str(assignment.HIDDEN / f"{function}.py"))
        cases.run(filled(notebook, written))
        found[written] = {result.test_case.name: (result.passed, result.test_case.hidden) for result in cases.test_case_results}
    assert all(passed for passed, _ in found["right"].values()), found["right"]
    assert not found["wrong"]["public check"][0] and not all(passed for passed, hidden in found["wrong"].values() if hidden)


@pytest.mark.parametrize("notebook", EXERCISES)
def test_right_answers_get_all_points(notebook, bundle, tmp_path):
    points, most, cases = graded(tmp_path, submitted(tmp_path, notebook, "right"), bundle)
    assert points == most >= 5 * len(EXERCISES[notebook]), cases
    assert [case for case in cases if case.get("visibility") == "hidden"]


@pytest.mark.parametrize("written", ["wrong", None])
def test_wrong_and_missing_answers_do_not(written, bundle, tmp_path):
    points, most, cases = graded(tmp_path, submitted(tmp_path, "01_reasoning_chains", written), bundle)
    assert most == 10 and points == (3 if written else 0), cases  # the wrong answer is right about robots
