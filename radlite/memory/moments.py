"""What an optimiser keeps of every trained tensor, told before there is one."""

from __future__ import annotations

from collections.abc import Iterable

from radlite.train_config import OPTIMIZERS

# of bitsandbytes' 8-bit AdamW (0.50): numbers with one scale, the smallest tensor that it packs, its two tables of 256 numbers
BLOCK, LEAST, TABLES = 256, 4096, 2 * 256 * 4


def moments_bytes(counts: Iterable[int], optimizer: str) -> int:
    """Bytes of the moments of tensors with that many numbers.

    AdamW keeps two float32 numbers for each. The 8-bit one keeps two bytes, and two float32 scales for a block of them; a small
    tensor stays in float32, and all others share their tables.
    """
    small = [n for n in counts if optimizer == "adamw" or n < LEAST]
    packed = [n for n in counts if not (optimizer == "adamw" or n < LEAST)]
    scales = sum(2 * 4 * -(-n // BLOCK) for n in packed)
    return OPTIMIZERS["adamw"] * sum(small) + OPTIMIZERS["paged_adamw_8bit"] * sum(packed) + scales + (TABLES if packed else 0)
