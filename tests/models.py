"""Tiny random models of every family, with tokenizers trained here, in folders as `save_pretrained` leaves them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    PreTrainedTokenizerFast,
    Qwen3VLConfig,
    SmolVLMConfig,
)

KINDS = ("smolvlm", "qwen3_vl")
SPECIALS = {
    "smolvlm": ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>",
                "<global-img>"),
    "qwen3_vl": ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
                 "<|video_pad|>"),
}  # fmt: skip
TEXT = """TASK: put the red can on the white plate. PLAN: 1. reach the red can 2. grasp it 3. put it on the white plate
4. let go. VISIBLE OBJECTS: red can [100, 102, 34, 56], white plate [7, 8, 9, 12] SUBTASK REASONING: The gripper [12, 34] is
open, 12 cm high; the red can is 6 cm left, 4 cm forward, 9 cm below. SUBTASK: move above the red can. MOVE REASONING: The way is
6 cm left, 4 cm forward, 9 cm down, jaws open. MOVE: move forward left down GRIPPER POSITION: [[12, 34], [56, 78]] ACTION:
What action should the robot take to put the red can on the white plate? User: Assistant: user assistant"""


def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 500 tokens, as both families have one, with their special tokens."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([TEXT] * 4, trainers.BpeTrainer(vocab_size=500, initial_alphabet=alphabet, show_progress=False))
    raw.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIALS[kind]])
    end = "<end_of_utterance>" if kind == "smolvlm" else "<|im_end|>"
    begin = {"bos_token": "<|im_start|>"} if kind == "smolvlm" else {}
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=end, pad_token="<|endoftext|>", model_max_length=2048, **begin)


def config(kind: str, words: PreTrainedTokenizerFast, tied: bool = True):
    """A configuration of a hundred thousand weights; linear widths are multiples of 64, as NF4 needs."""
    ids = {t: words.convert_tokens_to_ids(t) for t in SPECIALS[kind]}
    text = {
        "vocab_size": -(-len(words) // 64) * 64, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 2048,
        "tie_word_embeddings": tied, "pad_token_id": words.pad_token_id, "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id, "initializer_range": 0.08,
    }  # fmt: skip
    if kind == "smolvlm":
        vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
                  "image_size": 64, "patch_size": 8, "initializer_range": 0.08}  # fmt: skip
        return SmolVLMConfig(
            vision_config=vision, text_config={"model_type": "llama", **text}, scale_factor=2, image_token_id=ids["<image>"],
            tie_word_embeddings=tied, pad_token_id=words.pad_token_id,
        )  # fmt: skip
    vision = {"hidden_size": 64, "intermediate_size": 128, "depth": 3, "num_heads": 4, "patch_size": 4, "temporal_patch_size": 2,
              "spatial_merge_size": 2, "out_hidden_size": 64, "num_position_embeddings": 64, "in_channels": 3,
              "deepstack_visual_indexes": [0, 1], "initializer_range": 0.08}  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    return Qwen3VLConfig(
        vision_config=vision, text_config={**text, "rope_parameters": rope}, image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"], vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"], tie_word_embeddings=tied,
    )  # fmt: skip


def save(kind: str, folder: Path, tied: bool = True) -> Path:
    """Writes a random model of a family and its tokenizer into `folder`."""
    words = tokenizer(kind)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config(kind, words, tied))
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
