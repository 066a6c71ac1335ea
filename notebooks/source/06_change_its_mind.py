# %% [markdown]
# # Change its mind: does the text drive the action?
#
# | | |
# |---|---|
# | Goal | correct a chain while the robot moves, and measure how far the action follows the words |
# | Minutes on two cores | 2 |
# | Minutes on a GPU | 1, estimated |
# | Peak memory | 1.2 GB |
# | Network | none |
# | At the end you should see | "public checks passed", and a signed effect of more than 2 cm, at least five times the floor |
#
# A policy that explains itself is only worth its explanations if they are what it acts on. A chain could also
# be an ornament: written beside an action that was decided on otherwise. There is one way to know. Change the
# words, keep everything else, and look at what the arm does.
#
# <details><summary>What it looks like at the end</summary>
#
# ![Where the gripper was, left alone and told to go right](images/06_paths.png)
#
# </details>

# %%
import os
from pathlib import Path

import numpy as np
import plotly.graph_objects as go

import radlite
import radlite.check
from radlite.tabletop.env import trials

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
steps = {"tiny": 2, "laptop": 12, "gpu": 12}[preset]
policy = radlite.load_policy("radlite-tiny", adapter="rad")

# %% [markdown]
# ## A correction while it moves
#
# `LiveRun` is a robot in a scene, one step at a time. Let it go for some steps, and then say a wrong way for
# some more: the way and the motion are yours, what comes after them is the policy's.

# %%
trial = trials(None, 1, seed=1)[0]
free, corrected = (radlite.LiveRun(policy, trial) for _ in range(2))
print(trial.task.instruction)
for step in range(steps):
    if step == steps // 3:
        corrected.edit(move_reason="The way is 9 cm right, 0 cm forward, 0 cm up, jaws open.", move="move right")
    for run in (free, corrected):
        if not run.done:
            run.step()

# %%
radlite.play(free, corrected, titles=["left alone", "told to go right"])

# %% [markdown]
# Where was the gripper at the end, in centimetres to the left?

# %%
runs = {"left alone": free, "told to go right": corrected}
paths = {name: np.array([moment.state[1] for moment in run.moments]) * 100 for name, run in runs.items()}
figure = go.Figure([go.Scatter(y=y, name=name, mode="lines+markers") for name, y in paths.items()])
figure.add_vline(x=steps // 3, line_dash="dot", annotation_text="from here on told: right")
figure.update_layout(height=300, margin={"t": 30}, xaxis_title="step", yaxis_title="gripper, cm to the left")

# %% [markdown]
# Now release the edit, and the policy speaks for itself again. Does it find back? It sees in every picture
# where it is; only task and plan are remembered.

# %%
corrected.release()
for run in (free, corrected):
    while not run.done and run.steps < 4 * steps:
        run.step()
for name, run in runs.items():
    print(f"{name}: {'solved' if run.success else 'not solved'} after {run.steps} steps")

# %% [markdown]
# ## Which words?
#
# The chain says the direction more than once: as a distance in MOVE REASONING, and as a word in MOVE. Which
# of the two does the action follow? Change one at a time, over several frames, and look at dy (left is
# positive). Guess first.

# %%
data = radlite.EpisodeDataset(root / "data_samples" / "robot")
rng = np.random.default_rng(0)
picked = [data.frame(int(k)) for k in rng.permutation(data.num_frames)[: {"tiny": 2, "laptop": 24, "gpu": 100}[preset]]]


def way(side: str) -> str:
    return f"The way is 6 cm {side}, 0 cm forward, 0 cm up, jaws open."


def acts(change) -> np.ndarray:
    """Motion (n, 3) in metres on the picked frames, each with its true chain changed by `change`."""
    chains = [change(s.reasoning.without("gripper")) for s in picked]
    said = policy.predict([s.image for s in picked], [s.instruction for s in picked], chains)
    return np.stack([p.action[:3] for p in said])


# %%
edits = {
    "MOVE only": lambda chain, side: chain.replace(move=f"move {side}"),
    "MOVE REASONING only": lambda chain, side: chain.replace(move_reason=way(side)),
    "both": lambda chain, side: chain.replace(move_reason=way(side), move=f"move {side}"),
}
for name, edit in edits.items():
    left, right = (acts(lambda chain, side=side: edit(chain, side))[:, 1] * 100 for side in ("left", "right"))
    print(f"{name:>20}: told left {left.mean():+.1f} cm, told right {right.mean():+.1f} cm, ", end="")
    print(f"difference {(left - right).mean():.1f} cm")

# %% [markdown]
# Here it is the word: MOVE changed alone turns the arm round, while another distance before an unchanged MOVE
# does next to nothing. Where the two agree, left and right go equally far; with the word alone, right
# goes less far than left. So a chain can hold words that the action ignores, and only a test like this one tells
# which. That words are read at all, training saw to: part of every batch has no picture, so that way, motion and
# action can only be learnt from words.
#
# ## Measuring it honestly
#
# "The action changed when I changed the text" proves little. *Any* change of the text may shake the numbers a
# bit. So a test of faithfulness needs three:
#
# * a **signed effect**: did the action change *in the direction that the edit names*? Not merely: did it
#   change.
# * a **paraphrase floor**: how much does it change along that direction when the text is changed but its
#   *meaning is not*?
# * an **identity null**: how much when nothing is changed, and one just asks again? Zero for a policy that
#   draws nothing, and a check of your own code.
#
# ## Exercise 1: a signed faithfulness test
#
# Difficulty: 3 of 3. Time: 25 minutes.
#
# The four lists are equally long. `edits[i]` is `chains[i]` told to go into `directions[i]`, a unit vector
# (3,). `paraphrases[i]` says the same as `chains[i]` in another way. `act(chain)` gives the motion (3,) in
# metres, and may answer a little differently every time. All three numbers are means over i, in metres along
# `directions[i]`; motion across it does not count. For the null, call `act(chains[i])` twice. Return a dict
# with just these three keys.
#
# <details><summary>Hint 1</summary>
#
# A difference of motions, projected on a direction: `np.dot(after - before, direction)`. Positive means: the
# arm obeyed.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The effect keeps its sign, for disobedience must count against obedience. Floor and null are sizes: take
# absolute values *before* you average, or shaking to and fro cancels.
#
# </details>

# %%
def faithfulness(act, chains: list, edits: list, paraphrases: list, directions: list) -> dict[str, float]:
    """Does the action follow the text?

    Returns:
        "signed": mean of (act(edit) - act(chain)) along the direction that the edit names, metres;
        "floor": mean size of the same for a paraphrase; "null": mean size when the same chain is asked again.
    """
    # solution: return the dict with "signed", "floor" and "null"
    def shift(others: list) -> np.ndarray:
        rows = zip(chains, others, directions, strict=True)
        return np.array([np.dot(np.subtract(act(other), act(chain)), way) for chain, other, way in rows])

    sizes = {name: float(np.abs(shift(others)).mean()) for name, others in (("floor", paraphrases), ("null", chains))}
    return {"signed": float(shift(edits).mean()), **sizes}
    # end of solution


# %%
radlite.check.faithfulness(faithfulness)

# %% [markdown]
# Try it on the policy. A paraphrase here is the same chain with its boxes listed in another order: nothing is
# said that was not said before.

# %% tags=["exercise"]
chosen = [s for s in picked if len(s.reasoning.bboxes or ()) > 1][: {"tiny": 1, "laptop": 12, "gpu": 50}[preset]]
rows = []
for sample in chosen:
    chain = sample.reasoning.without("gripper")
    act = lambda words, s=sample: policy.predict([s.image], s.instruction, words)[0].action[:3]  # noqa: E731
    told = chain.replace(move_reason=way("left"), move="move left")
    untold = chain.replace(move_reason=way("right"), move="move right")
    again = untold.replace(bboxes=untold.bboxes[::-1])
    rows.append(faithfulness(act, [untold], [told], [again], [np.array([0.0, 1.0, 0.0])]))
print({key: f"{100 * np.mean([row[key] for row in rows]):.2f} cm" for key in ("signed", "floor", "null")})

# %% [markdown]
# An effect of centimetres over a floor of less than a millimetre: this policy acts on what it says about its way.
# That holds for these words and these pictures. Other fields may be ornament. Change `plan`, or the name of
# the thing in the boxes, and test them in the same manner: the three numbers are the same.
#
# ## And the failure that you found?
#
# In [05_see_what_it_thinks](05_see_what_it_thinks.ipynb) you looked for the first wrong word of a failing
# trial. Choose its scene and its number below, correct that word by hand, and see whether the robot then
# succeeds. If so, the word was a cause. If not, look further down the chain.

# %%
radlite.playground(seed=0)
