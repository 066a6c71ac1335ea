"""The training loop: our own, on `accelerate`, short enough to read.

Sample order and dropout are functions of (seed, step), so a resumed run goes on exactly where it stopped. Ctrl-C finishes
the step, saves and returns. Progress goes to a plain JSONL file, one line every few steps, with loss and token accuracy
per field.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor
from tqdm.auto import tqdm

from radlite.actions import ActionStats
from radlite.adapter import attach_lora, trainable_state, write_adapter
from radlite.alone import alone
from radlite.collate import Batch, collate, collate_blind, longest_chain
from radlite.episodes import Sample
from radlite.errors import RadliteError
from radlite.loss import rad_loss, together
from radlite.mixture import Mixture
from radlite.precision import autocast, chosen
from radlite.quantize import library
from radlite.resume import data_told, resume, run_identity, write_checkpoint
from radlite.rounding import start_from_rounding
from radlite.train_config import TrainConfig, rate_at
from radlite.trainlog import TrainLog, polite_stop, read_log
from radlite.vlm import VLM, recompute_layers

__all__ = ["TrainConfig", "TrainResult", "rate_at", "read_log", "train"]

LOG = "log.jsonl"
DEFAULT = TrainConfig()
MOST_SKIPPED = 20  # steps in a row that a scaled loss may overflow


@dataclass(frozen=True)
class TrainResult:
    """Where the adapter is, how many steps it has seen, seconds of this call, and whether it was stopped early."""

    adapter: Path
    steps: int
    seconds: float
    interrupted: bool


def train(
    vlm: VLM,
    mixture: Mixture,
    out: str | Path,
    config: TrainConfig = DEFAULT,
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
        RadliteError: a loss that is not a finite number (names the samples), a checkpoint of another run, another training at
            work in `out`, a full disk.
    """
    # accelerate keeps its precision for the life of the process, so the autocast is ours: bf16 needs no more than that
    accelerator = Accelerator(mixed_precision="no", cpu=str(vlm.device) == "cpu")
    # of several processes of one run the first holds the folder
    with alone(Path(out), "--out") if accelerator.is_main_process else nullcontext():
        run, step = _begin(vlm, mixture, Path(out), config, accelerator)
        last = config.steps if stop_after is None else min(config.steps, step + stop_after)
        return run.loop(step, last, progress, on_log)


def _begin(vlm: VLM, mixture: Mixture, out: Path, config: TrainConfig, accelerator: Accelerator) -> tuple[_Run, int]:
    """The run, ready for its next step, and which one that is."""
    stats = ActionStats.fit(mixture.robot.actions())
    if hasattr(vlm.model, "peft_config"):
        raise RadliteError(
            "a freshly loaded base", f"{vlm.name} with an adapter in it", "load it again with load_vlm"
        )
    if vlm.quantize and config.method == "full":
        raise RadliteError("LoRA on a base in four bits", "lora_rank=0", "give a rank, or load the base with quantize=None")
    identity = run_identity(vlm, mixture, config)
    if config.method == "lora":
        attach_lora(vlm, config.lora_rank, config.lora_alpha, config.seed)
    else:
        vlm.model.float()  # steps of a small rate are lost in 16 bits; LoRA's own weights are in 32 anyway
    params = [p for p in vlm.model.parameters() if p.requires_grad]
    if config.checkpointing:
        recompute_layers(vlm.base)
    optimizer = _optimizer(params, config)
    half = chosen(config.precision, vlm.device) == torch.float16
    scaler = torch.amp.GradScaler(vlm.device.type, init_scale=1024.0, enabled=half)
    step = resume(out, vlm, config, optimizer, scaler, identity)
    if vlm.quantize and config.undo_rounding and not step:
        _undo_rounding(vlm, mixture, stats, config, accelerator, params)
    longest = longest_chain(vlm, mixture.robot, mixture.human, fields=config.collate.fields)
    return _Run(out, vlm, mixture, config, stats, identity, accelerator, optimizer, params, longest, scaler), step


def _undo_rounding(vlm: VLM, mixture: Mixture, stats: ActionStats, config: TrainConfig, accelerator: Accelerator,
                   params: list[Tensor]) -> None:
    """Gives LoRA its start, from the first batch; of several processes one does, and the others take it over."""
    if accelerator.is_main_process:
        first = collate(mixture.batch(0), vlm, stats, config.collate, (config.seed, 0))
        if config.micro_tokens:  # as many rows as a part has, from all over the batch
            first = first.rows(slice(None, None, -(-first.input_ids.numel() // config.micro_tokens)))
        with autocast(config.precision, vlm.device):
            start_from_rounding(vlm, first.to(vlm.device), config.seed)
    for p in params if accelerator.num_processes > 1 else ():  # gradients are shared, so the start has to be one, too
        broadcast(p.data)


def _optimizer(params: list[Tensor], config: TrainConfig) -> torch.optim.Optimizer:
    settings = {"lr": config.rate, "betas": (0.9, 0.99), "weight_decay": 0.0}
    if config.optimizer == "adamw":
        return torch.optim.AdamW(params, **settings)
    return library().optim.PagedAdamW8bit(params, **settings)


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
    optimizer: torch.optim.Optimizer
    params: list[Tensor]
    longest: int
    scaler: torch.amp.GradScaler
    skipped: int = 0

    def loop(self, step: int, last: int, progress: bool, on_log: Callable[[dict], object] | None) -> TrainResult:
        """Steps from `step` up to `last`, saving now and then, at the end, and when interrupted."""
        began = saved = time.monotonic()
        first = step
        self.vlm.model.train()
        first_process = self.accelerator.is_main_process
        log = TrainLog(self.out / LOG, step, self.config.log_every, first_process)
        bar = tqdm(total=self.config.steps, initial=step, desc=self.out.name, unit="step",
                   disable=not (progress and first_process), leave=False)
        with polite_stop() as stop, bar:
            while step < last and not self.stopped(stop.is_set()):
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
            interrupted = step < last
        if step > first or not (self.out / "adapter").exists():
            self.save(step)
        self.vlm.model.eval()
        return TrainResult(self.out / "adapter", step, time.monotonic() - began, interrupted)

    def stopped(self, here: bool) -> bool:
        """Whether any process was asked to stop: they stop together, or the others would wait for it for ever."""
        if self.accelerator.num_processes == 1:
            return here
        return bool(self.accelerator.reduce(torch.tensor(float(here), device=self.vlm.device), "sum"))

    def step(self, step: int, samples: list[Sample], blind: list[Sample], detail: bool) -> tuple[float, dict]:
        """One optimiser step; nothing is changed when the loss is not finite."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(step, self.config)
        total, fields = torch.zeros((), device=self.vlm.device), []
        for batch, weight, prefix in self._pieces(step, samples, blind):
            with autocast(self.config.precision, self.vlm.device):
                part = rad_loss(self.vlm, batch, detail, weight)
            self.scaler.scale(part.total).backward()
            total += part.total.detach()
            fields.append({f"{prefix}{field}": row for field, row in part.fields.items()})
        self._share_gradients()
        self.scaler.unscale_(self.optimizer)
        norm = self.accelerator.clip_grad_norm_(self.params, self.config.clip)
        loss = float(self.accelerator.reduce(total, "mean"))
        self._check_finite(loss, float(norm), step, samples, blind)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return loss, together(fields) if detail else {}

    def _pieces(self, step: int, samples: list[Sample], blind: list[Sample]) -> list[tuple[Batch, float, str]]:
        """What goes through the model one after the other: (batch, what its sum is divided by, prefix of its fields).

        Every process has its share of the sequences, maybe none. All of them draw the same dropout and know the weight of the
        whole, so that many processes do just what one would do.
        """
        settings, key = self.config.collate, (self.config.seed, step)
        wholes = [(collate(samples, self.vlm, self.stats, settings, key), "")]
        if blind:
            wholes.append((collate_blind(blind, self.vlm, self.stats, settings, key), "blind_"))
        rank, ranks, pieces = self.accelerator.process_index, self.accelerator.num_processes, []
        for whole, prefix in wholes:
            if rank >= len(whole.input_ids):
                continue
            mine = whole.rows(slice(rank, None, ranks)) if ranks > 1 else whole
            parts = mine.parts(self.config.micro_tokens) if self.config.micro_tokens else [mine]
            weight = whole.weight  # without any, the loss is to say so
            # gradients of processes are averaged, and the parts of a batch are to add up to it
            pieces += [(p.to(self.vlm.device), weight / ranks, prefix) for p in parts if p.weight or not weight]
        return pieces

    def _share_gradients(self) -> None:
        """The mean of all processes' gradients, in each of them; what a process had no sequence for counts as zero."""
        if self.accelerator.num_processes == 1:
            return
        for p in self.params:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        flat = self.accelerator.reduce(torch.cat([p.grad.flatten() for p in self.params]), "mean")
        for p, mean in zip(self.params, flat.split([p.numel() for p in self.params]), strict=True):
            p.grad.copy_(mean.view_as(p))

    def _check_finite(self, loss: float, norm: float, step: int, samples: list[Sample], blind: list[Sample]) -> None:
        """A loss that is no number ends the training; an overflow of a scaled one only its step, up to a point."""
        overflow = math.isfinite(loss) and not math.isfinite(norm) and self.scaler.is_enabled()
        self.skipped = self.skipped + 1 if overflow else 0
        if (math.isfinite(loss) and math.isfinite(norm)) or (overflow and self.skipped <= MOST_SKIPPED):
            return
        self.optimizer.zero_grad()
        who = ", ".join(f"{s.embodiment} episode {s.episode} step {s.step}" for s in [*samples[:6], *blind[:6]])
        raise RadliteError(
            "a finite loss",
            f"loss {loss}, gradient norm {norm} at step {step} on {who}",
            "look at these samples, or lower the learning rate; the last checkpoint is intact",
        )

    def save(self, step: int) -> None:
        """The adapter for use and the checkpoint for going on, each swapped in whole."""
        if not self.accelerator.is_main_process:
            return
        state = trainable_state(self.vlm, self.config.method)
        made = {**self.identity, "steps_done": step, "processes": self.accelerator.num_processes, "data": data_told(self.mixture)}
        write_adapter(self.out / "adapter", self.vlm, self.config.method, self.stats, state, made, self.longest)
        write_checkpoint(self.out, state, step, self.identity, self.optimizer, self.scaler)
