"""Every notebook as it lies in the repository: valid, clean, up to date, complete, and short enough to read."""

from __future__ import annotations

import ast
import importlib.util
import re
import statistics
import sys
import tomllib

import course
import nbformat
import nbstripout
import pytest
from course import HOME, NOTEBOOKS, ROOT, code_cells, functions, read

IMPORTS = {"PIL": "pillow", "IPython": "jupyterlab"}  # import name -> package, where they differ
LONGEST, MEDIAN, WIDEST = 30, 8, 130  # lines of a code cell; characters of a line
PRESET = 'preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"'
LINK = re.compile(r"""\]\(([^)#\s]+)[^)]*\)|\b(?:src|href)=["']([^"'#]+)""")
HEADING = re.compile(r"^## Exercise (\d+): \S.*$", re.MULTILINE)
EFFORT = re.compile(r"^Difficulty: [123] of 3\. Time: (\d+) minutes\.$", re.MULTILINE)
HINT = re.compile(r"<details><summary>Hint \d+</summary>\n\n.+?\n\n</details>", re.DOTALL)
ABSOLUTE = re.compile(r"""(?:^|[\s"'`(=])(?:/[A-Za-z]|~/|[A-Za-z]:[\\/](?![/\\]))""")

build = course.load(HOME / "source" / "build.py")
each = pytest.mark.parametrize("name", NOTEBOOKS)
solutions = pytest.mark.parametrize("name", [name for name in NOTEBOOKS if name.startswith("solutions/")])


def test_there_are_notebooks():
    assert {"00_start_here.ipynb", "solutions/01_reasoning_chains.ipynb"} <= set(NOTEBOOKS)


def test_all_are_up_to_date_with_their_sources():
    stale, orphans = build.differences(HOME)
    assert not stale and not orphans, f"run `make notebooks`: {sorted(stale)}; made by no source: {orphans}"


@each
def test_it_is_valid_and_holds_nothing_of_a_run(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata == build.METADATA  # in particular no "widgets", which keep GitHub from showing it
    assert not any(cell.outputs or cell.execution_count is not None for cell in code_cells(notebook))
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)


@each
def test_nbstripout_would_change_nothing(name):
    """Contributors who let git strip outputs (`nbstripout --keep-id`) get the file that build.py wrote."""
    stripped = nbstripout.strip_output(read(name), keep_output=False, keep_count=False, keep_id=True)
    assert nbformat.writes(stripped).rstrip("\n") + "\n" == (HOME / name).read_text()


@each
def test_its_header_is_complete(name):
    notebook = read(name)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    table = course.header(notebook)
    assert tuple(table) == course.HEADER and all(table.values())
    minutes, memory = course.claims(notebook)
    assert 0 < minutes <= 15 and 100 <= memory <= 3000
    assert table["Network"] == "none" or "only" in table["Network"]


@each
def test_its_size_is_set_in_one_place(name):
    cells = code_cells(read(name))
    assert sum(PRESET in cell.source for cell in cells) == 1 == sum("RADLITE_PRESET" in cell.source for cell in cells)


@each
def test_its_links_lead_somewhere(name):
    folder = (HOME / name).parent
    for cell in read(name).cells:
        if cell.cell_type == "markdown":
            for target in (first or second for first, second in LINK.findall(cell.source)):
                assert re.match(r"https://|mailto:", target) or (folder / target).exists(), target


@each
def test_its_imports_are_declared(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["notebooks"]]
    declared = {re.match(r"[A-Za-z0-9_.-]+", line)[0].lower() for line in lines}
    for cell in code_cells(read(name)):
        for node in ast.walk(ast.parse(cell.source)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                top = module.split(".")[0]
                known = top in sys.stdlib_module_names or IMPORTS.get(top, top.replace("_", "-")) in declared
                assert known or top == "radlite" and importlib.util.find_spec(module), f"{module} is not declared"


@each
def test_its_code_is_short(name):
    lines = [cell.source.splitlines() for cell in code_cells(read(name))]
    assert max(map(len, lines)) <= LONGEST
    assert statistics.median(map(len, lines)) <= MEDIAN or name.startswith("solutions/")  # there the answers count in
    assert max(len(line) for cell in lines for line in cell) <= WIDEST


@each
def test_it_names_no_path_of_one_machine(name):
    for cell in read(name).cells:
        assert not ABSOLUTE.search(cell.source), ABSOLUTE.search(cell.source)[0]


@pytest.mark.parametrize("path", ["x = '/home/me/data'", "open(\"C:\\data\")", "in ~/data", "see /usr/x", "`D:/x`"])
def test_the_check_above_sees(path):
    assert ABSOLUTE.search(path) and not ABSOLUTE.search("a / b, 3/tmp, https://a.org/home, and/or, x = root / 'runs'")


@each
def test_its_exercises_say_what_they_take_and_help(name):
    if name.startswith("solutions/"):
        return
    notebook = read(name)
    places = [k for k, cell in enumerate(notebook.cells) if course.asks(cell)]
    numbers = []
    for k in places:
        text = notebook.cells[k - 1].source
        assert len(HEADING.findall(text)) == 1, f"no exercise is told in the cell before\n{notebook.cells[k].source}"
        asked = text[HEADING.search(text).start() :]
        assert EFFORT.search(asked) and 1 <= int(EFFORT.search(asked)[1]) <= 60 and HINT.search(asked), asked[:100]
        assert asked.count("<details>") == asked.count("</details>") == len(HINT.findall(asked)), "a hint is not closed"
        assert "radlite.check." in notebook.cells[k + 1].source, "the check belongs right after the exercise"
        numbers.append(int(HEADING.search(asked)[1]))
    assert numbers == list(range(1, len(places) + 1))
    assert len(course.checks(notebook)) == len(places) == sum(len(HEADING.findall(cell.source)) for cell in notebook.cells)
    assert bool(places) == (HOME / "solutions" / name).exists()


@solutions
def test_student_and_solution_have_the_same_functions(name):
    student, solution = functions(read(name.removeprefix("solutions/"))), functions(read(name))
    assert student.keys() == solution.keys()
    for function, mine in student.items():
        theirs = solution[function]
        assert ast.unparse(mine.args) == ast.unparse(theirs.args) and ast.get_docstring(mine) == ast.get_docstring(theirs)
        assert ast.dump(mine.returns or ast.Pass()) == ast.dump(theirs.returns or ast.Pass())


@solutions
def test_the_students_copy_holds_no_solution(name):
    student = (HOME / name.removeprefix("solutions/")).read_text()
    assert "# solution" not in student and "# end of solution" not in student
    assert "# solution:" not in (HOME / name).read_text() and "raise NotImplementedError" not in (HOME / name).read_text()
