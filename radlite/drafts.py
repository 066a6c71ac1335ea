"""Guessing what will be written, so that several tokens can be read in one pass.

A robot's chain changes little from one frame to the next. So the last one is a good guess at the next: the policy reads some
of its tokens at once, keeps those that it would have written itself, and goes on from the first that differs. What it says
does not depend on the guess, only how fast it says it (speculative decoding, Leviathan et al. 2023, with the draft looked up
instead of written by a smaller model).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

MOST = 32  # tokens that are guessed at a time
PLACES = 160  # that all rows together guess in one pass, where they are many


def ahead(rows: int) -> int:
    """How many tokens to guess at a time: many where a pass costs the same with them, as it does for one row.

    For many rows it does not: a wrong guess costs as much there as a right one, and most come true only up to the next number.
    """
    return min(MOST, max(2, PLACES // rows))


class Drafts:
    """For every row the text that is expected, and how far it has come in it.

    Args:
        texts: token ids a row; an empty one guesses nothing.
    """

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        self._texts = [list(text) for text in texts]
        self._at, self._last = [0] * len(texts), [-1] * len(texts)
        self._pairs: list[dict[tuple[int, int], list[int]]] = [defaultdict(list) for _ in texts]
        for text, pairs in zip(self._texts, self._pairs, strict=True):
            for k in range(1, len(text)):
                pairs[text[k - 1], text[k]].append(k + 1)

    def told(self, row: int, token: int) -> None:
        """What the row has written now.

        Where it differs, the place after the same two tokens is taken up, the nearest one if there are several: a chain may
        have become longer or shorter. Where there is none, one word stands for another.
        """
        text, at = self._texts[row], self._at[row] + 1
        if not text:
            return
        if at > len(text) or text[at - 1] != token:
            at = min(self._pairs[row].get((self._last[row], token), [at]), key=lambda place: abs(place - at))
        self._at[row], self._last[row] = at, token

    def next(self, row: int, count: int) -> list[int]:
        """The next `count` tokens as they are expected, or fewer."""
        return self._texts[row][self._at[row] : self._at[row] + count]
