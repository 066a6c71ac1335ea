"""The training loop: our own, on `accelerate`, short enough to read.

Sample order and dropout are functions of (seed, step), so a resumed run goes on exactly where it stopped. Ctrl-C finishes
the step, saves and returns. Progress goes to a plain JSONL file, one line every few steps, with loss and token accuracy
per field.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from peft import set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from radlite.actions import ActionStats
from radlite.adapter import attach_lora, trainable_state, write_adapter
from radlite.checkpoint import STATE, TENSORS, read_json, read_tensors, verify_folder, write_folder
from radlite.collate import Batch, CollateConfig, Loss, collate, collate_blind, longest_chain, rad_loss
from radlite.episodes import Sample
from radlite.errors import RadliteError
from radlite.formats.staging import disk_errors
from radlite.mixture import Mixture
from radlite.precision import autocast, check_precision
from radlite.trainlog import TrainLog, polite_stop, read_log
from radlite.vlm import VLM

__all__ = ["Objective", "TrainConfig", "TrainResult", "rate_at", "read_log", "run_identity", "train"]

LOG = "log.jsonl"


@dataclass(frozen=True)
class TrainConfig:
    """What to train with.

    Attributes:
        steps: optimiser steps.
        rate: peak learning rate, after `warmup` steps, falling to 2% on a cosine.
        restart: a step from which the rate rises and falls once more, for data that comes in two parts; 0 never.
        lora_rank: rank of LoRA on all linear layers; 0 trains every weight.
        lora_alpha: LoRA's scale is lora_alpha / lora_rank.
        clip: largest gradient norm.
        seed: of LoRA's start and of dropout; the mixture has its own.
        checkpoint_seconds: how often the state is saved.
        log_every: steps between two lines of the log.
        precision: "bf16" (autocast), "no", or None: bf16 where the processor has units for it.
        collate: weights, dropout and fields of the loss.
    """

    steps: int = 400
    rate: float = 3e-3
    warmup: int = 20
    restart: int = 0
    lora_rank: int = 32
    lora_alpha: int = 32
    clip: float = 1.0
    seed: int = 0
    checkpoint_seconds: float = 120.0
    log_every: int = 10
    precision: str | None = None
    collate: CollateConfig = field(default_factory=CollateConfig)

    def __post_init__(self) -> None:
        if (
            self.steps < 1
            or not 0 < self.rate < math.inf
            or min(self.lora_rank, self.seed) < 0
            or self.log_every < 1
            or not 0 <= self.restart < self.steps
        ):
            found = ", ".join(
                f"{k}={getattr(self, k)}" for k in ("steps", "rate", "lora_rank", "log_every", "seed", "restart")
            )
            raise RadliteError(
                "steps and log_every >= 1, rate > 0, lora_rank and seed >= 0, restart below steps",
                found,
                "correct the configuration",
            )
        check_precision(self.precision)

    @property
    def method(self) -> str:
        """ "lora" or "full"."""
        return "lora" if self.lora_rank else "full"


@dataclass(frozen=True)
class TrainResult:
    """Where the adapter is, how many steps it has seen, seconds of this call, and whether it was stopped early."""

    adapter: Path
    steps: int
    seconds: float
    interrupted: bool


class Objective(nn.Module):
    """The RAD loss as a module, so that accelerate can wrap it for one or many processes."""

    def __init__(self, vlm: VLM) -> None:
        super().__init__()
        self.model = vlm.model
        self._vlm = (vlm,)  # in a tuple: not a submodule

    def forward(self, batch: Batch, detail: bool, blind: Batch | None = None) -> tuple[Tensor, dict]:
        loss: Loss = rad_loss(self._vlm[0], batch, detail)
        if blind is None:
            return loss.total, loss.fields
        more = rad_loss(self._vlm[0], blind, detail)
        return loss.total + more.total, loss.fields | {f"blind_{field}": row for field, row in more.fields.items()}


def rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear warm-up, cosine to 2%; the same anew from `restart` on."""
    first, last = (config.restart, config.steps) if step >= config.restart else (0, config.restart)
    warm = min(1.0, (step - first + 1) / max(1, config.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * (step - first) / (last - first)))
    return config.rate * warm * (0.02 + 0.98 * cosine)


def train(
    vlm: VLM,
    mixture: Mixture,
    out: str | Path,
    config: TrainConfig = TrainConfig(),
    progress: bool = True,
    stop_after: int | None = None,
    on_log: Callable[[dict], object] | None = None,
) -> TrainResult:
    """Trains `vlm` (changed in place) on a mixture; `out` gets `adapter/`, `checkpoint/` and `log.jsonl`.

    Called again with the same arguments it resumes; a finished run returns at once.

    Args:
        vlm: a freshly loaded model.
        mixture: what to draw.
        out: folder of this run.
        config: how to train.
        progress: show a bar.
        stop_after: stop, saved and resumable, after this many steps of this call.
        on_log: called with every new row of the log, for curves that grow.

    Raises:
        RadliteError: a loss that is not a finite number (names the samples), a checkpoint of another run, a full disk.
    """
    out, stats = Path(out), ActionStats.fit(mixture.robot.actions())
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if hasattr(vlm.model, "peft_config"):
        raise RadliteError(
            "a freshly loaded base", f"{vlm.name} with an adapter in it", "load it again with load_vlm"
        )
    identity = run_identity(vlm, mixture, config)
    if config.method == "lora":
        attach_lora(vlm, config.lora_rank, config.lora_alpha, config.seed)
    # accelerate keeps its precision for the life of the process, so the autocast is ours: bf16 needs no more than that
    accelerator = Accelerator(mixed_precision="no", cpu=str(vlm.device) == "cpu")
    params = [p for p in vlm.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=config.rate, betas=(0.9, 0.99), weight_decay=0.0)
    step = _resume(out, vlm, config, optimizer, identity)
    objective, optimizer = accelerator.prepare(Objective(vlm), optimizer)
    run = _Run(out, vlm, mixture, config, stats, identity, accelerator, objective, optimizer, params,
               longest_chain(vlm, mixture.robot, mixture.human))
    last = config.steps if stop_after is None else min(config.steps, step + stop_after)
    return run.loop(step, last, progress, on_log)


def run_identity(vlm: VLM, mixture: Mixture, config: TrainConfig) -> dict:
    """What makes two runs the same run: base, data, order and configuration."""
    settings = {k: v for k, v in asdict(config).items() if k not in ("checkpoint_seconds", "log_every")}
    return json.loads(json.dumps({
        "base": vlm.name, "base_sha256": vlm.sha256, "config": settings,
        "robot": mixture.robot.sha256, "human": mixture.human.sha256 if mixture.human else None,
        "mixture": {k: getattr(mixture, k) for k in ("robot_per_batch", "ratio", "seed", "blind_per_batch", "human_first")},
    }))  # fmt: skip


@dataclass
class _Run:
    """One call of `train`, with all it needs at every step."""

    out: Path
    vlm: VLM
    mixture: Mixture
    config: TrainConfig
    stats: ActionStats
    identity: dict
    accelerator: Accelerator
    objective: nn.Module
    optimizer: torch.optim.Optimizer
    params: list[Tensor]
    longest: int

    def loop(self, step: int, last: int, progress: bool, on_log: Callable[[dict], object] | None) -> TrainResult:
        """Steps from `step` up to `last`, saving now and then, at the end, and when interrupted."""
        began = saved = time.monotonic()
        first = step
        self.vlm.model.train()
        log = TrainLog(self.out / LOG, step, self.config.log_every)
        bar = tqdm(
            total=self.config.steps,
            initial=step,
            desc=self.out.name,
            unit="step",
            disable=not progress,
            leave=False,
        )
        with polite_stop() as stop, bar:
            while step < last and not stop.is_set():
                samples = self.mixture.batch(step)
                blind = self.mixture.blind(step)
                loss, fields = self.step(step, samples, blind, detail=(step + 1) % self.config.log_every == 0)
                step += 1
                bar.update()
                row = log.add(step, loss, fields, rate_at(step - 1, self.config), len(samples))
                if row and on_log:
                    on_log(row)
                if time.monotonic() - saved > self.config.checkpoint_seconds:
                    self.save(step)
                    saved = time.monotonic()
            interrupted = stop.is_set()
        if step > first or not (self.out / "adapter").exists():
            self.save(step)
        self.vlm.model.eval()
        return TrainResult(self.out / "adapter", step, time.monotonic() - began, interrupted)

    def step(self, step: int, samples: list[Sample], blind: list[Sample], detail: bool) -> tuple[float, dict]:
        """One optimiser step; nothing is changed when the loss is not finite."""
        share = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        mine, unseen = samples[share], blind[share]
        batch = collate(mine, self.vlm, self.stats, self.config.collate, (self.config.seed, step)).to(self.vlm.device)
        words = collate_blind(unseen, self.vlm, self.stats, self.config.collate).to(self.vlm.device) if unseen else None
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(step, self.config)
        with autocast(self.config.precision, self.vlm.device):
            loss, fields = self.objective(batch, detail, words)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.params, self.config.clip)
        if not (torch.isfinite(loss) and torch.isfinite(torch.as_tensor(norm))):
            self.optimizer.zero_grad()
            told = [*mine[:6], *unseen[:6]]
            who = ", ".join(f"{s.embodiment} episode {s.episode} step {s.step}" for s in told)
            raise RadliteError(
                "a finite loss",
                f"loss {loss.item()}, gradient norm {float(norm)} at step {step} on {who}",
                "look at these samples, or lower the learning rate; the last checkpoint is intact",
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item(), fields

    def save(self, step: int) -> None:
        """The adapter for use and the checkpoint for going on, each swapped in whole."""
        if not self.accelerator.is_main_process:
            return
        state = trainable_state(self.vlm, self.config.method)
        write_adapter(
            self.out / "adapter",
            self.vlm,
            self.config.method,
            self.stats,
            state,
            {**self.identity, "steps_done": step},
            self.longest,
        )
        moments = {
            f"moment/{i}/{k}": torch.as_tensor(v).cpu().contiguous()
            for i, entry in self.optimizer.state_dict()["state"].items()
            for k, v in entry.items()
        }

        def fill(folder: Path) -> None:
            save_file({f"weight/{k}": v for k, v in state.items()} | moments, folder / TENSORS)
            (folder / STATE).write_text(json.dumps({"step": step, "identity": self.identity}))

        write_folder(self.out / "checkpoint", fill)


def _resume(
    out: Path, vlm: VLM, config: TrainConfig, optimizer: torch.optim.Optimizer, identity: dict
) -> int:
    """Loads the checkpoint in `out`, if there is one, and returns the step to go on from."""
    folder = out / "checkpoint"
    if not folder.exists():
        return 0
    verify_folder(folder)
    about = read_json(folder / STATE, "a checkpoint")
    if about.get("identity") != identity:
        changed = sorted(k for k in identity if about.get("identity", {}).get(k) != identity[k])
        raise RadliteError(
            "a checkpoint of this very run",
            f"one with another {', '.join(changed)} in {folder}",
            "choose another output folder, or delete this one to start again",
        )
    state = read_tensors(folder / TENSORS)
    weights = {k.removeprefix("weight/"): v for k, v in state.items() if k.startswith("weight/")}
    if config.method == "lora":
        set_peft_model_state_dict(vlm.model, weights)
    else:
        vlm.model.load_state_dict(
            weights, strict=False
        )  # the output layer is the embedding, and is not stored twice
    moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
    for key, value in state.items():
        if key.startswith("moment/"):
            _, index, name = key.split("/")
            moments[int(index)][name] = value
    optimizer.load_state_dict(
        {"state": dict(moments), "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return int(about["step"])


