# %% [markdown]
# # Reasoning chains: what a policy writes before it acts
#
# | | |
# |---|---|
# | Goal | take a chain apart: fields, text, tokens, and which of the tokens carry loss |
# | Minutes on two cores | 1 |
# | Minutes on a GPU | 1, estimated |
# | Peak memory | 0.7 GB |
# | Network | none |
# | At the end you should see | "public checks passed", and a table of every token with its weight in the loss |
#
# A policy that maps pictures straight to motions can only learn from data that has motions. RAD puts words in
# between, and words can be read off any video. This notebook looks at these words with a magnifying glass,
# because all of the method lies in them.
#
# <details><summary>What it looks like at the end</summary>
#
# ![A robot's and a hand's demonstration side by side, with boxes, paths and the chain below](images/01_two_kinds.png)
#
# </details>

# %%
import inspect
import os
from collections import Counter
from pathlib import Path

import mediapy as media

import radlite
import radlite.check
from radlite import Box, EpisodeDataset, Reasoning
from radlite.collate import ROLES, collate, encode_sample

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
robot = EpisodeDataset(root / "data_samples" / "robot")
human = EpisodeDataset(root / "data_samples" / "human")

# %% [markdown]
# ## Two kinds of demonstration
#
# A hand's clip has no actions. Before you look: what else differs from a robot's demonstration, and what is
# the same?

# %%
for data in (robot, human):
    episode = data[0]
    actions = "no actions" if episode.actions is None else f"actions {episode.actions.shape}"
    print(f"{data.embodiment}: {len(data)} episodes; the first: {episode.instruction!r}, {len(episode)} frames, {actions}")

# %% [markdown]
# The human dataset has no column for actions at all. It is tempting to fill in zeros, so that both kinds look
# alike. Do not: a zero is an action too. It says "stay where you are", and a policy learns it as readily as
# any other.

# %%
radlite.play(robot[0], human[0], titles=["robot: " + robot[0].instruction, "hand: " + human[0].instruction])

# %% [markdown]
# ## The fields
#
# A chain has up to eight fields in one order, from the abstract to pixels (ECoT's order; Zawalski et al.
# 2024). Why this order? Each field is written after the ones before it and may lean on them: one has to know
# where the thing is before one can say which way to go.

# %%
sample = robot.frame(6)
for name, value in sample.reasoning.to_dict().items():
    print(f"{name:>15}: {value}")

# %%
media.show_image(radlite.draw_prediction(sample.image, sample.reasoning, sample.action, size=384))

# %% [markdown]
# Look at `subtask_reason`: it says where the gripper is, in pixels and in its height, and then how far the
# thing is from it *in centimetres*. The thing's own pixels stand before it, in `bboxes`. That is a sum which
# the model need not do in its head while it acts: first it reads two places, then it writes the difference,
# then the way follows from that.
#
# ## From fields to text and back
#
# The model sees none of this structure, only text. Can a chain be read back from it unchanged?

# %%
text = sample.reasoning.to_text()
print(text)
assert Reasoning.from_text(text) == sample.reasoning

# %% [markdown]
# A field may be missing: nobody has annotated it, or the policy has not got so far. Absent is not the same as
# empty. A chain without `bboxes` says that nobody looked; one with an empty list says that somebody looked
# and found nothing.

# %%
short = Reasoning(task="pick up the red can", bboxes=())
print(short.to_text())
print(short.replace(bboxes=(Box("red can", (100, 80, 120, 120)),), move="move down").to_text())

# %% [markdown]
# ## From text to tokens
#
# A language model reads *tokens*. In the tiny base every word of its vocabulary, every coordinate (a y with
# the comma before it, shown as `##, 89`) and every length up to 40 cm, such as " 6 cm left", is one token.
# Anything else is spelt. How many of a robot sample's tokens are actions, do you think? Half?

# %%
vlm = radlite.load_vlm("radlite-tiny")
stats = radlite.ActionStats.fit(robot.actions())
batch = collate([sample, human.frame(6)], vlm, stats)
roles = [[ROLES[k] for k in row] for row in batch.roles.tolist()]
for name, row in zip(("robot", "human"), roles, strict=True):
    counts = Counter(row)
    words = sum(n for role, n in counts.items() if role not in ("pad", "image", "prompt"))
    print(f"{name}: {words} tokens after the prompt, of these {counts['action']} of the action;", dict(counts))

# %% [markdown]
# The seven numbers of the action, and the tag before them, are a small part. If every token counted alike,
# the action would drown; so its tokens get a larger *weight* (`CollateConfig.action_weight`).
#
# ## Which tokens carry loss?
#
# In training the model guesses every next token. Its *loss* there is minus the logarithm of the probability
# that it gave to the true one: 0 if it was sure, large if it was surprised. A token *carries loss* if this
# counts. Here is the robot's sequence as the model gets it. The last column is the weight of each token in
# the loss; "-" is none.

# %%
print(radlite.explain_batch(batch, vlm, row=0))

# %% [markdown]
# Now the human's. Read its end and compare: what is not there?

# %%
print(radlite.explain_batch(batch, vlm, row=1))

# %% [markdown]
# The human's sequence simply stops after its reasoning: no `ACTION:`, no action, and also **no end of
# sequence**. Why not even that? An end-of-sequence label there would teach: "after the gripper's path, you
# are done". At the very same place the robot's data says: "now comes the action". A policy that has learnt
# the first stops where it ought to act.
#
# ## Exercise 1: the RAD loss mask
#
# Difficulty: 2 of 3. Time: 15 minutes.
#
# Write the rule down. You get the role of every token of one sequence, and who acts in it; return for each
# token whether it carries loss. Roles are `"image"`, `"prompt"`, the eight names in `radlite.FIELDS` (a
# field's tag, such as `MOVE:`, belongs to the field), `"action_tag"` for `ACTION:` (the tables above count it
# as `action`), `"action"`, `"eos"` (end of sequence) and `"pad"` (what fills short sequences up). Beware:
# somebody may hand you a human sequence to which zero-filled actions and an end of sequence were appended.
# They must not count.
#
# <details><summary>Hint 1</summary>
#
# The prompt and the picture are given at test time. Nobody has to predict them.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which roles teach something true in a human's video? Which only in a robot's?
#
# </details>

# %%
def loss_mask(roles: list[str], embodiment: str) -> list[bool]:
    """Which tokens carry loss.

    Args:
        roles: role of every token, in order.
        embodiment: "robot" or "human".

    Returns:
        One bool a token.
    """
    # solution: return one bool a token, True where the token carries loss
    paid = set(radlite.FIELDS)
    if embodiment == "robot":
        paid |= {"action_tag", "action", "eos"}
    return [role in paid for role in roles]
    # end of solution


# %%
radlite.check.loss_mask(loss_mask)

# %% [markdown]
# ## How the library does it
#
# `radlite` builds the row piece by piece, and says for every piece whether it is paid. Find the lines that
# only a robot's sample gets.

# %%
print(inspect.getsource(encode_sample))

# %% [markdown]
# They stand under the last `if sample.action is not None`: tag, action, end of sequence. (The `if` before it
# is off here. In training it lets robot samples read a made-up gripper path, so that the action is learnt
# from the words and not from the path.) The rest is the same for both, and that is the method: **one model,
# one loss, two kinds of data**.
#
# Next: [02_annotate_video](02_annotate_video.ipynb) makes such chains of a video of a hand;
# [03_mixed_data_training](03_mixed_data_training.ipynb) mixes the two kinds of data and trains.
