# %% [markdown]
# # Start here: a robot does what it has only seen a hand do
#
# | | |
# |---|---|
# | Goal | watch a policy act, read its reasoning, change the reasoning and see the action change |
# | Minutes on two cores | 1 |
# | Minutes on a GPU | 1, estimated |
# | Peak memory | 0.8 GB |
# | Network | none |
# | At the end you should see | the robot moving, and three pictures with its action under different words |
#
# A robot learns best from robot demonstrations, and these are expensive: somebody has to steer the arm.
# Videos of human hands are cheap, but a hand is not a gripper, and a video holds no motor commands. **RAD**,
# *Reasoning through Action-free Data*, bridges the two with words. Before it acts, the policy writes down
# what it sees, what it plans and which way to move: a *chain of reasoning*. Robot data teaches chain and
# action. A hand's video teaches the chain alone. In this notebook you meet a policy that was trained so. The
# later ones take it apart.
#
# <details><summary>What it looks like at the end</summary>
#
# ![The first picture of a trial three times: with the policy's own action, told to go left, told to go right; the arrow turns round](images/00_told.png)
#
# ![The playground: the scene with boxes and an arrow, and beside it the chain, field by field, open for edits](images/00_playground.png)
#
# </details>

# %%
import os
from pathlib import Path

import mediapy as media

import radlite
from radlite.health import format_doctor

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())

# %% [markdown]
# ## Is this machine ready?
#
# Every line should say ok. A warning tells what to do; most can wait.

# %%
print(format_doctor(radlite.doctor()))

# %% [markdown]
# ## Who acts here?
#
# The policy is a vision-language model (pictures and text in, text out) of about 4 million parameters, small
# enough for two cores, with an *adapter* on top that was trained with RAD on demonstrations in a simulator.
# Both ship with radlite.
#
# The task names a thing that **no robot demonstration has ever held**: the policy has seen it only in human
# hands.

# %%
from radlite.tabletop.env import trials

policy = radlite.load_policy("radlite-tiny", adapter="rad")
scenes = trials("new_object", {"tiny": 1, "laptop": 4, "gpu": 8}[preset], seed=0)
for trial in scenes:
    print(trial.task.instruction)

# %% [markdown]
# ## Does it do it?
#
# Make a guess before you run the next cell: how many of these will it solve? At every step the policy gets
# one picture of 96 by 96 pixels and the instruction (and, from the second step on, the task and plan that it
# wrote at first), writes its chain, and then gives seven numbers: how far to move, how to turn, how wide to
# open.

# %%
outcomes = radlite.rollout(
    radlite.PolicyAgent(policy), scenes, keep=range(len(scenes)), max_steps={"tiny": 4, "laptop": 50, "gpu": 50}[preset]
)
for outcome in outcomes:
    print("done  " if outcome.success else "failed", f"after {outcome.steps:2d} steps:", outcome.trial.task.instruction)

# %% [markdown]
# Some fail. That is normal, and four trials say little about how often; notebook `04_does_it_act` counts
# properly. Look at one that was done (or at the first, if none was): press play, click into the timeline,
# step with the arrow keys. Boxes, text and the dotted path are the policy's own words; the arrow is its
# action on the table's plane.

# %%
shown = next((outcome for outcome in outcomes if outcome.success), outcomes[0])
radlite.play(shown, titles=[shown.trial.task.instruction])

# %% [markdown]
# ## What did it say?
#
# Here is the chain of the first frame as it was written: text, from the abstract (the task) to pixels (where
# the gripper is now and at the next four steps).

# %%
first = shown.thoughts[0]
for field, value in first.reasoning.to_dict().items():
    print(f"{field:>15}: {value}")
print(f"{'action':>15}: {first.action.round(3)}")

# %% [markdown]
# ## Do the words move the arm?
#
# If the chain were mere decoration, changing it would change nothing. So change it. We keep everything that
# the policy said up to the subtask, and put another way after it: once to the left, once to the right. The
# policy goes on from there.
#
# What do you expect of the second number of the action, *dy*? (x is forward, y is left, z is up.)

# %%
env = radlite.TabletopEnv()
picture = env.reset(options={"trial": shown.trial})[0]["image"]
kept = first.reasoning.without("move_reason", "move", "gripper")
ways = {
    "left": "The way is 9 cm left, 0 cm forward, 0 cm up, jaws open.",
    "right": "The way is 9 cm right, 0 cm forward, 0 cm up, jaws open.",
}
chains = [kept.replace(move_reason=way, move=f"move {side}") for side, way in ways.items()]
left, right = policy.predict([picture] * 2, shown.trial.task.instruction, chains)
print(f"told to go left:  dy = {left.action[1] * 100:+.1f} cm")
print(f"told to go right: dy = {right.action[1] * 100:+.1f} cm")

# %%
told = {"its own words": first, "told: left": left, "told: right": right}
media.show_images(
    {title: radlite.draw_prediction(picture, said.reasoning, said.action, size=320, panel=False) for title, said in told.items()}
)

# %% [markdown]
# The same picture and the same instruction, and the arm turns round with the words. In `06_change_its_mind`
# you measure how far this goes, and where it ends.
#
# ## Your turn
#
# Choose the scene *new object*, choose or type a task, press *Run*. Pause, change any field, press *Run*
# again: it goes on from your words, until you press *Release edits*. Then switch to **ECoT**, the same model
# without the human videos, and press *Reset*, or it goes on with RAD's plan. Which of the two can do it?

# %%
radlite.playground(seed=0)

# %% [markdown]
# ## Where to go from here
#
# | notebook | question |
# |---|---|
# | [01_reasoning_chains](01_reasoning_chains.ipynb) | what is in a chain, and what does the model learn from it? |
# | [02_annotate_video](02_annotate_video.ipynb) | how does a video of a hand become such chains, and how good are they? |
# | [03_mixed_data_training](03_mixed_data_training.ipynb) | how are robot and human data mixed? |
# | [04_does_it_act](04_does_it_act.ipynb) | does it work, and how sure can one be? |
# | [05_see_what_it_thinks](05_see_what_it_thinks.ipynb) | what does it see, and how sure is it? |
# | [06_change_its_mind](06_change_its_mind.ipynb) | do the words drive the action? |
# | [07_lora_and_four_bit](07_lora_and_four_bit.ipynb) | which model fits on which card? |
# | [08_your_own_data](08_your_own_data.ipynb) | how do I use a clip, or a dataset, of my own? |
# | [09_the_papers_tables](09_the_papers_tables.ipynb) | which differences are more than chance? |
