"""Architectures of the ladder as their configurations state them, so that memory can be told before anything is fetched."""

from __future__ import annotations

from transformers import PretrainedConfig, Qwen3VLConfig, SmolVLMConfig


def _smol(width: int, inner: int, layers: int, heads: int, groups: int) -> SmolVLMConfig:
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
              "image_size": 512, "patch_size": 16}  # fmt: skip
    text = {"model_type": "llama", "vocab_size": 49_280, "hidden_size": width, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": 64,
            "max_position_embeddings": 8192, "pad_token_id": 2}  # fmt: skip
    return SmolVLMConfig(vision_config=vision, text_config=text, scale_factor=4, image_token_id=49_190, pad_token_id=2,
                         tie_word_embeddings=False)  # fmt: skip


def _qwen(width: int, inner: int, layers: int, heads: int, tied: bool, tower: tuple) -> Qwen3VLConfig:
    depth, channels, hidden, deep = tower
    vision = {"depth": depth, "hidden_size": channels, "intermediate_size": hidden, "num_heads": 16, "patch_size": 16,
              "temporal_patch_size": 2, "spatial_merge_size": 2, "num_position_embeddings": 2304, "out_hidden_size": width,
              "deepstack_visual_indexes": list(deep)}  # fmt: skip
    text = {"vocab_size": 151_936, "hidden_size": width, "intermediate_size": inner, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": tied,
            "max_position_embeddings": 262_144,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [24, 20, 20],
                                "mrope_interleaved": True}}  # fmt: skip
    return Qwen3VLConfig(vision_config=vision, text_config=text, image_token_id=151_655, video_token_id=151_656,
                         vision_start_token_id=151_652, vision_end_token_id=151_653, tie_word_embeddings=tied)  # fmt: skip


SMALL_TOWER, LARGE_TOWER = (24, 1024, 4096, (5, 11, 17)), (27, 1152, 4304, (8, 16, 24))


def architecture(name: str) -> PretrainedConfig:
    """The configuration of a rung, by its name in `radlite.bases.LADDER`."""
    return {
        "smolvlm2-256m": lambda: _smol(576, 1536, 30, 9, 3),
        "smolvlm2-500m": lambda: _smol(960, 2560, 32, 15, 5),
        "qwen3-vl-2b": lambda: _qwen(2048, 6144, 28, 16, True, SMALL_TOWER),
        "qwen3-vl-4b": lambda: _qwen(2560, 9728, 36, 32, True, SMALL_TOWER),
        "qwen3-vl-8b": lambda: _qwen(4096, 12_288, 36, 32, False, LARGE_TOWER),
    }[name]()
