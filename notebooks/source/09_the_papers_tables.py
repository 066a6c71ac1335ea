# %% [markdown]
# # The paper's tables: which difference is one?
#
# | | |
# |---|---|
# | Goal | read the arms of eleven that are done, in tables of hundreds of trials, test a difference yourself, and do one cell again |
# | Minutes on two cores | 3 |
# | Minutes on a GPU | 2, estimated |
# | Peak memory | 1.2 GB |
# | Network | none |
# | At the end you should see | "public checks passed", and a cell of your own |
#
# The RAD paper compares four methods with ten trials a task, and no seeds. A simulator never gets tired: here
# are more arms, hundreds of trials a cell, and the controls that a robot laboratory seldom has time for. Every
# figure of ours in the tables is read from files that `radlite experiment paper` wrote; nobody typed one in.

# %%
import math
import os
from dataclasses import replace
from pathlib import Path

from IPython.display import Markdown

import radlite
import radlite.check
from radlite.experiment import paper
from radlite.experiment.arms import ARMS
from radlite.experiment.cells import TABLES, cells
from radlite.experiment.figures import figure
from radlite.experiment.results import Count, Results, missing
from radlite.experiment.run import Experiment
from radlite.experiment.scale import SCALES
from radlite.experiment.tables import markdown
from radlite.tabletop.env import trials

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
count = {"tiny": 2, "laptop": 20, "gpu": 100}[preset]
max_steps = {"tiny": 3, "laptop": 50, "gpu": 50}[preset]  # of 0.2 s

# %% [markdown]
# ## The arms
#
# An *arm* is one way to train. All but `floor`, `bc` and `oracle` see the same robot samples in the same order;
# what differs is what comes on top. Before you read on, write down an order: which arm does best on tasks that only a hand has shown, and
# which is no better than `ecot`, the policy without any human video? `rad-shuffled` sees as much video and as
# many words as `rad`, but the words belong to other clips.

# %%
rows = "\n".join(f"| {name} | {arm.about} |" for name, arm in ARMS.items())
Markdown(f"| arm | trained on |\n|---|---|\n{rows}")

# %% [markdown]
# ## Tasks seen only in human video
#
# The numbers in brackets are 95% intervals. The last columns hold what the paper reports, where it has the
# same arm.

# %%
results = Results.read(root / "results" / "paper")
Markdown(markdown("transfer", results))

# %%
figure("transfer", results)

# %% [markdown]
# What is not done yet is not there, rather than guessed. This is what a full run holds beyond it:

# %%
left = missing(results, cells(SCALES["full"]))
for table in dict.fromkeys(cell.table for cell in left):
    arms = list(dict.fromkeys(cell.arm for cell in left if cell.table == table))
    print(f"{table}: {sum(cell.table == table for cell in left)} cells missing, of {', '.join(arms)}")

# %% [markdown]
# ## Exercise 1: could both counts come from one rate?
#
# Difficulty: 2 of 3. Time: 20 minutes.
#
# Two arms have 2 of 10 and 5 of 10. Suppose that they are equally good, and that seven of the twenty trials
# would have succeeded in any case. How often would chance share them out as unevenly as that, or more?
#
# With `wins` successes in all, k of them fall to the first arm with the probability
# `comb(trials, k) * comb(other_trials, wins - k) / comb(trials + other_trials, wins)`. Add up the
# probabilities of every possible k that is *no more probable* than the one found. That sum is p, Fisher's
# exact test.
#
# <details><summary>Hint 1</summary>
#
# k cannot exceed `trials` or `wins`, and `wins - k` cannot exceed `other_trials`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two tables that mirror each other are equally probable, but not always to the last digit. Compare with
# `<= found * (1 + 1e-7)`.
#
# </details>


# %%
def fisher_test(successes: int, trials: int, others: int, other_trials: int) -> float:
    """Two-sided p-value of Fisher's exact test for two counts."""
    # solution: return p, from math.comb
    wins, total = successes + others, trials + other_trials
    possible = range(max(0, wins - other_trials), min(wins, trials) + 1)
    chance = {k: math.comb(trials, k) * math.comb(other_trials, wins - k) / math.comb(total, wins) for k in possible}
    return sum(p for p in chance.values() if p <= chance[successes] * (1 + 1e-7))
    # end of solution


# %%
radlite.check.fisher_test(fisher_test)

# %% [markdown]
# Now the paper's own counts, pooled over its eight tasks. Which of its differences are more than chance?

# %%
ecot = Count(*paper.pooled("transfer", "ecot"))
for arm in ("ecot-gt", "rad-a", "rad"):
    mine = Count(*paper.pooled("transfer", arm))
    print(f"{arm:>8} {mine}, ecot {ecot}: p = {mine.p(ecot):.3f}")

# %% [markdown]
# `rad` and `rad-a` are 45 and 43 of 80: the paper cannot tell whether clips of other axes help. How many trials
# an arm would that take? `trials_needed` of [04_does_it_act](04_does_it_act.ipynb) knows.
#
# ## One cell again
#
# The RAD that ships with radlite is the one in the table. So let it act in the first scenes of the cell `transfer`,
# `new_object`: same policy, same scenes, same seeds. Before you run it, guess: in how many trials will it end as
# it did there?

# %%
agent = radlite.PolicyAgent(radlite.load_policy("radlite-tiny", adapter="rad"))
acted = radlite.rollout(agent, trials("new_object", count, seed=0), max_steps=max_steps, label="shipped rad")
[stored] = results.where(table="transfer", arm="rad", variant="", axis="new_object", seed=0)
here = [o.success for o in acted]
there = [mark == "1" for mark in stored["metrics"]["outcomes"][:count]]
print(f"here  {Count(sum(here), count)}\nthere {Count(sum(there), count)}")
print(f"the same in {sum(a == b for a, b in zip(here, there, strict=True))} of {count} trials")

# %% [markdown]
# One machine with one set of weights does the same in all. Another processor adds up in another order, and the
# shipped weights are rounded to bf16: a word that is all but as likely as the next is then another word, and a
# trial that hung on it ends otherwise. On a second machine 18 of 20 were the same. Nothing in this favours
# success or failure, so the *rate* stays about what it was: a cell counts trials, and one trial proves nothing.
#
# ## A cell from nothing
#
# And this is all of it in little: datasets, a training of two steps, two trials, a file. Its figures mean
# nothing, its path is that of the large ones. Asked again, it does nothing: the cell is there.

# %%
folder = root / "runs" / "notebooks" / "09_the_papers_tables"
experiment = Experiment(folder / "cells", SCALES["tiny"], folder / "work", workers=0)
cell = cells(experiment.scale, ["transfer"], ["ecot"])
print("done now:", [c.name for c in experiment.run(cell)])
print("done now:", [c.name for c in experiment.run(cell)])
print(experiment.path(cell[0]).read_text()[:420])

# %% [markdown]
# Same seed, same counts: remove the file, run again, and compare. Another seed, another count; how much another
# tells how much to believe a single one.

# %%
before = Results.read(experiment.out)[0]
experiment.path(cell[0]).unlink()
experiment.run(cell)
assert Results.read(experiment.out)[0]["successes"] == before["successes"]
larger = replace(SCALES["small"], trials=100)
print(f"a class could do {len(cells(larger))} cells of {larger.trials} trials:")
print(f"radlite experiment paper --scale small --trials {larger.trials}")

# %% [markdown]
# ## The other tables
#
# Each ends with a paragraph on what it does and does not show. Which of them would change how you record your
# next dataset?

# %%
others = [name for name in TABLES if name != "transfer" and results.where(table=name)]
Markdown("\n\n".join(markdown(name, results) for name in others) or "none of them is done yet")

# %% [markdown]
# To add an arm of your own takes a few lines: docs/add-an-arm.md in the repository. Think of the control
# first: what would you have to see to believe that your idea does *not* work?
