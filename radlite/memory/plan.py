"""How much memory a training step takes, told before anything is fetched or loaded.

The model is built from its configuration as tensors without contents, LoRA is put into it, and one step is run on them: every
storage that is made or freed is counted. So checkpointing, DeepStack, a large vocabulary are all in it, and no formula has to
know of them. It is a step on a card, where products are computed in bf16 (`radlite.memory.autocast`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer, PretrainedConfig

from radlite.actions import BINS
from radlite.adapter import with_lora
from radlite.bases import LADDER, add_action_words, base_folder, is_small, table_size
from radlite.cross_entropy import cross_entropy
from radlite.errors import RadliteError
from radlite.families import family_of
from radlite.families.family import Family
from radlite.families.sizes import architecture
from radlite.memory.autocast import Autocast
from radlite.memory.moments import moments_bytes
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

    def fits(self, card: float) -> bool:
        """Whether it fits on a card of that many GB, as its maker counts them (2^30 bytes)."""
        return self.total <= SPARE * card * 1024**3

    @property
    def card(self) -> int | None:
        """The smallest usual card in GB on which it fits, or None."""
        return next(filter(self.fits, CARDS), None)


def configuration(name: str | Path) -> PretrainedConfig:
    """Of a rung, without fetching anything, or of a folder or a repository; code that comes with one is never run.

    Raises:
        RadliteError: an unknown name, or a configuration that is none.
    """
    if str(name) in LADDER:
        return architecture(str(name))
    folder = base_folder(name, weights=False)
    with _readable(folder):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


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
        dtype: of weights that are whole; None: as `load_vlm` has them on a card, float32 for a small base, else bfloat16.

    Raises:
        RadliteError: an unknown name or option, fewer tokens than picture and question take, or files of which no model can
            be built.
    """
    check_quantize(quantize)
    for option, value in (("batch", batch), ("tokens", tokens), ("rank", rank)):
        if type(value) is not int or value < 1:
            raise RadliteError(f"a whole number of at least 1 as {option}", repr(value)[:80], "give for example 4")
    if optimizer not in [*OPTIMIZERS]:
        raise RadliteError(f"optimizer out of {', '.join(OPTIMIZERS)}", repr(optimizer), "choose one of them")
    config = configuration(name)
    driver = family_of(config.model_type, name)
    with _readable(name):
        family = driver(config, None)
        least = family.image_tokens + PROMPT_TOKENS + 1
        if tokens < least:
            raise RadliteError(f"{least} tokens or more", f"{tokens}", "a picture and its question come before the chain")
        model, weights = blank(name, config, family, quantize, rank, dtype)
        trained = [p for p in model.parameters() if p.requires_grad]
        layers, head = _peaks(model, family, batch, tokens, checkpointing)
    # a step of AdamW has a root of the second moments beside gradients; it is the peak of a short batch only
    layers = max(layers, sum(p.nbytes for p in trained) * (2 if optimizer == "adamw" else 1))
    moments = moments_bytes([p.numel() for p in trained], optimizer)
    return Memory(weights, _bytes(model) - weights, moments, layers, max(0, head - layers))


def blank(
    name: str | Path, config: PretrainedConfig, family: Family, quantize: str | None, rank: int, dtype: torch.dtype | None
) -> tuple[nn.Module, int]:
    """A model without contents with LoRA in it, and the bytes of its base."""
    table, rows = table_and_rows(name, config)
    config.get_text_config().vocab_size = table
    with torch.device("meta"):
        whole = dtype or card_dtype(name, config)
        model = AutoModelForImageTextToText.from_config(
            config, dtype=whole, attn_implementation=TRACED, trust_remote_code=False
        ).train()
        if quantize:
            _pack(model, family)
        weights = _bytes(model)
        model = with_lora(model, family, rank, rows)
    for layer in model.modules():
        if isinstance(getattr(layer, "base_layer", None), FourBits):
            layer.cast_input_dtype_enabled = False  # peft casts what goes into LoRA, but not over four bits under autocast
    return model, weights


def card_dtype(name: str | Path, config: PretrainedConfig) -> torch.dtype:
    """What `load_vlm` makes of a base's whole weights on a card, by the same rule; files that are not here yet are reckoned."""
    if str(name) in LADDER:
        return torch.bfloat16  # the smallest takes 1 GB
    size = sum(f.stat().st_size for f in base_folder(name, weights=False).glob("*.safetensors"))
    if not size:
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
        size = sum(p.numel() for p in model.parameters()) * (config.dtype or torch.float32).itemsize
    return torch.float32 if is_small(size) else torch.bfloat16


@contextmanager
def _readable(name: str | Path) -> Iterator[None]:
    """What transformers and torch have to say of files of which no model can be built, in a `RadliteError`."""
    try:
        yield
    except RadliteError:
        raise
    except Exception as error:  # each library has its own kinds
        raise RadliteError(
            f"a configuration and a tokenizer in {name} of which a model can be built",
            f"{type(error).__name__}: {str(error)[:160]}", "save the base again with save_pretrained, or correct its config.json",
        ) from error  # fmt: skip


def table_and_rows(name: str | Path, config: PretrainedConfig) -> tuple[int, list[int]]:
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


def _peaks(model: nn.Module, family: Family, batch: int, tokens: int, checkpointing: bool) -> tuple[int, int]:
    """Bytes beyond the model's own at the peak of one pass forward and back: without output layer and loss, and in them."""
    base = model.get_base_model()
    if checkpointing:  # without random numbers nothing has to be remembered of them
        recompute_layers(base, preserve_rng_state=False, context_fn=lambda: (nullcontext(), Autocast()))
    with Storages() as storages:
        storages.know(*base.parameters(), *base.buffers())
        pixels = family.pixels(torch.empty(batch, 3, family.image_size, family.image_size, device="meta"))
        laps: list[int] = []  # the layers forward, the head both ways, the layers back
        with Autocast():
            loss = _loss(base, family, pixels, tokens, lambda *_: laps.append(storages.lap()))
        loss.backward()
    forward, head = laps
    return max(forward, storages.lap()), head


def _loss(base: nn.Module, family: Family, pixels: Tensor, tokens: int, lap: Callable[..., None]) -> Tensor:
    """As `radlite.loss` computes it, but the last layer whole; calls `lap` before and after the output layer's work."""
    # a mask of four dimensions is taken as it is, and without one the decoder would look at places; it takes no memory
    mask = torch.empty(1, 1, 1, 1, dtype=torch.bool, device="meta").expand(len(pixels), 1, tokens, tokens)
    inputs = {"inputs_embeds": _embeds(base, family, pixels, tokens), "attention_mask": mask, "use_cache": False}
    hidden = family.text_model(base)(**inputs).last_hidden_state
    paid = hidden[:, family.image_tokens + PROMPT_TOKENS :].flatten(0, 1)  # (N, D)
    lap()
    paid.register_hook(lap)

    def head(rows: Tensor) -> Tensor:
        with Autocast():  # of its own: rows are computed again while the loss goes back, where the other one has ended
            return base.lm_head(rows)

    labels = torch.empty(len(paid), dtype=torch.long, device="meta")
    return cross_entropy(head, paid, labels, len(base.get_input_embeddings().weight))[0].sum()


def _embeds(base: nn.Module, family: Family, pixels: Tensor, tokens: int) -> Tensor:
    """Pictures and words of sequences, (B, T, D)."""
    table = base.get_input_embeddings()
    features = family.features(base, pixels.to(table.weight.dtype))
    words = table(torch.empty(len(pixels), tokens - family.image_tokens, dtype=torch.long, device="meta"))
    return torch.cat([features[..., : words.shape[-1]].to(words.dtype), words], 1)
