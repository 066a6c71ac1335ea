"""An adapter: how it gets into a base, and from there to disk and back; only its own base, only whole files."""

from __future__ import annotations

import json
import warnings
from importlib import resources
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from radlite.actions import ActionStats
from radlite.checkpoint import STATE, read_tensors, verify_folder, write_folder
from radlite.errors import RadliteError
from radlite.families import Family
from radlite.formats.staging import read_json
from radlite.lora import fuse
from radlite.vlm import VLM

SHIPPED = ("rad", "ecot")


def adapter_folder(adapter: str | Path) -> Path:
    """The folder of a shipped adapter ("rad", "ecot"), of an adapter, or of a run that holds one."""
    if str(adapter) in SHIPPED:
        return Path(str(resources.files("radlite"))) / "weights" / str(adapter)
    folder = Path(adapter)
    inner = folder / "adapter"
    folder = inner if (inner / STATE).exists() else folder
    if not (folder / STATE).exists():
        raise RadliteError(f"an adapter: one of {', '.join(SHIPPED)}, or a folder with {STATE}", str(adapter),
                           "train one with `radlite train`, or check the path")
    return folder


def load_adapter(vlm: VLM, adapter: str | Path) -> tuple[ActionStats, int | None]:
    """Loads an adapter into `vlm` in place; returns its action statistics and, if known, the tokens of its longest chain.

    Raises:
        RadliteError: no adapter there, one of another base, or a damaged file; the model is unchanged then.
    """
    folder = adapter_folder(adapter)
    verify_folder(folder)
    about = read_json(folder / STATE, "an adapter")
    _check_base(vlm, about, folder)
    stats, longest = _statistics(about, folder)
    if about.get("method") == "full":
        vlm.model.load_state_dict(read_tensors(folder / "model.safetensors"), strict=False)
        return stats, longest
    weights = read_tensors(folder / "adapter_model.safetensors")
    settings = read_json(folder / "adapter_config.json", "an adapter")
    settings["base_model_name_or_path"] = getattr(vlm.model, "name_or_path", None)  # checked above by its sha256
    model = _peft(vlm.model, LoraConfig.from_peft_type(**settings))
    odd = set(weights) ^ set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if odd:
        model.unload()
        raise RadliteError("just the weights that its configuration names", f"{min(odd)} lacks or is too many in {folder}",
                           "train the adapter again")
    set_peft_model_state_dict(model, weights)
    vlm.model = model
    return stats, longest


def merged_statistics(vlm: VLM) -> tuple[ActionStats | None, int | None]:
    """What `radlite.export` wrote beside a merged model: action statistics and the tokens of its longest chain; else None."""
    folder = vlm.folder
    if folder is None or not (folder / STATE).exists():
        return None, None
    return _statistics(read_json(folder / STATE, "a merged policy"), folder)


def _statistics(about: dict, folder: Path) -> tuple[ActionStats, int | None]:
    stats, longest = ActionStats.from_dict(about.get("stats")), about.get("longest_chain")
    if not (longest is None or isinstance(longest, int) and longest >= 0):
        raise RadliteError(f"a count of tokens as longest_chain in {folder / STATE}", repr(longest), "train the adapter again")
    return stats, longest


def _check_base(vlm: VLM, about: dict, folder: Path) -> None:
    """The content decides: the same base may lie in another folder than when the adapter was trained."""
    if about.get("base_sha256") != vlm.sha256:
        raise RadliteError(
            f"an adapter trained on {vlm.name} ({vlm.sha256[:12]})",
            f"one for {about.get('base')} ({str(about.get('base_sha256'))[:12]}) in {folder}",
            "load the base that it was trained on, or train it again on this one",
        )


def attach_lora(vlm: VLM, rank: int, alpha: int, seed: int) -> None:
    """Puts LoRA into the model in place; its adapter also carries the rows of the action tokens and of new words."""
    torch.manual_seed(seed)
    vlm.model = with_lora(vlm.model, vlm.family, rank, vlm.lora_token_rows, alpha)


def with_lora(model: nn.Module, family: Family, rank: int, rows: list[int], alpha: int = 32) -> PeftModel:
    """A `transformers` model with LoRA on what its family allows and with trainable embedding rows, changed in place.

    An output layer with a table of its own gets trainable rows of its own.
    """
    tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    tables = rows if tied else {"embed_tokens": rows, "lm_head": rows}
    lora = LoraConfig(r=rank, lora_alpha=alpha, target_modules=family.lora_targets, trainable_token_indices=tables or None)
    model = _peft(model, lora)
    fuse(model)
    return model


def _peft(model: nn.Module, settings: LoraConfig) -> PeftModel:
    """peft asks transformers for a property by its old name, and a notebook would show that warning in red."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        return get_peft_model(model, settings)


def trainable_state(vlm: VLM, method: str) -> dict[str, Tensor]:
    """The weights that training changes, by name, on the CPU."""
    if method == "lora":
        state = get_peft_model_state_dict(vlm.model, save_embedding_layers=False)
    else:
        tied = "lm_head"
        state = {k: v for k, v in vlm.model.state_dict().items() if tied not in k}
    return {k: v.detach().to("cpu").contiguous().clone() for k, v in state.items()}


def write_adapter(
    folder: Path, vlm: VLM, method: str, stats: ActionStats, state: dict[str, Tensor], made: dict, longest: int
) -> None:
    """Writes an adapter that `load_policy` reads: weights, LoRA's configuration, the base it belongs to, action statistics,
    and `longest`, the tokens of the longest chain it was taught."""
    about = {
        "format": 1,
        "base": vlm.name,
        "base_sha256": vlm.sha256,
        "method": method,
        "stats": stats.to_dict(),
        "longest_chain": longest,
        "train": made,
    }

    def fill(target: Path) -> None:
        if method == "lora":
            peft_config = vlm.model.peft_config["default"]
            plain = {**peft_config.to_dict(), "base_model_name_or_path": vlm.name, "inference_mode": True}
            (target / "adapter_config.json").write_text(json.dumps(_plain(plain), indent=1, sort_keys=True))
        save_file(
            state, target / ("adapter_model.safetensors" if method == "lora" else "model.safetensors")
        )
        (target / STATE).write_text(json.dumps(about, indent=1))

    write_folder(folder, fill)


def _plain(value):
    """JSON-able copy of peft's configuration (it holds sets and enums)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, set | list | tuple):
        items = [_plain(v) for v in value]
        return sorted(items) if isinstance(value, set) else items
    return getattr(value, "value", value)
