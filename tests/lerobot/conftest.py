"""The judge: LeRobot's own package, in an environment of its own (`make test-lerobot` makes it), asked by subprocess."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / ".venv-lerobot" / "bin" / "python"
PYTHON = "RADLITE_LEROBOT_PYTHON"  # named by `make test-lerobot`: then these tests must run


@pytest.fixture(scope="session")
def judge(tmp_path_factory):
    """Runs judge.py: `judge("read", folder, file, ...)`. Starting it takes longer than most of what it is asked."""
    told = os.environ.get(PYTHON)
    python = (ROOT / told).absolute() if told else HERE  # not resolved: a link out of the environment
    if not python.exists():
        assert not told, f"{PYTHON} names no Python: {told}"
        pytest.skip("no LeRobot here: `make test-lerobot` installs it beside radlite and runs these tests")
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path_factory.mktemp("hf"))}

    def run(*arguments: object) -> None:
        command = [python, "-I", Path(__file__).with_name("judge.py"), *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | offline)
        if done.returncode:
            raise AssertionError(f"LeRobot refuses: {done.stderr[-3000:]}")

    return run
