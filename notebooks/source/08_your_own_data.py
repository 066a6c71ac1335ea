# %% [markdown]
# # Your own data: from a phone's video or a LeRobot dataset to a policy
#
# | | |
# |---|---|
# | Goal | make a human episode of a video, find what is wrong with a robot dataset, and train on both |
# | Minutes on two cores | 2 |
# | Minutes on a GPU | 1, estimated |
# | Peak memory | 1.5 GB |
# | Network | none |
# | At the end you should see | "public checks passed" twice, and a policy that finds the thing of the video by the name that you gave it |
#
# Until here all data came from the simulator and was in order. Yours will not be. Two kinds can be had: clips
# that you film yourself, which have no actions and no reasoning, and robot datasets of other people, which
# have actions and whatever went wrong while they were recorded. In this notebook both become something that
# one can train on. Most of the work is looking.
#
# <details><summary>What it looks like at the end</summary>
#
# ![Frames of the clip, twice: the shipped policy boxes the milk, the one trained on the clip boxes the bee](images/08_both.png)
#
# </details>

# %%
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
from plotly.subplots import make_subplots

import radlite
import radlite.check
from radlite import Box, EpisodeDataset, Mixture, RadliteError, Reasoning
from radlite.cli import main
from radlite.demo import demo_training
from radlite.evaluate import iou
from radlite.export import export
from radlite.show.live_curves import LiveCurves
from radlite.train import train
from radlite.views import together

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
out = root / "runs" / "notebooks" / "08_your_own_data" / preset
steps = {"tiny": 2, "laptop": 40, "gpu": 40}[preset]

# %% [markdown]
# Here you say which clip. `None` takes a **stand-in**: a simulated hand, written into a video file as a phone
# would write it. Nothing else in this notebook knows the difference, and a real clip takes the same way. Come
# back to this cell with a clip of your own when you have seen the whole.

# %%
my_clip = None  # or the file of your own clip, for example root / "my_clip.mp4"
my_instruction = "put the bee in the tray"  # what is done in it


def fresh(name: str) -> Path:
    """A place below `out` with nothing in it."""
    shutil.rmtree(out / name, ignore_errors=True)
    return out / name


def run(*words: object) -> None:
    """What the command `radlite` prints when these words follow it in a terminal."""
    words = [os.path.relpath(word) if isinstance(word, Path) else str(word) for word in words]
    print("$ radlite", *(f"'{word}'" if {" ", "*"} & set(word) else word for word in words))
    main(words)


# %% [markdown]
# ## A clip becomes an episode
#
# The stand-in is 288 pixels wide and 512 tall, 30 frames a second. (The simulator's hand is filmed from where
# the robot's camera is. Do the same with yours: the camera fixed, everything in the middle square of the
# picture, one task a clip, a few seconds long.) In it a hand takes something small with stripes. The simulator
# calls it a tiger, and so does all data of this course. We call it a **bee**: a word that no policy here has
# ever learnt, as your clips will hold things that nobody has taught it.

# %%
if my_clip is None:
    radlite.collect(fresh("filmed"), "human", 1, axes=("new_object",), seed=82, size=288, progress=False)
    film = EpisodeDataset(out / "filmed")[0]
    upright = np.pad(film.frames, [(0, 0), (112, 112), (0, 0), (0, 0)], mode="edge")
    clip = radlite.write_mp4(out / "stand_in.mp4", np.repeat(upright, 6, axis=0), fps=30)
else:
    clip = Path(my_clip)

# %%
run("data", "import-video", clip, fresh("clip"), "--instruction", my_instruction)

# %% [markdown]
# Of thirty frames a second, five were kept. Why five, and not all? A robot's action in these datasets is the
# change over a fifth of a second. "Next" has to mean the same time for hand and robot, or the words *lower*
# and *lift* come too early. The middle square was cut out (`--pad` would keep the whole picture between black
# bars) and made 256 by 256.

# %%
mine = EpisodeDataset(out / "clip")[0]
radlite.play(mine)

# %% [markdown]
# The panel beside the picture is empty. What does that mean for training? Guess what the next command says
# about this dataset, and whether it counts as fit.

# %%
run("data", "validate", out / "clip")

# %% [markdown]
# An episode without actions is welcome. One without actions **and** without words teaches nothing at all.
#
# ## Words for it
#
# So somebody has to write the chain. `radlite annotate` lets machines do it: one finds hands, one finds
# things, one finds words (notebook `02_annotate_video` opens them up). To judge what they write, do it by
# hand once, here for the first 12 frames. Move the mouse over the pictures: x and y are pixels of the 256 by
# 256 frame, the unit of every chain.

# %%
looked_at = [0, 4, 9]
figure = make_subplots(1, 3, subplot_titles=[f"frame {k}" for k in looked_at])
for column, k in enumerate(looked_at, 1):
    figure.add_trace(go.Image(z=mine.frames[k, ::2, ::2], dx=2, dy=2, hoverinfo="x+y"), row=1, col=column)
figure.update_layout(height=360, margin={"l": 20, "r": 10, "t": 40, "b": 20})

# %% [markdown]
# Three sorts of notes are enough. *Things*: the box of what the instruction names (they do not move before
# they are grasped). *Said*: from which frame on which subtask and which motion. *Hand*: where thumb and
# fingers meet, in some frames; between these the hand is taken to go in a straight line. The words are those
# of the other data. Call the same thing by two names, and the policy learns two things.
#
# Two fields stay empty: SUBTASK REASONING and MOVE REASONING speak of centimetres, and one picture does not
# tell them. What you do not know, leave out; never guess it.

# %%
about = "stand_in.mp4"  # the clip that these notes are about
until = 12  # frames that they cover
things = (Box("bee", (115, 63, 139, 95)), Box("tray", (104, 123, 173, 187)))
said = {0: ("move above the bee.", "move forward left"), 5: ("lower onto the bee.", "move down"),
        9: ("grasp the bee.", "close gripper")}  # fmt: skip
hand = {0: (238, 168), 3: (143, 68), 5: (132, 33), 6: (132, 52), 9: (132, 68), 11: (137, 68), 12: (138, 47), 15: (150, 103)}
plan = "1. reach the bee 2. grasp it 3. put it in the tray 4. let go."

if clip.name != about:
    raise ValueError(f"these notes are about {about}: look at the frames of {clip.name} and write your own")

# %% [markdown]
# A chain is a `Reasoning`. Its `gripper` is a path: this frame and the next four. That is the one thing in a
# human chain that speaks of motion in pixels, and it costs no robot.


# %%
def chain(frame: int) -> Reasoning:
    """What the notes say of a frame."""
    subtask, move = said[max(k for k in said if k <= frame)]
    x, y = ([place[axis] for place in hand.values()] for axis in (0, 1))
    path = tuple((round(np.interp(k, list(hand), x)), round(np.interp(k, list(hand), y))) for k in range(frame, frame + 5))
    return Reasoning(f"{my_instruction}.", plan, things, subtask=subtask, move=move, gripper=path)


written = replace(mine, frames=mine.frames[:until], reasoning=[chain(k) for k in range(until)])
radlite.write_dataset(fresh("mine"), [written], origin="a clip, annotated by hand", license="other")
run("data", "validate", out / "mine")

# %%
radlite.play(written)

# %% [markdown]
# `passed`. But a table of checks sees whether a box lies in the frame, not whether a bee lies in the box.
# For the stand-in we can do what is impossible with a real clip: ask the simulator, which knows. How well do
# the notes agree with it, in your guess? Above all, how many of the motions?

# %%
if my_clip is None:
    pairs = list(zip(written.reasoning, film.reasoning[:until], strict=True))
    boxes = [iou(box.xyxy, true.xyxy) for a, b in pairs for box, true in zip(a.bboxes, b.bboxes, strict=False)]  # of two things
    print(f"boxes overlap by {np.mean(boxes):.2f} (1 is perfect)")
    print(f"hand: {np.median([np.hypot(*np.subtract(a.gripper[0], b.gripper[0])) for a, b in pairs]):.0f} pixels away")
    subtasks = sum(a.subtask.replace("bee", "tiger") == b.subtask for a, b in pairs)
    print(f"subtask: the same in {subtasks} of {until} frames; move: in {sum(a.move == b.move for a, b in pairs)}")

# %% [markdown]
# Boxes are easy, moments are hard: when exactly does *grasp* become *lift*? Two people who annotate the same
# clip differ there, too. Count how much, before you blame a policy for it.
#
# ## A robot's dataset
#
# Nobody films actions with a phone. They come from a robot, and most people keep theirs in the
# **LeRobotDataset v3** layout: `meta/` tells what is there, `data/` holds a row a frame. `data_samples/robot`
# is one. Read its table of features. One line of it is missing in a human dataset: which?

# %%
robot = root / "data_samples" / "robot"
info = json.loads((robot / "meta" / "info.json").read_text())
print({key: info[key] for key in ("codebase_version", "fps", "total_episodes", "total_frames")})
for name, feature in info["features"].items():
    print(f"{name:>24}  {feature['dtype']:<8} {feature['shape']}  {', '.join(feature['names'] or [])}")
human_info = json.loads((root / "data_samples" / "human" / "meta" / "info.json").read_text())
print("\nnot in a human dataset:", *sorted(set(info["features"]) - set(human_info["features"])))

# %% [markdown]
# Look at the names of `action`: seven numbers, the change of the gripper's place and rotation, and the jaws.
# Many datasets hold joint angles instead. Then the same column has another meaning, and no table of checks
# can make one of the other: convert them first, or choose another dataset. `subset` refuses those that do not
# have seven numbers.
#
# Large datasets are not fetched whole. With a name `OWNER/NAME` in place of the folder the next command
# fetches from the Hub only the files that hold the chosen episodes. Here it takes them from the folder.

# %%
run("data", "subset", robot, fresh("plates"), "--episodes", 3, "--tasks", "put * plate")
run("data", "info", out / "plates")

# %% [markdown]
# ## A broken copy
#
# We break a copy in five ways that all happen in laboratories:
#
# | episode | fault | how it comes about |
# |---|---|---|
# | 3 | four actions are NaN | the robot's driver lost its connection |
# | 5 | all actions are zero | a video of a hand, "actions" added so that the columns fit |
# | 8 | a box beyond the frame | somebody wrote pixels of a 640 by 480 camera |
# | 11 | twelve actions are zero while the arm moves | the recorder hung, the robot did not |
# | 14 | one action of 60 cm in a fifth of a second | a marker jumped |

# %%
shutil.copytree(robot, fresh("broken"))
file = next((out / "broken" / "data").rglob("*.parquet"))
table = pq.read_table(file)
episode, actions = table["episode_index"].to_numpy(), np.array(table["action"].to_pylist(), np.float32)
first = [int(np.flatnonzero(episode == i)[0]) for i in range(info["total_episodes"])]

actions[first[3] + 6 : first[3] + 10] = np.nan
actions[episode == 5, :6] = 0
actions[first[11] + 20 : first[11] + 32, :6] = 0
actions[first[14] + 4, 0] = 0.6
words = table["reasoning"].to_pylist()
said_there = json.loads(words[first[8] + 4])
said_there["bboxes"][0]["xyxy"] = [402, 211, 450, 266]
words[first[8] + 4] = json.dumps(said_there)

for name, values in {"action": list(actions), "reasoning": words}.items():
    field = table.schema.field(name)
    table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
pq.write_table(table, file)

# %% [markdown]
# Which of the five will `validate` find? Write down your five answers. `--quarantine` also copies the good
# episodes to a new dataset, and the bad ones onto a list with reasons. The source stays as it is.

# %%
run("data", "validate", out / "broken", "--quarantine", fresh("sorted"))

# %%
for bad in json.loads((out / "sorted" / "broken.bad.json").read_text())["bad"]:
    for reason in bad["reasons"]:
        where = f"episode {bad['episode']}, {reason['frames']} frames from frame {reason['step']} on"
        print(f"{where}: {reason['check']}: {reason['detail']}")

# %% [markdown]
# Three of five. The other two are possible: a robot may stand still for twelve frames, and 60 cm is less than
# a metre. Only together with the **state**, where the gripper was, do the zeros give themselves away.
#
# ## Exercise 1: find the bad frames
#
# Difficulty: 2 of 3. Time: 25 minutes.
#
# `actions` and `states` of an episode have a row of seven numbers for every frame; the first three of a state
# are x, y and z in metres. Return one bool a frame. True means that nobody should learn from this action:
#
# 1. one of its seven numbers is NaN or infinite; or
# 2. it belongs to **made-up zeros**: 5 or more frames in a row whose first six numbers are all exactly 0,
#    while the gripper went somewhere: its places in the first and in the last of these frames are more than
#    2 cm apart. (Take the whole run, as long as it is.)
#
# A robot that waits, or closes its jaws, says zero as well, and means it.
#
# <details><summary>Hint 1</summary>
#
# `zero = (actions[:, :6] == 0).all(axis=1)` is True in the frames of a run. The seventh number does not
# matter: it is how far the jaws are open.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Go through the frames and remember where the present run began. A run ends at the first frame that is not
# zero, or with the episode: append one False to `zero`, and the last run ends like the others.
#
# </details>


# %%
def bad_frames(actions: np.ndarray, states: np.ndarray) -> list[bool]:
    """One bool a frame: True where nobody should learn from the action. Both arguments are (T, 7)."""
    # solution: return one bool a frame, True for NaN, infinity and made-up zeros
    bad = (~np.isfinite(actions).all(axis=1)).tolist()
    zero, began = [*(actions[:, :6] == 0).all(axis=1), False], None
    for k, is_zero in enumerate(zero):
        if is_zero and began is None:
            began = k
        elif not is_zero and began is not None:
            if k - began >= 5 and np.linalg.norm(states[k - 1, :3] - states[began, :3]) > 0.02:
                bad[began:k] = [True] * (k - began)
            began = None
    return bad
    # end of solution


# %%
radlite.check.bad_frames(bad_frames)

# %% [markdown]
# Now your function on what `validate` let through. It should find the recorder that hung, and nothing in the
# other episodes. (They have new numbers in the sorted dataset.)

# %% tags=["exercise"]
for number, one in enumerate(EpisodeDataset(out / "sorted" / "broken")):
    bad = np.flatnonzero(bad_frames(one.actions, one.states))
    if len(bad):
        print(f"episode {number}, {one.instruction!r}: frames {bad[0]} to {bad[-1]}, {len(bad)} in all")

# %% [markdown]
# ## One wrong number and 256 bins
#
# The jump of 60 cm is still in there. Does it matter, one frame of several hundred? The policy says each
# number of an action as one of 256 *bins*. Between which ends should they lie? Suppose that the smallest and
# the largest value of the data are taken. How wide is a bin then, if a robot moves at most 4.5 cm a frame?

# %%
real = EpisodeDataset(robot).actions()  # of the folder before we broke it
dx = EpisodeDataset(out / "sorted" / "broken").actions()[:, 0]
ends = {"smallest and largest": np.quantile(dx, (0, 1)), "1% and 99%": np.quantile(dx, (0.01, 0.99))}
figure = make_subplots(1, 2, subplot_titles=list(ends), shared_yaxes=True)
for column, (name, (low, high)) in enumerate(ends.items(), 1):
    bins = np.clip((dx - low) / (high - low) * 256, 0, 255).astype(int)
    used = 256 * min(1, np.ptp(real[:, 0]) / (high - low))
    print(f"{name:>20}: {low:+.3f} to {high:+.3f} m, a bin is {1000 * (high - low) / 256:.1f} mm, the robot uses {used:.0f}")
    bars = go.Bar(x=np.arange(256), y=np.bincount(bins, minlength=256), width=2, marker_color="#0072b2", marker_line_width=0)
    figure.add_trace(bars, row=1, col=column)
figure.update_yaxes(type="log").update_yaxes(title="frames", col=1).update_xaxes(title="bin of dx", range=[-4, 260])
figure.update_layout(height=300, margin={"t": 40}, showlegend=False)

# %% [markdown]
# That is why radlite, like OpenVLA before it, takes the 1st and the 99th percentile (`q01`, `q99`), and clips
# what lies beyond. One wrong number in a hundred may then be as wrong as it likes.
#
# The gripper is no displacement but an opening from 0 to 1. It stays as it is: a robot that never closed its
# jaws would otherwise have no word for it. And statistics are **of your robot**. Another one is slower or
# turns more; its bins mean other motions. They are kept with the adapter.
#
# ## Exercise 2: normalise, and leave the bad frames out
#
# Difficulty: 2 of 3. Time: 15 minutes.
#
# `actions` (T, 7) become numbers between -1 and 1. In each of the first six dimensions the 1st percentile of
# the **good** frames becomes -1 and their 99th 1 (`np.quantile` with 0.01 and 0.99), in a straight line
# between; what lies beyond is clipped. A dimension in which the two are the same gives 0. The gripper's 0
# becomes -1 and its 1 becomes 1, whatever the data. Where `bad` is True, all seven numbers are NaN in the
# end.
#
# <details><summary>Hint 1</summary>
#
# `q01, q99 = np.quantile(actions[~bad], (0.01, 0.99), axis=0)` are seven numbers each. Set the last ones to 0
# and 1, and the gripper needs no rule of its own.
#
# </details>
# <details><summary>Hint 2</summary>
#
# With `width = q99 - q01`: divide by `np.where(width == 0, 1, width)`, and in the end take
# `np.where(width == 0, 0, result)`.
#
# </details>


# %%
def normalised(actions: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Actions (T, 7) between -1 and 1 by the percentiles of the good frames; NaN where `bad` (T,) is True."""
    # solution: return (T, 7) numbers from -1 to 1, NaN in the bad frames
    q01, q99 = np.quantile(actions[~bad], (0.01, 0.99), axis=0)
    q01[6], q99[6] = 0, 1
    width = q99 - q01
    result = np.where(width == 0, 0, (actions - q01) / np.where(width == 0, 1, width) * 2 - 1).clip(-1, 1)
    result[bad] = np.nan
    return result
    # end of solution


# %%
radlite.check.normalised(normalised)

# %% [markdown]
# ## Zeros are not "no action"
#
# Clips of hands have no actions; the loader wants a column. What could be simpler than zeros? Say what
# happens to the average motion that a policy is asked to learn when half of its data are such clips.

# %%
zeros = np.zeros_like(real)
for name, rows in {"the robot's actions": real, "and as many zeros": np.concatenate([real, zeros])}.items():
    lengths = np.linalg.norm(rows[:, :3], axis=1)
    print(f"{name:>20}: {1000 * lengths.mean():.0f} mm a frame, {(lengths == 0).mean():.0%} stand still")

# %% [markdown]
# It learns to stand still, in every second frame, and most of all where a hand is seen. No error, no warning,
# a fine loss (zeros are easy to learn). So radlite refuses: a dataset whose episode never moves, and one in
# which an action is missing.

# %%
hands = EpisodeDataset(root / "data_samples" / "human")
fakes = [replace(one, embodiment="robot", actions=np.zeros((len(one), 7), np.float32)) for one in (hands[0], hands[1])]
radlite.write_dataset(fresh("fakes"), fakes)
for folder in (out / "fakes", out / "broken"):
    try:
        Mixture(EpisodeDataset(folder), hands).robot.actions()  # what training does first
    except RadliteError as error:
        print(f"{error}\n".replace(str(root), "."))

# %% [markdown]
# If somebody's dataset holds robots and hands together, and says which frames have an action, `radlite data
# subset SRC OUT --embodiment robot` takes the ones and `--embodiment human` the others.
#
# ## Train on both
#
# Now your clip, the other clips, and the robot's demonstrations (the folder as it was before we broke it) go
# into one mixture. Your clip is 12 frames beside five hundred others. In a short training they would hardly
# come up, so they count forty times. How often is each of them seen, then, in all steps together?

# %%
own = EpisodeDataset(out / "mine").cache()
human = together(hands.cache(), *[own] * 40)
mixture = Mixture(EpisodeDataset(robot).cache(), human, robot_per_batch=4, ratio=2.0, seed=0)
drawn = np.concatenate([mixture.indices(step)[1] for step in range(steps)])
times = (drawn >= hands.num_frames).sum() / own.num_frames
print(f"{steps} steps draw {len(drawn)} human samples; each frame of yours comes {times:.0f} times")

# %% [markdown]
# We do not begin with the bare base but with the RAD policy that ships with radlite. `export` merges its
# adapter into the base, and what comes out is a base like any other. The settings are the demo's, with a
# smaller learning rate: it should learn something new and not forget the rest.

# %%
start = export("rad", fresh("start"))
config = replace(demo_training(steps), rate=2e-3, warmup=5)
train(radlite.load_vlm(str(start), device=None), mixture, fresh("trained"), config, on_log=LiveCurves("your data"))

# %% [markdown]
# And now the rest of your clip, the frames that were **not** among the 12: the hand carries the thing and lets
# go of it. Left what the shipped policy says, right yours. What do you expect of a policy that reads a word
# for the first time in its life?

# %%
kept_back = list(range(until, len(mine), {"tiny": 6, "laptop": 1, "gpu": 1}[preset]))
rest = mine.frames[kept_back]
policies = {"shipped": radlite.load_policy("radlite-tiny", adapter="rad"),
            "yours": radlite.load_policy(str(start), adapter=out / "trained")}  # fmt: skip
answers = {name: policy.predict(rest, my_instruction) for name, policy in policies.items()}
shown = [(rest, [p.reasoning for p in found], [p.action for p in found]) for found in answers.values()]
radlite.play(*shown, titles=list(answers))

# %% [markdown]
# In numbers: in how many of these frames is there a box by the name that you gave the thing? And does it hold
# the thing? (The second for the stand-in only, whose truth is known.)

# %%
thing = things[0].name
for name, found in answers.items():
    boxes = [{box.name: box.xyxy for box in p.reasoning.bboxes or ()}.get(thing) for p in found]
    print(f"{name}: a box called {thing!r} in {sum(box is not None for box in boxes)} of {len(boxes)} frames")
    if my_clip is None:
        true = [film.reasoning[k].bboxes[0].xyxy for k in kept_back]
        overlap = [iou(said, other) if said else 0.0 for said, other in zip(boxes, true, strict=True)]
        print(f"  overlap with the thing: {np.mean(overlap):.2f} (1 is perfect)")
    print(f"  {found[0].reasoning.to_text()} ACTION: {found[0].action.round(3)}")

# %% [markdown]
# (In our run at `laptop` the shipped policy took the word for *milk* and boxed that; 12 frames of notes later
# the bee had its box in 11 of 11 frames, with an overlap of 0.73, and the box went along with the hand.) There
# is even an **action**, for a picture with a hand in it and a word that no robot demonstration holds.
#
# Now read the rest of the chain. Your notes knew three subtasks, and all three are over in these frames: which
# one does your policy name, and what did the shipped one say there? Your notes held no centimetres: what has
# become of them? A policy learns all of an annotation, also where it ends. (Annotate the other frames and
# train again.) And some things these lines do not show at all:
#
# - *That the action is right.* [04_does_it_act](04_does_it_act.ipynb) lets policies act, and counts.
# - *That it knows what a bee is.* It was trained and asked in one scene, two seconds apart. Film the thing at
#   two places, and keep one of the clips for the test.
# - *That nothing was lost.* A few steps on a few clips may cost what the shipped policy could do before. Ask it
#   for a tiger.
# - *What a real clip would give.* This small base knows the simulator's table and nothing else. A kitchen can
#   be imported, annotated and trained with it all the same, and is noise to it. Real pictures want a real model.
#
# ## The same with a real model
#
# Names change, and three switches: four bits, a smaller rate, a step in parts. In a terminal, with a card of 8 GB
# or more (`07_lora_and_four_bit` says which model fits on which):
#
# ```
# radlite annotate clips/*.mp4 --instruction 'put the cup on the tray' --out my/human
# radlite data subset OWNER/NAME my/robot --episodes 200 --embodiment robot
# radlite data validate my/robot my/human --quarantine my/good
# radlite train --model qwen3-vl-2b --quantize nf4 --checkpointing --micro-tokens 2400 --rate 2e-4 \
#     --robot my/good/robot --human my/good/human --out runs/mine
# radlite predict clip.mp4 --model qwen3-vl-2b --quantize nf4 --adapter runs/mine --instruction 'put the cup on the tray'
# ```
#
# The first line imports the clips and writes their chains as well; `radlite annotate --help` says what it
# needs for that, and the page that it leaves shows every stage. The robot's dataset needs chains, too: without them
# `radlite train` learns only actions from it, and nothing ties the words of your clips to an action. `docs/bridge.md`
# joins ECoT's to Bridge V2. You have written chains yourself. So you know
# where to look before you believe it: at the moments.
#
# Next: [09_the_papers_tables](09_the_papers_tables.ipynb), hundreds of trials a cell.
