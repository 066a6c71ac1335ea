# %% [markdown]
# # LoRA and four bits: which model fits on which card?
#
# | | |
# |---|---|
# | Goal | train the same policy with thinner and thinner corrections, store it in four bits, and predict the memory of real models |
# | Minutes on two cores | 5 |
# | Minutes on a GPU | 10, estimated, a real model included |
# | Peak memory | 2.2 GB |
# | Network | only at `gpu`, to fetch one model |
# | At the end you should see | "public checks passed", and a table of five models and the cards they fit on |
#
# So far the policy had 4 million numbers, and it fitted anywhere. A vision-language model that has read the
# web has 250 million to 8 billion. Trained in the plain way, the largest of these would take 140 GB, and a
# card in a student's computer has 8 to 24. Two ideas close that gap: train only a *thin correction* of each
# matrix (LoRA), and store what is not trained in *four bits* a number (NF4). Together they are QLoRA
# (Dettmers et al. 2023). This notebook takes both apart on the tiny policy, where you can see everything.

# %%
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from IPython.display import Markdown

import radlite
import radlite.check
from radlite import EpisodeDataset, Mixture
from radlite.actions import ActionStats
from radlite.adapter import attach_lora
from radlite.bases import LADDER
from radlite.collate import collate
from radlite.demo import demo_training
from radlite.memory.plan import memory
from radlite.quantize import linears
from radlite.rounding import start_from_rounding
from radlite.show.live_curves import LiveCurves, curves_figure
from radlite.train import train
from radlite.vlm import VLM

preset = os.environ.get("RADLITE_PRESET", "laptop")  # "tiny" | "laptop" | "gpu"
root = next(p for p in (Path.cwd(), *Path.cwd().parents) if (p / "data_samples").is_dir())
out = root / "runs" / "notebooks" / "07_lora_and_four_bit" / preset
steps = {"tiny": 2, "laptop": 40, "gpu": 100}[preset]

# %% [markdown]
# ## A thin correction
#
# A linear layer has a matrix $W$ with as many rows as outputs and as many columns as inputs. Fine-tuning adds
# a change $\Delta W$ of the same size. LoRA (Hu et al. 2021) claims that a change of low *rank* is enough:
#
# $$\Delta W = \frac{\alpha}{r} B A, \qquad A: r \times \text{inputs}, \quad B: \text{outputs} \times r$$
#
# $W$ itself stays as it is. How many numbers are trained, then? Count before you run the next cell: a square
# layer of width 192, rank 8.

# %%
ranks = [2, 8, 32]
for rank in ranks:
    vlm = radlite.load_vlm("radlite-tiny")
    attach_lora(vlm, rank, rank, seed=0)
    thin = sum(p.numel() for name, p in vlm.model.named_parameters() if "lora_" in name)
    rows = sum(p.numel() for name, p in vlm.model.named_parameters() if p.requires_grad) - thin
    print(f"rank {rank:>2}: {thin:>9,} numbers in thin matrices, {rows:,} in rows of words and actions")

# %% [markdown]
# The second number does not change. An action is a *word* of the model's vocabulary, one of 256 that no text
# has ever used, and its row of the embedding table has to be learnt directly. Only these rows, and in the
# tiny base those of ordinary words, are trained; all others stay.
#
# ## Does the rank matter?
#
# Three ranks, the same data in the same order. Which curve will be lowest? And by how much, if the thin
# matrices of rank 2 hold a sixteenth of the numbers that those of rank 32 do?

# %%
robot, human = (EpisodeDataset(root / "data_samples" / name).cache() for name in ("robot", "human"))
mixture = Mixture(robot, human, robot_per_batch=8, ratio=1.0, seed=0)
for rank in ranks:
    config = replace(demo_training(steps), lora_rank=rank, lora_alpha=rank)
    train(radlite.load_vlm("radlite-tiny"), mixture, out / f"rank_{rank}", config, on_log=LiveCurves(f"rank {rank}"))

# %%
curves_figure({f"rank {rank}": radlite.read_log(out / f"rank_{rank}" / "log.jsonl") for rank in ranks})

# %% [markdown]
# Be careful with the conclusion. These few clips are seen again and again, and what is compared is the loss
# *on them*: a larger rank also learns them by heart more easily. Only new scenes tell which rank to take, and
# counting there is what `04_does_it_act` is about.
#
# ## Four bits a number
#
# Sixteen values are all that four bits can tell apart. Which sixteen? Weights of a trained network lie about
# zero like a bell curve, so evenly spaced values would waste half of themselves on the rare large ones. NF4
# takes the values that cut a bell curve into equally likely parts, scaled to the largest weight among 64
# neighbours (a *block*), so that one odd number spoils only its own block.

# %%
vlm = radlite.load_vlm("radlite-tiny")
weight = vlm.text_model.layers[2].mlp.up_proj.weight.detach()
quantiles = torch.linspace(0.02, 0.98, 16, dtype=torch.float64)  # of a bell curve: close to the published values
levels = torch.special.ndtri(quantiles).float()
levels = levels / levels.abs().max()
even = torch.linspace(-1, 1, 16)


def in_four_bits(values, table, block=64):
    """Every value replaced by the nearest one of the table, scaled to the largest of its block."""
    parts = values.reshape(-1, block)
    scale = parts.abs().amax(1, keepdim=True)
    nearest = (parts[..., None] / scale[..., None] - table).abs().argmin(-1)
    return (table[nearest] * scale).reshape(values.shape)


for name, table in {"16 values of a bell curve": levels, "16 even values": even}.items():
    error = (in_four_bits(weight, table) - weight).pow(2).mean().sqrt() / weight.std()
    print(f"{name:>26}: error {error:.1%} of the weights' own spread")

# %%
figure = go.Figure(go.Histogram(x=(weight / weight.reshape(-1, 64).abs().amax(1).repeat_interleave(64).reshape(weight.shape))
                                .flatten().numpy(), nbinsx=120, name="weights of a layer, each by the largest of its block"))
figure.add_scatter(x=levels.numpy(), y=np.zeros(16), mode="markers", marker={"size": 10, "symbol": "line-ns-open"},
                   name="values of a bell curve")
figure.update_layout(height=320, margin={"t": 10}, legend={"orientation": "h"}, bargap=0)

# %% [markdown]
# The gain is small, and that is honest: 9.7% against 10.2% of error on this layer. Blocks of 64 do most of the
# work, for within so small a block even the largest weight is not far out. (The published table differs a
# little from ours: it holds an exact zero.)
#
# The library `bitsandbytes` does this for real models. `load_vlm(..., quantize="nf4")` stores the linear
# layers of the *language decoder* so, and nothing else: the tower that sees, the embedding table and the
# output layer stay whole. And it does not believe that this has worked, but looks: here is the class of every
# linear layer.

# %%
small = radlite.load_vlm("radlite-tiny", quantize="nf4")
counts = linears(small)
Markdown("| part | layers |\n|---|---|\n" + "\n".join(
    f"| {part} | {', '.join(f'{n} x {kind}' for kind, n in kinds.items())} |" for part, kinds in counts.items()))

# %% [markdown]
# What does the policy lose? The shipped RAD adapter was trained on the whole base. On the base in four bits
# it still acts, and its actions move a little.

# %%
frames = [robot.frame(k) for k in range(0, robot.num_frames, 40)][: {"tiny": 2, "laptop": 16, "gpu": 16}[preset]]
images, told = [s.image for s in frames], [s.instruction for s in frames]
acts = {}
for name, bits in {"whole": None, "four bits": "nf4"}.items():
    policy = radlite.load_policy("radlite-tiny", adapter="rad", quantize=bits, device="cpu")
    acts[name] = np.stack([p.action for p in policy.predict(images, told, [s.reasoning for s in frames])])
true = np.stack([s.action for s in frames])
for name, said in acts.items():
    far = np.linalg.norm((said - true)[:, :3], axis=1).mean()
    print(f"{name:>9}: {1000 * far:.1f} mm from what the expert did, on average")
apart = np.linalg.norm((acts["whole"] - acts["four bits"])[:, :3], axis=1).mean()
print(f"the two are {1000 * apart:.1f} mm apart; a step is at most {1000 * np.abs(true[:, :3]).max():.0f} mm an axis")

# %% [markdown]
# ## Training on top of four bits
#
# Nothing is ever learnt *in* four bits. The packed matrix is unpacked, used and thrown away at every step;
# the gradient goes through it, into the thin matrices beside it, which are float32.
#
# So the thin matrices have a second use. Rounding has moved every matrix $W$ of the decoder to $Q$, and
# $E = W - Q$ is known. Ordinary LoRA starts at $BA = 0$ and has to learn the task *around* the damage. One can
# also start it at the matrix of its rank that undoes most of $E$ (*LoftQ*). Most in which sense? Not of $E$
# itself, but of $Ex$ for the inputs $x$ that the layer gets: with $U$ the main directions of $Ex$ over one
# batch, $\frac{\alpha}{r} BA = UU^\top E$ is the best of its rank for that batch. `train` does so unless told
# `undo_rounding=False`. How far are the decoder's outputs from those of the whole base?

# %%
whole, small = radlite.load_vlm("radlite-tiny"), radlite.load_vlm("radlite-tiny", quantize="nf4")
attach_lora(small, rank=32, alpha=32, seed=0)
first, other = (collate(mixture.batch(k), whole, ActionStats.fit(robot.actions())) for k in (0, 1))

def outputs(vlm: VLM) -> torch.Tensor:
    """What the decoder gives for the second batch, (tokens, channels)."""
    with torch.no_grad():
        return vlm.forward(other.input_ids, None, other.pixel_values)[other.attention_mask.bool()]

true, rounded = outputs(whole), outputs(small)
start_from_rounding(small, first)
for name, found in {"from nothing": rounded, "undoing what it can": outputs(small)}.items():
    print(f"LoRA starts {name}: {(found - true).norm() / true.norm():.1%} off")

# %% [markdown]
# Half of the damage is gone before the first step, also on a batch that the start has not seen. Is the loss the
# same now as on the whole base?

# %%
config = demo_training(steps)
train(radlite.load_vlm("radlite-tiny", quantize="nf4"), mixture, out / "nf4", config, on_log=LiveCurves("rank 32 on four bits"))

# %%
curves_figure({"rank 32": radlite.read_log(out / "rank_32" / "log.jsonl"),
               "rank 32 on four bits": radlite.read_log(out / "nf4" / "log.jsonl")})

# %% [markdown]
# ## The arithmetic
#
# What has to be in memory when a step begins? Three things that one can count on paper:
#
# | part | bytes |
# |---|---|
# | the base | 2 for a number in bfloat16. In NF4 half a byte for a number of the decoder's linear layers, one byte (its scale, itself rounded) for every block of 64, and four bytes for every 256 of such scales ("double quantisation") |
# | what is trained | 4 for a number, float32 |
# | the optimiser's moments | AdamW keeps two float32 for each *trained* number; `paged_adamw_8bit` two bytes |
#
# ## Exercise 1: predict the memory
#
# Difficulty: 2 of 3. Time: 15 minutes.
#
# Return the three of them, in bytes. `decoder` counts the numbers in the linear layers of the language
# decoder, `others` all other numbers of the base, `trained` what is trained on top. `nf4` says whether the
# decoder's are stored in four bits; `optimizer` is `"adamw"` or `"paged_adamw_8bit"`.
#
# <details><summary>Hint 1</summary>
#
# Half a byte is `decoder / 2`. How many blocks of 64 are there? How many groups of 256 blocks?
#
# </details>
# <details><summary>Hint 2</summary>
#
# What is not trained has no moments: that is half of LoRA's gain.
#
# </details>

# %%
def training_bytes(decoder: int, others: int, trained: int, nf4: bool, optimizer: str) -> tuple[float, float, float]:
    """(weights of the base, trained numbers, optimiser's moments) in bytes."""
    # solution: return the three by the table above
    packed = decoder / 2 + decoder / 64 + 4 * decoder / (64 * 256)
    weights = (packed if nf4 else 2 * decoder) + 2 * others
    return weights, 4 * trained, trained * {"adamw": 8, "paged_adamw_8bit": 2}[optimizer]
    # end of solution


# %%
radlite.check.training_bytes(training_bytes)

# %% [markdown]
# Does it hold for real tensors? Here are those of the tiny base in four bits (its other weights are float32,
# four bytes each: the table above is about real models).

# %%
layers = {id(m.weight): m.weight for n, m in small.base.named_modules() if type(m).__name__ == "Linear4bit"}
packed = sum(w.numel() * w.element_size() for w in layers.values())
numbers = sum(w.quant_state.shape.numel() for w in layers.values())
scales = sum(w.quant_state.absmax.numel() + 4 * w.quant_state.state2.absmax.numel() for w in layers.values())
print(f"{numbers:,} numbers in {packed:,} bytes, and {scales:,} bytes of scales: {(packed + scales) / numbers:.4f} bytes each")
print(f"by the table: {0.5 + 1 / 64 + 4 / (64 * 256):.4f}")

# %% [markdown]
# ## What the paper and pencil leave out
#
# The rest cannot be counted so easily: *activations*, which the backward pass needs (fewer, where layers are
# computed twice), and *logits*, up to 152,000 numbers for every token that carries loss. `radlite memory` runs one
# step on tensors **without contents** and counts what would be made. Nothing is fetched for it. Four
# sequences of 600 tokens, rank 32:

# %%
models = {"tiny": ["smolvlm2-256m"], "laptop": list(LADDER), "gpu": list(LADDER)}[preset]
table = {name: memory(name, LADDER[name].quantize, batch=4, tokens=600) for name in models}
lines = [f"| {name} | {LADDER[name].quantize or 'bfloat16'} | " + " | ".join(
    f"{1e-9 * getattr(m, part):.2f}" for part in ("weights", "adapters", "optimizer", "activations", "logits", "total"))
    + f" | {m.card} GB |" for name, m in table.items()]  # fmt: skip
Markdown("| model | decoder | weights | adapters | optimizer | activations | logits | total, GB | card |\n"
         + "|---" * 9 + "|\n" + "\n".join(lines))

# %% [markdown]
# And the other way round: what would the last one of the table take without four bits, and without computing
# layers twice? Guess which of the two weighs more.

# %%
last = models[-1]
for name, changes in {
    "as above": {},
    "whole decoder": {"quantize": None},
    "layers computed once": {"checkpointing": False},
    "moments in 8 bits": {"optimizer": "paged_adamw_8bit"},
    "one sequence": {"batch": 1},
}.items():
    found = memory(last, **{"quantize": LADDER[last].quantize, "batch": 4, "tokens": 600, **changes})
    print(f"{last}, {name:>22}: {1e-9 * found.total:5.1f} GB, a card of {found.card} GB")

# %% [markdown]
# ## A real model
#
# The same functions train it; only the name is another. With `RADLITE_PRESET=gpu` and a CUDA card this cell
# fetches `qwen3-vl-2b` (4.3 GB) once and trains it on the sample clips for a few steps. Elsewhere it prints
# the command that does the same. Watch the measured peak: how far off was the table?

# %%
name = "qwen3-vl-2b"
if preset == "gpu" and torch.cuda.is_available():
    real = radlite.load_vlm(name, device="cuda", quantize="nf4")
    config = replace(demo_training(50), checkpointing=True, micro_tokens=2_400, rate=2e-4)
    torch.cuda.reset_peak_memory_stats()
    train(real, Mixture(robot, human, robot_per_batch=2, ratio=1.0, seed=0), out / name, config, on_log=LiveCurves(name))
    print(f"measured peak: {torch.cuda.max_memory_allocated() / 1e9:.1f} GB")
else:
    print(f"radlite train --model {name} --quantize nf4 --checkpointing --micro-tokens 2400 --rate 2e-4 --steps 50 \\")
    print("    --robot-per-batch 2 --ratio 1 --blind-per-batch 0 --robot DIR --human DIR --out runs/qwen")

# %% [markdown]
# Fifty steps teach it the form of a chain and little more. What a real run needs is data of your own robot
# and your own hands; everything else you have seen.
#
# Next: [08_your_own_data](08_your_own_data.ipynb), where such data comes from.
