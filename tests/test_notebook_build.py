"""notebooks/source/build.py on sources of a few lines: two copies, stable ids, and marks that must pair up."""

from __future__ import annotations

import json

import pytest
from course import HOME, asks, code_cells, functions, load, read

from radlite.errors import RadliteError

build = load(HOME / "source" / "build.py")
SOURCE = '''\
# %% [markdown]
# # Twice
#
# [next](01_x.ipynb), ![a](images/a.png), [paper](https://arxiv.org/abs/2502.03729), <img src="images/b.png">, [up](#twice)

# %%
import math

# %% [markdown]
# ## Exercise 1

# %%
def twice(x: int) -> int:
    """Two times x."""
    given = x
    # solution: return "two" times x
    helper = 2 * given

    return helper
    # end of solution


# %%
print(1)

# %% tags=["exercise"]
twice(3)

# %%
print(1)
'''


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "00_twice.py").write_text(SOURCE)
    (folder / "source" / "01_plain.py").write_text("# %% [markdown]\n# # Plain\n\n# %%\nprint(2)\n")
    return folder


def tags(cell):
    return cell.metadata.get("tags", [])


def test_the_student_gets_a_gap_and_the_solution_the_code(home):
    assert build.main(["--home", str(home)]) == 0
    student, solution = read("00_twice.ipynb", home), read("solutions/00_twice.ipynb", home)
    gap = code_cells(student)[1].source
    assert gap.endswith('    given = x\n    raise NotImplementedError("return \\"two\\" times x")')
    assert '"""Two times x."""' in gap
    assert code_cells(solution)[1].source.endswith("    given = x\n    helper = 2 * given\n\n    return helper")
    assert [asks(cell) for cell in code_cells(student)] == [False, True, False, False, False]
    assert not any(map(asks, solution.cells)) and functions(student).keys() == functions(solution).keys() == {"twice"}
    assert not (home / "solutions" / "01_plain.ipynb").exists()


def test_titles_and_links_fit_the_folder(home):
    build.main(["--home", str(home)])
    student, solution = (read(name, home).cells[0].source for name in ("00_twice.ipynb", "solutions/00_twice.ipynb"))
    assert student.startswith("# Twice\n") and solution.startswith("# Twice: solution\n")
    for target in ("01_x.ipynb", "images/a.png", "images/b.png"):
        assert target in student and f"../{target}" not in student and f"../{target}" in solution
    assert "(https://arxiv.org" in solution and "(#twice)" in solution


def test_only_students_copies_go_on_after_an_unwritten_function(home):
    build.main(["--home", str(home)])
    student, solution = (code_cells(read(name, home)) for name in ("00_twice.ipynb", "solutions/00_twice.ipynb"))
    assert [tags(cell) for cell in student] == [
        [], [], ["otter_ignore"], ["exercise", "raises-exception", "otter_ignore"], ["otter_ignore"]]  # fmt: skip
    assert [tags(cell) for cell in solution] == [[], [], [], ["exercise"], []]
    assert [tags(cell) for cell in code_cells(read("01_plain.ipynb", home))] == [[]]


def test_ids_are_unique_and_outlive_an_inserted_cell(home):
    build.main(["--home", str(home)])
    before = [cell.id for cell in read("00_twice.ipynb", home).cells]
    path = home / "source" / "00_twice.py"
    path.write_text(SOURCE.replace("# %%\nimport math\n", "# %%\nimport math\n\n# %%\nmath.pi\n"))
    build.main(["--home", str(home)])
    after = [cell.id for cell in read("00_twice.ipynb", home).cells]
    assert len(set(before)) == len(before) and [k for k in after if k in before] == before and len(after) == len(before) + 1
    assert after == [cell.id for cell in read("solutions/00_twice.ipynb", home).cells]


def test_it_writes_what_changed_and_nothing_else(home, capsys):
    assert build.main(["--home", str(home), "--check"]) == 1 and not list(home.glob("*.ipynb"))
    assert "notebooks/solutions/00_twice.ipynb" in capsys.readouterr().out
    build.main(["--home", str(home)])
    first = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.rglob("*.ipynb")}
    capsys.readouterr()
    assert build.main(["--home", str(home)]) == 0 == build.main(["--home", str(home), "--check"])
    assert capsys.readouterr().out == "" and len(first) == 3
    assert first == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.rglob("*.ipynb")}


def test_a_notebook_that_was_run_is_not_up_to_date(home, capsys):
    build.main(["--home", str(home)])
    path = home / "00_twice.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][1]["execution_count"] = 1
    path.write_text(json.dumps(notebook))
    capsys.readouterr()
    assert build.main(["--home", str(home), "--check"]) == 1 and "00_twice.ipynb" in capsys.readouterr().out


def test_a_notebook_without_a_source_is_named(home, capsys):
    build.main(["--home", str(home)])
    (home / "source" / "01_plain.py").unlink()
    capsys.readouterr()
    assert build.main(["--home", str(home), "--check"]) == 1
    assert "no source makes notebooks/01_plain.ipynb" in capsys.readouterr().out and (home / "01_plain.ipynb").exists()


@pytest.mark.parametrize(
    "cell",
    [
        "def f():\n    # solution: return 1\n    return 1\n",  # never ends
        "def f():\n    return 1\n    # end of solution\n",  # never begins
        "# solution: set x\nx = 1\n# end of solution\n",  # in no function
        "def f():\n    # solution:\n    return 1\n    # end of solution\n",  # does not say what to do
        "def f():\n    # solution: return 1\n        # end of solution\n",  # of another depth
        "def f(x):\n    if x:\n        # solution: return 1\n        return 1\n        # end of solution\n    return 2\n",
        "if 1:\n    # solution: set x\n    x = 1\n    # end of solution\n",
    ],
)
def test_marks_that_make_no_exercise_are_refused(cell, home, capsys):
    with pytest.raises(RadliteError):
        build.student_code(cell, "x.py, cell 1")
    (home / "source" / "02_wrong.py").write_text(f"# %%\n{cell}")
    assert build.main(["--home", str(home)]) == 1 and "02_wrong.py, cell 1" in capsys.readouterr().err


def test_several_functions_may_stand_in_one_cell():
    part = "def {0}():\n    # solution: return {0}\n    return {0}\n    # end of solution\n"
    code = build.student_code(part.format("a") + "\n\n" + part.format("b"), "here")
    assert code.count("raise NotImplementedError") == 2 and "return a" in code and "return b\n    #" not in code
