"""The doctor tells the truth about this machine, and about a broken one, without ever raising."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from radlite.health import REQUIRED, WEIGHTS, _guarded, _numbers, _weights, doctor, format_doctor


def _named(report: dict, name: str) -> dict:
    return next(check for check in report["checks"] if check["name"] == name)


@pytest.fixture(scope="module")
def report() -> dict:
    return doctor()


def test_report_is_json_and_complete(report):
    assert json.loads(json.dumps(report)) == report
    names = [check["name"] for check in report["checks"]]
    assert len(names) == len(set(names))
    wanted = {"python", "device", "cores", "bf16", "disk", "ffmpeg", "simulator", *REQUIRED}
    assert wanted | {f"weights {name}" for name in WEIGHTS} <= set(names)
    for check in report["checks"]:
        assert check["status"] in ("ok", "warning", "problem") and check["found"]
        assert bool(check["fix"]) == (check["status"] != "ok"), check


def test_every_dependency_of_the_package_is_looked_at():
    declared = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.match(r"[\w-]+", line)[0] for line in declared} == set(REQUIRED)


def test_this_machine_can_run_what_the_tests_run(report):
    assert _named(report, "device")["status"] != "problem"
    for name in ("python", "torch", "ffmpeg", "simulator", *(f"weights {name}" for name in WEIGHTS)):
        assert _named(report, name)["status"] == "ok", _named(report, name)
    assert _named(report, "torch")["found"] == importlib.metadata.version("torch")
    assert "64x64" in _named(report, "simulator")["found"]


def test_text_has_every_check_and_every_fix(report):
    text = format_doctor(report)
    for check in report["checks"]:
        assert check["name"] in text and check["found"] in text and check["fix"] in text
    assert text.count("-> ") == sum(bool(check["fix"]) for check in report["checks"])


def test_worst_status_wins(report):
    order = ("ok", "warning", "problem")
    assert report["status"] == max((c["status"] for c in report["checks"]), key=order.index)


def test_broken_libraries_are_lines_of_the_report(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", None)  # import torch now raises
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setitem(sys.modules, "radlite.tabletop.camera", None)
    # by import_module, because `radlite.health` by attribute is the function
    monkeypatch.setattr(importlib.import_module("radlite.health"), "DISK_GB", 1e9)
    monkeypatch.chdir(tmp_path)
    broken = doctor()
    assert broken["status"] == "problem"
    for name in ("device", "cores", "bf16", "ffmpeg", "simulator", "disk"):
        assert _named(broken, name)["status"] == "problem" and _named(broken, name)["fix"], name
    assert "not ready" in format_doctor(broken)


def test_missing_and_outdated_packages(monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "peft":
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.0" if name == "torch" else real(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    monkeypatch.setattr("importlib.metadata.requires", lambda _: ["torch>=2.10", "torchvision>=9; extra == 'x'"])
    broken = doctor()
    assert _named(broken, "peft")["found"] == "not installed"
    assert _named(broken, "torch")["status"] == "problem" and "2.10" in _named(broken, "torch")["fix"]
    assert _named(broken, "mujoco")["status"] == "ok"


def test_too_many_threads_is_a_warning(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 10_000)
    check = _named(doctor(), "cores")
    assert check["status"] == "warning" and "OMP_NUM_THREADS" in check["fix"]


def test_nothing_free_on_the_disk(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    assert _named(doctor(), "disk")["status"] == "problem"


def test_weights_whole_damaged_and_missing(tmp_path):
    folder = tmp_path / "rad"
    assert _weights("rad", tmp_path)[0] == "problem"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    status, found, fix = _weights("rad", tmp_path)
    assert (status, fix) == ("ok", "") and digest[:16] in found
    (folder / "manifest.json").write_text(json.dumps({"adapter_model.safetensors": {"sha256": digest, "bytes": 3}}))
    assert _weights("rad", tmp_path)[0] == "ok"
    (folder / "adapter_model.safetensors").write_bytes(b"abd")
    assert _weights("rad", tmp_path)[0] == "problem"
    (folder / "manifest.json").write_text("[]")
    assert _guarded("weights rad", lambda: _weights("rad", tmp_path))["status"] == "problem"


@pytest.mark.parametrize(("text", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("5.5", (5, 5)), ("4.0.0rc1", (4, 0))])
def test_version_numbers(text, numbers):
    assert _numbers(text) == numbers
