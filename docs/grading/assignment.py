"""The exercises as otter-grader assignments: what students get, and what grades them.

    python docs/grading/assignment.py [--out runs/assignment] [--radlite "radlite @ git+<your repository>"]

writes `student.zip` (notebooks without solutions, pictures, data_samples, results) and, for every notebook with exercises,
`autograder/NN_name.zip` with the hidden cases of docs/grading/hidden. docs/teaching.md says how to use them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME, HIDDEN = ROOT / "notebooks", Path(__file__).resolve().parent / "hidden"
CHECK = re.compile(r"radlite\.check\.(\w+)\(")
ASKS = "raise NotImplementedError("


def exercises(home: Path = HOME) -> dict[str, list[str]]:
    """Notebook -> names of its exercises' functions, in order, for students' notebooks that have some."""
    found = {}
    for path in sorted(home.glob("[0-9][0-9]_*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        if any(ASKS in cell for cell in cells):
            found[path.stem] = [name for cell in cells for name in CHECK.findall(cell)]
    return found


def student_zip(out: Path, home: Path = HOME, samples: Path = ROOT / "data_samples") -> Path:
    """All notebooks as students get them, with what they read; no source, no solution, no hidden case."""
    path, files = out / "student.zip", {}
    for file in (*home.glob("[0-9][0-9]_*.ipynb"), *home.glob("images/*.png")):
        files[Path("notebooks") / file.relative_to(home)] = file
    for file in filter(Path.is_file, samples.rglob("*")):
        files[Path("data_samples") / file.relative_to(samples)] = file
    for file in (ROOT / "results" / "paper").glob("*.json"):
        files[file.relative_to(ROOT)] = file
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside in sorted(files):
            archive.write(files[inside], Path("radlite_course") / inside)
    return path


def autograder_zip(notebook: str, functions: list[str], out: Path, radlite: str) -> Path:
    """The autograder of one notebook: hidden cases of its functions, and what Gradescope has to install."""
    from otter.generate import main as generate

    path = out / "autograder" / f"{notebook}.zip"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        tests, config, needs = (Path(folder) / name for name in ("tests", "config.json", "requirements.txt"))
        tests.mkdir()
        for function in functions:
            (tests / f"{function}.py").write_text((HIDDEN / f"{function}.py").read_text(encoding="utf-8"), encoding="utf-8")
        config.write_text(json.dumps({"show_stdout": False, "show_hidden": False}))
        needs.write_text(f"{radlite}\n")
        generate(tests_dir=str(tests), output_path=str(path), config=str(config), requirements=str(needs), no_environment=True)
    return path


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "assignment", help="folder of the zips")
    parser.add_argument("--radlite", default="radlite", help="requirement by which a grading server installs radlite")
    args = parser.parse_args(argv)
    found = exercises()
    missing = sorted({name for names in found.values() for name in names if not (HIDDEN / f"{name}.py").exists()})
    if missing:
        print(f"no hidden cases for {', '.join(missing)}: write docs/grading/hidden/{missing[0]}.py", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    print(f"for students    {student_zip(args.out)}")
    for notebook, names in found.items():
        print(f"for grading     {autograder_zip(notebook, names, args.out, args.radlite)}  ({', '.join(names)})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
