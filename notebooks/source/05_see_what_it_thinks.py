# %% [markdown]
# # See what it thinks: predicted reasoning and actions over video
#
# | | |
# |---|---|
# | Goal | find out, for a frame or a clip, what a policy saw, what it said, how sure it was and where it looked |
# | Minutes on two cores | 2 |
# | Minutes on a GPU | 1, estimated |
# | Peak memory | 1.5 GB |
# | Network | none |
# | At the end you should see | the policy's boxes beside the true ones, and ECoT taking a thing for another whose name RAD is sure of |
#
# When a robot fails, its success rate says *that* it failed. A policy that reasons leaves a trace of *why*:
# the first wrong word of its chain. This notebook is about reading that trace.
#
# <details><summary>What it looks like at the end</summary>
#
# ![Predicted and true chains of one episode side by side in the player](images/05_beside.png)
#
# ![A chain with every token on a ground as dark as the doubt about it](images/05_tokens.png)
#
# </details>

# %%
import os
from pathlib import Path

import mediapy as media
import numpy as np
from plotly.subplots import make_subplots

import radlite
from radlite.introspect import look_inside
from radlite.predict import predict_frames
from radlite.show.charts import accuracy_figure
from radlite.show.tokens import attention_picture, token_table, token_view
from radlite.tabletop.env import trials
from radlite.tabletop.things import NEW_THINGS

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
most = {"tiny": 4, "laptop": 60, "gpu": 60}[preset]  # frames of a clip

# %% [markdown]
# ## Predicted beside true
#
# An episode that the policy has not been trained on, with what was true at every frame. The policy reads the
# same pictures and writes its own chains. It does not act here: whatever it says, the next picture is the
# recorded one. That is kinder than acting, and it lets one compare frame by frame.

# %%
policy = radlite.load_policy("radlite-tiny", adapter="rad")
episode = radlite.EpisodeDataset(root / "data_samples" / "robot")[2]
frames = episode.frames[:most]
said = predict_frames(policy, frames, episode.instruction)
chains, actions = [p.reasoning for p in said], np.stack([p.action for p in said])

# %%
radlite.play((frames, chains, actions), episode, titles=["predicted", "true"])

# %% [markdown]
# Where do the two differ, and since when? One frame, drawn with the truth dashed on top:

# %%
k = len(frames) // 2
media.show_image(radlite.draw_prediction(frames[k], chains[k], actions[k], size=448, truth=episode.reasoning[k]))

# %% [markdown]
# ## Predicted against true actions
#
# Four of the seven numbers are used here: three ways and the jaws. Where the expert moves fast and the policy
# slowly, it may be unsure: what it does is the mean of what it holds possible. Where they have *different
# signs*, it goes the wrong way.

# %%
names = {"dx, cm (forward)": (0, 100), "dy, cm (left)": (1, 100), "dz, cm (up)": (2, 100), "jaws (1 open)": (6, 1)}
figure = make_subplots(rows=1, cols=4, subplot_titles=list(names))
for column, (axis, scale) in enumerate(names.values(), 1):
    lines = {"true": (episode.actions[:most], "black", "solid"), "predicted": (actions, "#d55e00", "dash")}
    for name, (values, colour, dash) in lines.items():
        figure.add_scatter(y=scale * values[:, axis], name=name, line={"color": colour, "dash": dash}, showlegend=column == 1,
                           row=1, col=column)
figure.update_xaxes(title="step").update_layout(height=280, margin={"t": 40, "l": 30, "r": 10})

# %% [markdown]
# ## A hand, not a gripper
#
# The same for a clip of a human hand with a thing that no robot has held. There are no actions to compare
# with: that is the point. But what RAD says can be right or wrong here as well. And ECoT? Its base has seen
# pictures of hands, but neither has met this thing.

# %%
hands = radlite.EpisodeDataset(root / "data_samples" / "human")
clip = next(e for e in hands if any(thing in e.instruction for thing in NEW_THINGS))
both = {"ECoT": radlite.load_policy("radlite-tiny", adapter="ecot"), "RAD": policy}
views = {name: predict_frames(who, clip.frames[:most], clip.instruction) for name, who in both.items()}
print(clip.instruction)

# %%
radlite.play(
    *[(clip.frames[:most], [p.reasoning for p in view]) for view in views.values()], titles=list(views)
)

# %% [markdown]
# ## How sure was it?
#
# A chain looks equally certain everywhere. Under it lies a probability for every token. Below, a doubtful
# token stands on a darker ground; below 50% it is underlined and says its odds. Which tokens do you expect to
# be doubtful: names, numbers, or the words between?

# %%
inside = {name: look_inside(who, clip.frames[0], clip.instruction, clip.reasoning[0]) for name, who in both.items()}
token_view(inside["RAD"])

# %% [markdown]
# That was RAD reading the *true* chain of the clip's first frame. ECoT on the same one:

# %%
token_view(inside["ECoT"])

# %% [markdown]
# Numbers are doubtful by nature: 120 and 122 are neighbours, and nobody knows where a hand will be in a
# second. A doubtful *box of the thing that is asked for* is another matter. The table has what each would
# have said instead. Under it stands the mean surprise: minus the logarithm of the probability, in *nats*, the
# unit of the loss (0.7 nats for a probability of one half).

# %%
token_table(inside["ECoT"], "bboxes")

# %%
for name, one in inside.items():
    surprise = [-np.log(one.tokens[i].probability) for i in one.of("bboxes")]
    print(f"{name}: {np.mean(surprise):.2f} nats of surprise a token of the true boxes")

# %% [markdown]
# ## Where did it look?
#
# While it writes a token, the model's *attention* weighs all tokens before it, and 144 of these are cells of
# the picture. The model has 5 layers, each with 3 *heads*: copies of this weighing that may look at different
# things. Here it is for the first number of the asked-for thing's box, averaged over the heads. Every picture
# is scaled to its own brightest cell, so it does not say how much went to words.

# %%
own = look_inside(policy, clip.frames[0], clip.instruction)
at = next((i for i in own.of("bboxes") if own.tokens[i].text.strip().strip("[").isdigit()), own.of("bboxes")[-1])
maps = own.attention[:, :, at].mean(1)  # (layers, 12, 12)
print("when writing", repr(own.tokens[at].text), "after", repr("".join(t.text for t in own.tokens[at - 5 : at])))
media.show_images({f"layer {i + 1}": attention_picture(clip.frames[0], layer, 200) for i, layer in enumerate(maps)})

# %% [markdown]
# Does the light fall on the thing in some layer? Then it is tempting to say "so that is why it wrote this
# number". Be careful: **attention is not explanation**. It says from where information *could* flow, not what
# was done with it; a head that looks at the thing may add nothing, and one that looks elsewhere may carry
# what an earlier layer has put there (Jain and Wallace 2019). What one can do is change something and see
# whether the outcome changes. That is [06_change_its_mind](06_change_its_mind.ipynb).
#
# ## A failure
#
# Now let it act, in scenes that it often fails: tables that no robot demonstration has shown. Step through
# one that failed. Which is the first wrong word, and at which step?

# %%
numbers = range({"tiny": 1, "laptop": 4, "gpu": 8}[preset])
tries = [trials("new_scene", 1, seed=number)[0] for number in numbers]
agent, longest = radlite.PolicyAgent(policy), {"tiny": 3, "laptop": 50, "gpu": 50}[preset]
outcomes = radlite.rollout(agent, tries, keep=numbers, max_steps=longest)
number = next((k for k in numbers if not outcomes[k].success), 0)
print(f"{sum(o.success for o in outcomes)} of {len(tries)} solved; shown: number {number}")
radlite.play(outcomes[number], titles=[tries[number].task.instruction])

# %% [markdown]
# Note its number: in [06_change_its_mind](06_change_its_mind.ipynb) you can open it in the playground (scene:
# new scene) and correct that word.
#
# ## Over many frames
#
# One clip is an anecdote; here are frames of 18. A text counts only if it is written exactly, so SUBTASK
# REASONING, with its many numbers, is nearly always a pixel or a centimetre off. Boxes count by overlap. So
# do not compare one field with another. Compare ECoT and RAD within a field: where are they farthest apart?

# %%
count = {"tiny": 4, "laptop": 80, "gpu": 400}[preset]
accuracy = {name: radlite.reasoning_accuracy(who, hands, count) for name, who in both.items()}
accuracy_figure(accuracy)
