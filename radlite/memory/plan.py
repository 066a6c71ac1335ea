"""How much memory a training step takes, told before anything is fetched or loaded.

The model is built from its configuration as tensors without contents, LoRA is put into it, and one step is run on them: every
storage that is made or freed is counted. So checkpointing, DeepStack, a large vocabulary are all in it, and no formula has to
know of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PretrainedConfig,
)

from radlite.actions import BINS
from radlite.adapter import with_lora
from radlite.bases import LADDER, SHIPPED, add_action_words, base_folder, table_size
from radlite.cross_entropy import cross_entropy
from radlite.errors import RadliteError
from radlite.families import family_of
from radlite.families.family import Family
from radlite.families.sizes import architecture
from radlite.memory.trace import TRACED, FourBits, Storages
from radlite.quantize import check_quantize, part_of
from radlite.train_config import OPTIMIZERS
from radlite.vlm import action_tokens, recompute_layers, trained_rows

GB = 1e9
PROMPT_TOKENS = 24  # of a question, about; the rest of a sequence behind the picture carries loss
CARDS = (6, 8, 12, 16, 24, 48, 80)  # GB
SPARE = 0.9  # of a card: its driver, and what the allocator cannot use, take the rest


@dataclass(frozen=True)
class Memory:
    """Bytes of one training step at its peak.

    Attributes:
        weights: of the base, in four bits or whole, action rows included.
        adapters: LoRA's weights and the trained rows.
        optimizer: its moments.
        activations: what the backward pass needs and what is made on the way, gradients among it, the output layer left out.
        logits: what the output layer and the loss add at the peak.
    """

    weights: int
    adapters: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.adapters + self.optimizer + self.activations + self.logits

    def to_dict(self) -> dict[str, float]:
        """In GB (10^9 bytes)."""
        parts = {f"{name}_gb": round(value / GB, 4) for name, value in vars(self).items()}
        return parts | {"total_gb": round(self.total / GB, 4)}

    @property
    def card(self) -> int | None:
        """The smallest usual card in GB on which it fits, or None."""
        return next((c for c in CARDS if self.total <= SPARE * c * 1024**3), None)


def configuration(name: str | Path) -> PretrainedConfig:
    """Of a rung, without fetching anything, or of a folder or a repository."""
    if str(name) in LADDER:
        return architecture(str(name))
    return AutoConfig.from_pretrained(base_folder(name, weights=False), local_files_only=True)


def memory(
    name: str | Path,
    quantize: str | None = None,
    batch: int = 4,
    tokens: int = 600,
    rank: int = 32,
    checkpointing: bool = True,
    optimizer: str = "adamw",
    dtype: torch.dtype | None = None,
) -> Memory:
    """Memory of one training step with LoRA.

    Args:
        name: as in `load_vlm`.
        quantize: "nf4" or None.
        batch: sequences with a picture each.
        tokens: of a sequence, the picture's included.
        rank: of LoRA.
        checkpointing: keep only what goes into a layer, and compute the layer again.
        optimizer: "adamw" or "paged_adamw_8bit".
        dtype: of weights that are whole; None: float32 for the shipped base, else bfloat16.

    Raises:
        RadliteError: an unknown name or option, or fewer tokens than picture and question take.
    """
    check_quantize(quantize)
    if optimizer not in OPTIMIZERS:
        raise RadliteError(f"optimizer out of {', '.join(OPTIMIZERS)}", repr(optimizer), "choose one of them")
    config = configuration(name)
    family = family_of(config.model_type, name)(config, None)
    least = family.image_tokens + PROMPT_TOKENS + 1
    if min(batch, rank) < 1 or tokens < least:
        raise RadliteError(f"batch and rank of at least 1, and {least} tokens or more", f"{batch}, {rank}, {tokens}",
                           "a picture and its question come before the chain")
    whole = dtype or (torch.float32 if str(name) in SHIPPED else torch.bfloat16)
    table, rows = _rows(name, config)
    config.get_text_config().vocab_size = table
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config, dtype=whole, attn_implementation=TRACED).train()
        if quantize:
            _pack(model, family)
        weights = _bytes(model)
        model = with_lora(model, family, rank, rows)
        adapters = _bytes(model) - weights
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    peaks = [_peak(model, family, batch, tokens, checkpointing, head) for head in (False, True)]
    return Memory(weights, adapters, OPTIMIZERS[optimizer] * trained, peaks[0], max(0, peaks[1] - peaks[0]))


def _rows(name: str | Path, config: PretrainedConfig) -> tuple[int, list[int]]:
    """Rows of the embedding once it has the action tokens, and those that are trained."""
    size = config.get_text_config().vocab_size
    if str(name) in LADDER:
        tokens = LADDER[str(name)].tokens + BINS
        return table_size(size, tokens), list(range(tokens - BINS - 1, tokens))  # the end of a sequence, and actions
    words = AutoTokenizer.from_pretrained(base_folder(name, weights=False), local_files_only=True, trust_remote_code=False)
    add_action_words(words)
    return table_size(size, len(words)), trained_rows(words, words.convert_tokens_to_ids(action_tokens()))


def _pack(model: nn.Module, family: Family) -> None:
    for name, layer in [*model.named_modules()]:
        if isinstance(layer, nn.Linear) and part_of(family, name) == "decoder":
            model.set_submodule(name, FourBits(layer))


def _bytes(model: nn.Module) -> int:
    """Of all parameters and buffers, each storage once."""
    storages = {t.untyped_storage() for t in (*model.parameters(), *model.buffers())}
    return sum(s.nbytes() for s in storages)


def _peak(model: nn.Module, family: Family, batch: int, tokens: int, checkpointing: bool, head: bool) -> int:
    """Bytes beyond the model's own at the peak of one forward and backward pass."""
    base = model.get_base_model()
    if checkpointing:  # without random numbers nothing has to be remembered of them
        recompute_layers(base, preserve_rng_state=False)
    vocabulary, whole = base.get_input_embeddings().weight.shape[0], base.get_input_embeddings().weight.dtype
    for p in base.parameters():
        p.grad = None
        if p.requires_grad:  # a step under autocast computes with copies in the precision of the others
            p.data = p.data.to(whole)
    with Storages() as storages:
        storages.know(*base.parameters(), *base.buffers())
        pixels = family.pixels(torch.empty(batch, 3, family.image_size, family.image_size, dtype=whole, device="meta"))
        features = family.features(base, pixels)
        words = base.get_input_embeddings()(torch.empty(batch, tokens - family.image_tokens, dtype=torch.long, device="meta"))
        embeds = torch.cat([features[..., : words.shape[-1]].to(words.dtype), words], 1)
        mask = torch.empty(batch, 1, tokens, tokens, dtype=torch.bool, device="meta")
        hidden = family.text_model(base)(inputs_embeds=embeds, attention_mask=mask, use_cache=False).last_hidden_state
        paid = hidden[:, family.image_tokens + PROMPT_TOKENS :].flatten(0, 1)  # (N, D)
        if head:
            labels = torch.empty(len(paid), dtype=torch.long, device="meta")
            cross_entropy(base.lm_head, paid, labels, vocabulary)[0].sum().backward()
        else:
            paid.sum().backward()
    return storages.peak
