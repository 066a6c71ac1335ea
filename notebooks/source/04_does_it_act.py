# %% [markdown]
# # Does it act? Success rates, and how far to trust them
#
# | | |
# |---|---|
# | Goal | let ECoT and RAD act in closed loop, count, and say how sure the count is |
# | Minutes on two cores | 4 |
# | Minutes on a GPU | 2, estimated |
# | Peak memory | 1 GB |
# | Network | none |
# | At the end you should see | "public checks passed" twice, and a success rate with its interval for each arm |
#
# A low loss promises nothing. In training every token is written after the *true* tokens before it; in the
# world the policy stands on its own words, mistakes included, and every mistake moves the camera's next
# picture. So it has to act, and we have to count. The RAD paper counts ten trials for each method and task (a
# *cell* of its table). This notebook asks what ten trials can tell.
#
# <details><summary>What it looks like at the end</summary>
#
# ![Success on new objects, ECoT and RAD, with intervals that do not overlap](images/04_rates.png)
#
# </details>

# %%
import os
from pathlib import Path

import plotly.graph_objects as go

import radlite
import radlite.check
from radlite.show.charts import success_figure
from radlite.tabletop.env import trials

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
count = {"tiny": 2, "laptop": 20, "gpu": 100}[preset]
max_steps = {"tiny": 3, "laptop": 50, "gpu": 50}[preset]  # of 0.2 s

# %% [markdown]
# ## Both in the same scenes
#
# The tasks are about things that no robot demonstration holds. `trials(axis, count, seed)` draws scenes by a
# rule that knows no policy, so both meet the very same ones. ECoT has never heard of these things; RAD has
# seen hands take them, without a single action. Your guess?

# %%
scenes = trials("new_object", count, seed=0)
outcomes = {}
for arm in ("ecot", "rad"):
    agent = radlite.PolicyAgent(radlite.load_policy("radlite-tiny", adapter=arm))
    outcomes[arm] = radlite.rollout(agent, scenes, max_steps=max_steps, keep=[0, 1], label=arm)
    print(f"{arm}: {sum(o.success for o in outcomes[arm])} of {count}")

# %%
radlite.play(outcomes["ecot"][0], outcomes["rad"][0], titles=["ECoT", "RAD"])

# %% [markdown]
# ## How sure is that?
#
# Suppose a policy solves 6 of 10. Would you bet that it solves more than half of *all* scenes? The ten were
# drawn by chance; ten others would have given another count. An **interval** says which true rates fit what
# was seen. The textbook's `p +- 1.96 * sqrt(p(1-p)/n)` fails just where robots often are: at 0 of 10 it says
# "0, for certain". Wilson (1927) turned the question round: for which true rates would a count like this one
# be no surprise? With k successes in n trials, $p = k/n$, and $z = 1.96$ for a *95% interval*, a rule that
# over many experiments holds the true rate about 95 times in 100:
#
# $$\frac{p + \frac{z^2}{2n} \pm z\sqrt{\frac{p(1-p)}{n} + \frac{z^2}{4n^2}}}{1 + \frac{z^2}{n}}$$
#
# ## Exercise 1: the Wilson interval
#
# Difficulty: 1 of 3. Time: 10 minutes.
#
# <details><summary>Hint 1</summary>
#
# Check yours at the ends: 0 of 10 gives about (0.00, 0.28), and 10 of 10 the mirror image. Keep both ends in
# [0, 1]: rounding can leave a hair outside.
#
# </details>

# %%
import math


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95% Wilson interval of a success rate, (low, high) in [0, 1]."""
    # solution: return (low, high) by the formula above
    z, p = 1.96, successes / trials
    shrink = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / shrink
    return max(0.0, centre - half), min(1.0, centre + half)
    # end of solution


# %%
radlite.check.wilson_interval(wilson_interval)

# %% [markdown]
# ## The paper's table, with intervals
#
# On tasks seen only in human video the paper has these counts (Clark et al. 2025; added up by us from its
# figures: eight tasks on three axes, ten trials each). Are ECoT and RAD apart? Do the intervals overlap?

# %%
paper = {"ECoT": (27, 80), "ECoT, human gripper path only": (28, 80), "RAD, one axis": (43, 80), "RAD": (45, 80)}
for name, (won, of) in paper.items():
    low, high = radlite.wilson(won, of)
    print(f"{name:>30}: {won} of {of} = {won / of:.0%}  ({low:.0%} to {high:.0%})")

# %% [markdown]
# Now yours:

# %%
cells = {arm.upper(): {"new objects": (sum(o.success for o in said), count)} for arm, said in outcomes.items()}
go.Figure(success_figure(cells, {"new objects": "things seen only in human hands"}))

# %% [markdown]
# (In the larger run of the README, the paper's tables, it was 14 and 157 of 200. Yours may differ by a few: where sums are
# added up in another order, a robot soon takes another path.)
#
# ## A sharper comparison: the same scenes
#
# Both arms met the same scenes, so one can go through them one by one. Scenes that both solve, or both fail,
# say nothing about which one is better. What counts is where they differ.

# %%
pairs = [(e.success, r.success) for e, r in zip(outcomes["ecot"], outcomes["rad"], strict=True)]
only_rad, only_ecot = pairs.count((False, True)), pairs.count((True, False))
differ = only_rad + only_ecot
chance = sum(math.comb(differ, k) for k in range(max(only_rad, only_ecot), differ + 1)) / 2**differ
print(f"both {pairs.count((True, True))}, none {pairs.count((False, False))}, only RAD {only_rad}, only ECoT {only_ecot}")
print(f"if both were equally good, one of them would be ahead this clearly with probability {min(1, 2 * chance):.3f}")

# %% [markdown]
# (This is McNemar's test in its exact form: a coin thrown once for every scene in which the two differ.)
#
# ## How many trials does one need?
#
# You want to say "it solves 60%, give or take 10". How many trials is that? Guess first: 20? 50? 100?

# %%
counts = [10, 20, 40, 80, 160, 320]
halves = [(high - low) / 2 for low, high in (radlite.wilson(round(0.6 * n), n) for n in counts)]
figure = go.Figure(go.Scatter(x=counts, y=[100 * half for half in halves], mode="lines+markers"))
figure.update_xaxes(type="log", title="trials", tickvals=counts).update_yaxes(title="give or take, points", rangemode="tozero")
figure.update_layout(height=300, margin={"t": 10})

# %% [markdown]
# Four times as many trials make the interval half as wide, no more. That is why the paper's ten trials a cell
# can carry "RAD is better than ECoT" pooled over eight cells, and cannot carry "RAD is better on *this*
# task".
#
# ## Exercise 2: how many trials?
#
# Difficulty: 2 of 3. Time: 15 minutes.
#
# Return the smallest number of trials for which the Wilson interval at a share `share` is at most
# `half_width` to each side, on average of both sides. Use `share * n` as it is, without rounding it to whole
# successes.
#
# <details><summary>Hint 1</summary>
#
# Nothing clever is needed: count up from 1 until it fits.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Half of the interval's width is the square root's part of the formula. The centre does not matter.
#
# </details>

# %%
def trials_needed(share: float, half_width: float) -> int:
    """The smallest n whose 95% Wilson interval at `share` has (high - low) / 2 <= half_width."""
    # solution: count n up from 1 until half of the interval's width fits
    n, z = 1, 1.96
    while z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n) > half_width:
        n += 1
    return n
    # end of solution


# %%
radlite.check.trials_needed(trials_needed)

# %% [markdown]
# ## What success would be without skill
#
# One more habit: always run something that *cannot* do the task. If a robot that stands still "succeeds", the
# success rule is broken. If RAD is told to do **another** task and still does the one that is judged, it
# ignores its instruction.

# %%
from radlite.rollouts import RandomAgent, StillAgent, told_another_task

rad = radlite.load_policy("radlite-tiny", adapter="rad")
few = scenes[: {"tiny": 1, "laptop": 8, "gpu": 50}[preset]]
controls = {
    "does nothing": (StillAgent(), few),
    "moves at random": (RandomAgent(seed=0), few),
    "RAD, told another task": (radlite.PolicyAgent(rad), [told_another_task(trial) for trial in few]),
}
for name, (agent, where) in controls.items():
    wins = sum(o.success for o in radlite.rollout(agent, where, max_steps=max_steps, label=name))
    print(f"{name:>22}: {wins} of {len(few)}  (true rate up to {radlite.wilson(wins, len(few))[1]:.0%})")

# %% [markdown]
# Zero of eight still allows a true rate of a third: now you know how to read that. What these intervals do
# **not** cover is the luck of training. Another seed trains another policy, and only more seeds tell how much
# that changes.
#
# Next: [05_see_what_it_thinks](05_see_what_it_thinks.ipynb) looks for the reason of a failure.
