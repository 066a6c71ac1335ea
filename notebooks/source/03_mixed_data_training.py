# %% [markdown]
# # Mixed-data training: one policy, one loss, two kinds of data
#
# | | |
# |---|---|
# | Goal | mix robot and human demonstrations and train the tiny policy on them with LoRA |
# | Minutes on two cores | 10 |
# | Minutes on a GPU | 3, estimated |
# | Peak memory | 2.9 GB |
# | Network | none |
# | At the end you should see | "public checks passed", and two bars for each field, ECoT and RAD |
#
# Two policies are trained here from the same base on the same robot demonstrations. One, **ECoT**, sees
# nothing else. The other, **RAD**, sees videos of hands on top: chains without actions. Whatever RAD can do
# and ECoT cannot, it has from the hands.
#
# <details><summary>What it looks like at the end</summary>
#
# ![Loss of every field over training steps, ECoT and RAD](images/03_curves.png)
#
# ![Accuracy of every field on clips that neither has seen, ECoT and RAD](images/03_fields.png)
#
# </details>

# %%
import inspect
import os
from pathlib import Path

import radlite
import radlite.check
from radlite import EpisodeDataset, Mixture
from radlite.demo import demo_training
from radlite.show.live_curves import LiveCurves, curves_figure
from radlite.train import train

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
out = root / "runs" / "notebooks" / "03_mixed_data_training" / preset
episodes = {"tiny": 6, "laptop": 160, "gpu": 600}[preset]  # of each kind
steps = {"tiny": 2, "laptop": 120, "gpu": 600}[preset]

# %% [markdown]
# ## Demonstrations
#
# A scripted expert shows the robot's tasks, and a simulated hand shows others: known things on other places
# (`compositional`), things that the robot has never met (`new_object`), and tables that it has never stood at
# (`new_scene`). Both are written as datasets on disk.

# %%
for embodiment in ("robot", "human"):
    if not (out / embodiment).exists():  # a dataset is there whole or not at all
        radlite.collect(out / embodiment, embodiment, episodes, seed=0)
robot = EpisodeDataset(out / "robot").cache()
human = EpisodeDataset(out / "human").cache()
print(f"{robot.num_frames} frames of robots, {human.num_frames} frames of hands")

# %% [markdown]
# Which things does only the hand touch?

# %%
from radlite.tabletop.tasks import parse_task

touched = {data.embodiment: {parse_task(text).thing for text in data.instructions} for data in (robot, human)}
print("only in human hands:", ", ".join(sorted(touched["human"] - touched["robot"])))

# %% [markdown]
# ## The mixture
#
# In what proportion? We found no figure for it in what we could read of the paper. Here it is a parameter:
# `ratio` human samples per robot sample. Two properties matter more than the number:
#
# 1. The order is a **pure function of (seed, step)**. Nothing is remembered between steps, so that a run
#    which was stopped goes on exactly where it was, and you can ask what step 1,000 will see.
# 2. The robot's order **knows nothing of the human data**. Otherwise ECoT and RAD would not only differ in
#    the human data, but also in which robot samples they saw, and nobody could tell what the difference came
#    from.

# %%
ecot_mix = Mixture(robot, None, robot_per_batch=10, seed=0, blind_per_batch=24)
rad_mix = Mixture(robot, human, robot_per_batch=10, ratio=1.1, seed=0, blind_per_batch=24)
for step in (0, 1, 2):
    of_robot, of_human = rad_mix.indices(step)
    same = (of_robot == ecot_mix.indices(step)[0]).all()
    print(f"step {step}: robot {of_robot[:4]}..., human {of_human[:4]}..., the same robot samples as ECoT: {same}")

# %% [markdown]
# (`blind_per_batch` adds robot samples that are read without their picture: they teach cheaply which way and
# which action follow from words.)
#
# ## Exercise 1: the sampler
#
# Difficulty: 3 of 3. Time: 25 minutes.
#
# Write the sampler yourself. `robot` and `human` say how many samples there are. Batch `step` holds
# `robot_per_batch` robot samples and about `ratio` times as many human ones: after any number of batches
# their count is less than one away from batches * `robot_per_batch` * `ratio`, and at ratio 0 there are none.
# Of either kind, every sample is seen once before any is seen again (an *epoch*), in an order shuffled anew
# in each epoch. Another seed gives another order. The robot's order depends neither on `human` nor on
# `ratio`. Make a random generator of your own; leave the shared one alone.
#
# <details><summary>Hint 1</summary>
#
# Think of each kind as an endless stream: the first shuffled epoch, then the second, and so on. Batch `step`
# takes the places `step * n` to `step * n + n - 1` of the stream. What is at place `k`? Epoch `k // size`,
# position `k % size`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `np.random.default_rng([seed, stream, epoch])` gives one shuffle for each epoch of each stream, with no
# memory.
#
# </details>
# <details><summary>Hint 3</summary>
#
# For a ratio of 1.1 and 10 robot samples: how many human samples must all batches before `step` have held
# together? Round that down, and take the difference between two steps.
#
# </details>

# %%
import math

import numpy as np


def mixture_sampler(
    step: int, robot: int, human: int, robot_per_batch: int, ratio: float, seed: int
) -> tuple[list[int], list[int]]:
    """Which samples batch `step` holds: indices below `robot` and indices below `human`."""
    # solution: return the robot's and the human's indices of this step, as a pure function of (seed, step)
    def stream(number: int, first: int, last: int, size: int) -> list[int]:
        order = lambda epoch: np.random.default_rng([seed, number, epoch]).permutation(size)  # noqa: E731
        return [int(order(place // size)[place % size]) for place in range(first, last)]

    before = [math.floor(s * robot_per_batch * ratio + 1e-9) for s in (step, step + 1)]
    return stream(0, step * robot_per_batch, (step + 1) * robot_per_batch, robot), stream(1, *before, human)
    # end of solution


# %%
radlite.check.mixture_sampler(mixture_sampler)

# %% [markdown]
# The library's own is as short:

# %%
print(inspect.getsource(radlite.mixture.draw))
print(inspect.getsource(Mixture.indices))

# %% [markdown]
# ## The loss
#
# There is one loss for both kinds. At every token that carries loss the model pays for the surprise, and that
# is all: no second output, no second network, no alignment between hand and gripper. Where is it decided that
# a human sample has no action? Not here any more: the batch already says so, token by token
# (`01_reasoning_chains`). `demo_training` below changes four things from there. The gripper's path weighs
# only 0.3, for nobody can know it. Robot samples read a made-up path, so that the action is learnt from the
# words. Task and plan carry loss only in the first 12 frames of an episode: later they are given, as when
# the robot acts. And in three of ten rows without a picture, way, motion and action are those of another row,
# against what was seen, so that the action is learnt from the way and from nothing else. These rows go through
# the same loss, and the two are added.

# %%
print(inspect.getsource(radlite.rad_loss))

# %% [markdown]
# ## Training, with LoRA
#
# The base has learnt to see this kind of picture and to compare places, but it has never acted. **LoRA** (Hu
# et al. 2021) leaves the weight matrices as they are and learns beside each a correction that is the product
# of two thin matrices, here of rank 32: less to store, less to forget. Only the vectors of words and of
# action tokens are trained directly, for new names have to get in somewhere. While it trains, watch the
# panels. Which field do you expect to be learnt first, and which stays hard?
#
# You may interrupt the cell: the arm that trains is saved, and the cell goes on with the next one; interrupt
# again to stop that too. Run the cell again, and each goes on where it stopped. Compare them only when both
# have finished.

# %%
config = demo_training(steps)
curves = {arm: LiveCurves(arm) for arm in ("ecot", "rad")}
for arm, mixture in {"ecot": ecot_mix, "rad": rad_mix}.items():
    result = train(radlite.load_vlm("radlite-tiny", device=None), mixture, out / arm, config, on_log=curves[arm])
    print(f"{arm}: {result.steps} steps, {result.seconds:.0f} s")

# %% [markdown]
# Both in one picture, from the logs on disk. Two things are worth finding. The action's loss: half of RAD's
# pictures come without actions; does it learn to act more slowly? And the boxes': the RAD line also holds
# things that ECoT never has to find. The gripper's path stays hard: where it will be in a second, nobody
# knows.

# %%
curves_figure({arm: radlite.read_log(out / arm / "log.jsonl") for arm in ("ecot", "rad")})

# %% [markdown]
# ## What has it from the hands?
#
# A loss on the training data is no answer. So take clips of hands that **neither** has seen, and let both
# write their chains freely. How well do their boxes of what the instruction names, thing and place, overlap
# with the true ones? (1 is perfect, 0 is somewhere else.) Half of the clips show things that ECoT knows, so
# it is not at zero.

# %%
from radlite.show.charts import accuracy_figure

held_out = EpisodeDataset(root / "data_samples" / "human")
count = {"tiny": 4, "laptop": 60, "gpu": 200}[preset]
accuracy = {}
for arm in ("ecot", "rad"):
    policy = radlite.load_policy("radlite-tiny", out / arm)
    accuracy[arm] = radlite.reasoning_accuracy(policy, held_out, count)
    print(arm, {name: round(value, 2) for name, value in accuracy[arm].items()})

# %%
accuracy_figure(accuracy)

# %% [markdown]
# (In our run at `laptop` boxes overlapped by 0.30 for ECoT and 0.64 for RAD.) The hand's clips taught RAD to
# find and name things that no robot has held. Whether it can also *take* them, although no action was ever
# shown with them, is another question. It needs a robot that acts: [04_does_it_act](04_does_it_act.ipynb).
