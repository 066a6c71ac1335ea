"""Our training loop against Hugging Face's Trainer with PEFT: the same model, batches, LoRA and precision, in one run.

Each side trains in processes of its own, in turn, so that its peak memory is its own. Both get their batches from
`radlite.collate`: frames of robot and human clips in the order of one mixture. The Trainer's model is loaded by plain
`transformers` and wrapped by plain PEFT, with the same layers and embedding rows to train, and computes its own loss, without
weights of tokens, which cost nothing. Rows without a picture, for which its model would need a second pass, are left out.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time

import numpy as np
from apart import again, peak_gb, shipped
from machine import report

from radlite.actions import ActionStats
from radlite.bases import base_folder, load_vlm
from radlite.collate import collate
from radlite.mixture import Mixture
from radlite.train import TrainConfig, train

SKIPPED = 2  # steps that do not count: kernels are chosen in them


def ours(args: argparse.Namespace, mix: Mixture, config: TrainConfig) -> list[float]:
    """Seconds of every step of `radlite.train.train`."""
    ends = []
    with tempfile.TemporaryDirectory() as out:
        train(load_vlm(args.model, device=args.device), mix, out, config, progress=False,
              on_log=lambda row: ends.append(time.perf_counter()))  # fmt: skip
    return list(np.diff(ends))


def trainers(args: argparse.Namespace, mix: Mixture, config: TrainConfig) -> list[float]:
    """Seconds of every step of the Trainer."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText, Trainer, TrainerCallback, TrainingArguments

    vlm = load_vlm(args.model)  # for its tokenizer only: how a sample becomes tokens is the same on both sides
    stats, batches, size = ActionStats.fit(mix.robot.actions()), {}, len(mix.batch(0))
    model = AutoModelForImageTextToText.from_pretrained(base_folder(args.model), attn_implementation=args.attention)
    model = get_peft_model(model, LoraConfig(
        r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=vlm.family.lora_targets,
        trainable_token_indices=vlm.lora_token_rows,
    ))  # fmt: skip

    class Frames:
        """Sample k of the mixture's order; batches are of one size."""

        def __len__(self) -> int:
            return config.steps * size

        def __getitem__(self, k: int):
            step, place = divmod(k, size)
            if step not in batches:
                batches.clear()
                batches[step] = mix.batch(step)
            return step, batches[step][place]

    def together(rows: list) -> dict:
        batch = collate([sample for _, sample in rows], vlm, stats, config.collate, (config.seed, rows[0][0]))
        return {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask, "labels": batch.labels,
                **vlm.family.entry(batch.input_ids, batch.pixel_values)}  # fmt: skip

    class Clock(TrainerCallback):
        ends: list[float] = []

        def on_step_end(self, *_, **__) -> None:
            self.ends.append(time.perf_counter())

    class InOrder(Trainer):
        def _get_train_sampler(self, *_, **__):
            from torch.utils.data import SequentialSampler

            return SequentialSampler(self.train_dataset)

    with tempfile.TemporaryDirectory() as out:
        settings = TrainingArguments(
            out, per_device_train_batch_size=size, max_steps=config.steps, learning_rate=config.rate, adam_beta2=0.99,
            warmup_steps=config.warmup, lr_scheduler_type="cosine", max_grad_norm=config.clip, save_strategy="no",
            logging_strategy="no", report_to=[], use_cpu=args.device == "cpu", remove_unused_columns=False, disable_tqdm=True,
        )  # fmt: skip
        InOrder(model, settings, train_dataset=Frames(), data_collator=together, callbacks=[Clock()]).train()
    return list(np.diff(Clock.ends))


SIDES = {"radlite": ours, "trainer": trainers}


def one_side(args: argparse.Namespace) -> dict:
    """One side in this process: samples/s of its median step, and the most memory the process has held."""
    mix = shipped(args.robot_per_batch, args.ratio)
    config = TrainConfig(steps=args.steps, log_every=1, warmup=2, rate=1e-4, lora_rank=args.rank, precision="no")
    seconds = SIDES[args.side](args, mix, config)[SKIPPED:]
    return {"samples_per_s": len(mix.batch(0)) / float(np.median(seconds)), "peak_gb": peak_gb(args.device)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="radlite-tiny", help="a known name or a folder (default radlite-tiny)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--robot-per-batch", type=int, default=16)
    parser.add_argument("--ratio", type=float, default=1.0, help="human samples per robot sample, a whole number")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rank", type=int, default=TrainConfig().lora_rank, help="of LoRA")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side runs, in turn")
    parser.add_argument("--attention", default="sdpa", help="of the Trainer's model: transformers' own default, or eager")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(one_side(args)))
        return
    rows: dict[str, list[dict]] = {side: [] for side in SIDES}
    for _ in range(args.rounds):
        for side, found in rows.items():
            one = again("--side", side)
            if isinstance(one, str):
                raise SystemExit(one)
            found.append(one)
    results = {side: {key: round(float(np.median([row[key] for row in found])), 3) for key in found[0]} | {"runs": found}
               for side, found in rows.items()}  # fmt: skip
    results["times_as_fast"] = round(results["radlite"]["samples_per_s"] / results["trainer"]["samples_per_s"], 2)
    results["share_of_memory"] = round(results["radlite"]["peak_gb"] / results["trainer"]["peak_gb"], 2)
    report("trainers", {k: v for k, v in vars(args).items() if k != "side"}, results)


if __name__ == "__main__":
    main()
