"""Notebooks from their sources: one py:percent file a lesson makes the student's copy and, if it has exercises, the solution.

    python notebooks/source/build.py            writes the notebooks that changed
    python notebooks/source/build.py --check    writes nothing; exits 1 and names what is not up to date

What an exercise asks for stands between two comment lines inside a function:

    # solution: return one bool a token
    ...
    # end of solution

The solution copy keeps the code and loses the two lines; in the student's copy the whole part becomes
`raise NotImplementedError("return one bool a token")`. docs/teaching.md says how a source is written.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
from pathlib import Path

import jupytext
import nbformat

from radlite.errors import RadliteError

HOME = Path(__file__).resolve().parents[1]  # notebooks/
SOURCES = "[0-9][0-9]_*.py"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
PART = re.compile(r"^([ \t]+)# solution: *(\S.*)\n(?:.*\n)*?\1# end of solution *$", re.MULTILINE)
MARK = re.compile(r"^[ \t]*# (?:solution\b|end of solution\b).*\n?", re.MULTILINE)
LINK = re.compile(r"""(\]\(|\b(?:src|href)=["'])(?![a-z]+:|#|/)""")  # what opens a relative link, in markdown or HTML
IMPORT = re.compile(r"^(?:import|from) ", re.MULTILINE)
USES = "exercise"  # tag of a cell that calls a function the student has yet to write
GOES_ON = "raises-exception"  # Jupyter's own tag: "Run all" does not stop at an error in this cell
UNGRADED = "otter_ignore"  # otter's own tag: not run when a submission is graded


def student_code(source: str, where: str) -> str:
    """A code cell as the student gets it. Raises `RadliteError` where solution marks do not pair up inside a function."""
    code = PART.sub(lambda part: f"{part[1]}raise NotImplementedError({json.dumps(part[2], ensure_ascii=False)})", source)
    if MARK.search(code):
        fix = "write `# solution: <what to do>` and `# end of solution`, both as deep as the function's body"
        raise RadliteError("solution marks in pairs, inside a function", f"{MARK.search(code)[0].strip()!r} in {where}", fix)
    if code != source:
        functions = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.FunctionDef)]
        raises = sum(any(isinstance(line, ast.Raise) for line in function.body) for function in functions)
        if raises < len(PART.findall(source)):
            raise RadliteError("one solution part a function, as deep as the function's body", f"another place in {where}",
                               "move the two marks")
    return code


def _tags(cell: nbformat.NotebookNode, asked: bool, student: bool, graded: bool) -> list[str]:
    """Tags of a cell in one of the copies; `asked`: it holds a solution part, `graded`: the notebook has exercises."""
    tags = [tag for tag in cell.metadata.get("tags", []) if tag not in (GOES_ON, UNGRADED)]
    if student and USES in tags:
        tags.append(GOES_ON)
    if student and graded and cell.cell_type == "code" and not asked and not IMPORT.search(cell.source):
        tags.append(UNGRADED)
    return tags


def _copy(name: str, cells: list[nbformat.NotebookNode], student: bool) -> str:
    """One of the two copies as the text of its file."""
    parts = [bool(PART.search(cell.source)) for cell in cells]
    made, seen = [], set()
    for k, (cell, asked) in enumerate(zip(cells, parts, strict=True)):
        text = cell.source
        if cell.cell_type == "code":
            without = student_code(text, f"{name}.py, cell {k + 1}")  # checks the marks in either case
            text = without if student else MARK.sub("", text)
        elif not student:
            text = LINK.sub(r"\1../", text)  # it lies one folder deeper
            text = re.sub(r"^# (.*)$", r"# \1: solution", text, count=1, flags=re.MULTILINE) if k == 0 else text
        new = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        tags = _tags(cell, asked, student, any(parts))
        made.append(new(text.rstrip(), id=_identity(name, cell, seen), metadata={"tags": tags} if tags else {}))
    notebook = nbformat.v4.new_notebook(cells=made, metadata=METADATA)
    notebook.nbformat_minor = 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _identity(name: str, cell: nbformat.NotebookNode, seen: set[str]) -> str:
    """An id that depends on the notebook and the cell's content, so that inserting a cell changes no other one."""
    count = 0
    while (found := hashlib.sha256(f"{name}\0{cell.cell_type}\0{cell.source}\0{count}".encode()).hexdigest()[:12]) in seen:
        count += 1  # the same content again
    seen.add(found)
    return found


def build(source: Path) -> dict[str, str]:
    """The notebooks of one source: path below notebooks/ -> text of the file."""
    cells = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells
    name, exercises = source.stem, any(PART.search(cell.source) for cell in cells)
    found = {f"{name}.ipynb": _copy(name, cells, student=True)}
    if exercises:
        found[f"solutions/{name}.ipynb"] = _copy(name, cells, student=False)
    return found


def differences(home: Path) -> tuple[dict[str, str], list[str]]:
    """Notebooks that are not what their source says (path -> new text), and notebooks that no source makes."""
    wanted = {path: text for source in sorted((home / "source").glob(SOURCES)) for path, text in build(source).items()}
    present = {path.relative_to(home).as_posix(): path
               for folder in (home, home / "solutions") for path in folder.glob("[0-9][0-9]_*.ipynb")}
    stale = {path: text for path, text in wanted.items()
             if path not in present or present[path].read_bytes() != text.encode()}
    return stale, sorted(set(present) - set(wanted))


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes the notebooks from notebooks/source/*.py.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is not up to date")
    parser.add_argument("--home", type=Path, default=HOME, help="the folder of the notebooks (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        stale, orphans = differences(args.home)
    except RadliteError as error:
        print(error, file=sys.stderr)
        return 1
    for path, text in stale.items():
        if not args.check:
            (args.home / path).parent.mkdir(exist_ok=True)
            (args.home / path).write_bytes(text.encode())
        print(f"{'not up to date, run `make notebooks`:' if args.check else 'wrote'} {args.home.name}/{path}")
    for path in orphans:
        print(f"no source makes {args.home.name}/{path}: delete it, or write its source")
    return 1 if args.check and (stale or orphans) else 0


if __name__ == "__main__":
    sys.exit(main())
