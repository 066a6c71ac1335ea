"""What the repository says about itself is true: dependencies, file tree, sizes, entry points, forbidden calls."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import socket
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "radlite"
LIMIT_MB = 20
CONDA_NAMES = {"pytorch": "torch", "python-kaleido": "kaleido"}  # conda-forge -> PyPI, where they differ
CONDA_ONLY = {"pip"}
IMPORT_NAMES = {"PIL": "pillow", "imageio_ffmpeg": "imageio-ffmpeg", "yaml": "pyyaml"}
FIXED = "jupyterlab ipywidgets torch transformers peft bitsandbytes datasets plotly mediapy".split()
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
GENERATED = {".venv", ".venv-lerobot", ".venv-hands", ".git", "runs", "build", "dist", "__pycache__"}


@cache
def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@cache
def _files() -> tuple[Path, ...]:
    """Files of the repository, relative: what git tracks or would; without git, all that is not generated."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, text=True) if (ROOT / ".git").exists() else None
    if done and done.returncode == 0:
        return tuple(Path(name) for name in done.stdout.split("\0") if name and (ROOT / name).is_file())
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return tuple(path for path in paths if not GENERATED & set(path.parts) and not _is_cache(path))


def _is_cache(path: Path) -> bool:
    return any(part.endswith("_cache") or part.endswith(".egg-info") or part == ".hypothesis" for part in path.parts)


def _requirement(line: str) -> tuple[str, str]:
    """ "torch>=2.10" -> ("torch", ">=2.10"), spaces, extras and order of bounds aside."""
    name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[.*\])?(.*)", line.replace(" ", "")).groups()
    return name.lower(), ",".join(sorted(bounds.split(",")))


def _declared(*without: str) -> dict[str, str]:
    lines = list(_project()["dependencies"])
    lines += [line for name, extra in _project()["optional-dependencies"].items() if name not in without for line in extra]
    return dict(map(_requirement, lines))


def _conda() -> dict[str, str]:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = [line for line in listed if isinstance(line, str)]
    lines += [line for part in listed if isinstance(part, dict) for line in part["pip"] if not line.startswith("-")]
    found = dict(map(_requirement, lines))
    return {CONDA_NAMES.get(name, name): bounds for name, bounds in found.items() if name not in CONDA_ONLY}


# ------------------------------------------------------------------------------------------------ dependencies
def test_environment_and_pyproject_agree():
    python = ",".join(sorted(_project()["requires-python"].split(",")))
    # what only teachers need, or whoever has a cluster, is not in everybody's environment
    assert _conda() == {**_declared("grading", "ray"), "python": python}


def test_environment_comes_from_conda_forge_and_installs_radlite():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "-e ." in [line for part in environment["dependencies"] if isinstance(part, dict) for line in part["pip"]]
    assert set(FIXED) <= set(_conda())


def test_constraints_pin_declared_packages_and_all_of_the_core():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(_requirement(line) for line in lines if line.strip() and not line.startswith("#"))
    assert all(bounds.startswith("==") for bounds in pins.values())
    core = dict(map(_requirement, _project()["dependencies"]))
    assert set(core) <= set(pins) <= set(_declared())
    assert next(iter(pins.items())) == ("torch", "==2.13.0")


def test_imports_of_the_package_are_core_dependencies():
    core = dict(map(_requirement, _project()["dependencies"]))
    for path in PACKAGE.rglob("*.py"):
        for module in _imports(path) - set(sys.stdlib_module_names) - {"radlite"}:
            optional = module in {"bitsandbytes", "datasets", "mediapy", "IPython", "anywidget", "ipywidgets", "traitlets", "ray"}
            assert IMPORT_NAMES.get(module, module) in core or optional, f"{path.name} imports {module}"


def test_no_index_is_named():
    """Where packages come from is the user's choice; an address here would override it."""
    for name in ("Makefile", "constraints.txt", "environment.yml", "pyproject.toml", ".ci/run"):
        text = (ROOT / name).read_text()
        assert not re.search(r"index-url|find-links|https?://", text), name


# ------------------------------------------------------------------------------------------------ README
def _tree() -> set[str]:
    """Paths of the file tree in README.md; folders end with a slash."""
    blocks = re.findall(r"```\w*\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    lines = next(block for block in blocks if "├──" in block).splitlines()
    parents: list[str] = []
    found = set()
    for line in lines:
        match = re.match(r"([│ ]*)[├└]── (\S+)", line)
        if match is None:
            assert line.strip() in (".", ""), f"not a line of a file tree: {line!r}"
            continue
        depth, name = len(match[1]) // 4, match[2]
        parents[depth:] = [name]
        found.add("".join(parents[:depth]) + name)
    return found


def test_every_path_of_the_file_tree_exists():
    missing = sorted(path for path in _tree() if not (ROOT / path).exists())
    wrong = sorted(path for path in _tree() if (ROOT / path).is_dir() != path.endswith("/") and path not in missing)
    assert not missing and not wrong, f"in README.md but not here: {missing}; file or folder mixed up: {wrong}"


def test_the_file_tree_leaves_nothing_out():
    folders = {f"{path.parts[0]}/" for path in _files() if len(path.parts) > 1}
    inside = {path for path in _files() if path.parts[0] == "radlite" and len(path.parts) > 1}
    modules = {f"radlite/{path.parts[1]}" + ("/" if len(path.parts) > 2 else "") for path in inside}
    tree = _tree() | {f"{path.split('/')[0]}/" for path in _tree() if "/" in path}
    assert not sorted((folders | modules) - tree), "not in the file tree of README.md"


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if not t.startswith("http")]
    assert "docs/picture.png" in targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_readme_is_finished():
    assert "TODO" not in (ROOT / "README.md").read_text()


# ------------------------------------------------------------------------------------------------ files and code
def test_no_large_file():
    sizes = {str(path): (ROOT / path).stat().st_size for path in _files()}
    assert not {path: size for path, size in sizes.items() if size > LIMIT_MB * 1e6}


def _imports(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    plain |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain}


def _forbidden(source: str) -> list[str]:
    """What could run code out of a file: pickles, torch.load, remote code, exec."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            found.append("torch.load")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("exec", "eval"):
            found.append(node.func.id)
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            found += [] if value is False else [node.arg]
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in PICKLES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            found.append(node.module)
        if isinstance(node, ast.ImportFrom) and node.module == "torch" and "load" in [a.name for a in node.names]:
            found.append("torch.load")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_package_runs_no_code_out_of_files(path):
    assert not _forbidden(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "f(trust_remote_code=True)",
        "f(trust_remote_code=flag)",
        "np.load('x', allow_pickle=True)",
        "exec('1')",
    ],
)
def test_the_check_above_sees(source):
    assert _forbidden(source)
    assert not _forbidden("model.eval()\nf(trust_remote_code=False)\nload_file('x')")


# ------------------------------------------------------------------------------------------------ entry points
def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_module_and_command_are_the_same():
    script = Path(sys.executable).with_name("radlite")
    assert script.exists(), "radlite is not installed beside this Python: pip install -c constraints.txt -e ."
    text = _run(sys.executable, "-m", "radlite", "--help")
    assert text == _run(str(script), "--help")
    for command in "demo collect train evaluate predict report data experiment doctor".split():
        assert command in text


def test_installed_metadata_matches_the_file():
    """An edited pyproject.toml that was not installed again would make every other check look at old facts."""
    lines = [line.split(";")[0] for line in importlib.metadata.requires("radlite") or [] if "extra ==" not in line]
    assert dict(map(_requirement, lines)) == dict(map(_requirement, _project()["dependencies"]))


def test_public_names_are_importable_and_documented():
    import radlite

    for name in (*radlite.__all__, *radlite.__all__):  # twice: the first look imports the module, which may hide it
        value = getattr(radlite, name)
        assert not isinstance(value, ModuleType), f"radlite.{name} is hidden by the module of the same name"
        assert not callable(value) or (value.__doc__ or "").strip(), f"radlite.{name} has no docstring"


# ------------------------------------------------------------------------------------------------ offline
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tests_are_offline(family):
    with socket.socket(family) as sock, pytest.raises(RuntimeError, match="offline"):
        sock.connect(("127.0.0.1", 9))
    with pytest.raises(RuntimeError, match="offline"):
        socket.getaddrinfo("localhost", 80)


def test_local_processes_may_still_talk():
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"
