"""Guessing what will be written, so that several tokens can be read in one pass.

A robot's chain changes little from one frame to the next. So the last one is a good guess at the next: the policy reads some
of its tokens at once, keeps those that it would have written itself, and goes on from the first that differs. What it says
does not depend on the guess, only how fast it says it (speculative decoding, Leviathan et al. 2023, with the draft looked up
instead of written by a smaller model).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

MOST = 64  # tokens that are guessed at a time
PLACES = 160  # that all rows together guess in one pass, where they are many


def ahead(rows: int) -> int:
    """How many tokens to guess at a time: many where a pass costs the same with them, as it does for one row.

    For many rows it does not: a wrong guess costs as much there as a right one, and most come true only up to the next number.
    """
    return min(MOST, max(2, PLACES // rows))


def kind(token: str) -> str:
    """What sort of number a token is: " 12 cm left" and " 3 cm right" are of one, "##, 40" is of another; "" for none."""
    return re.sub(r"\d+", "0", re.sub(r"[a-z]+", "a", token)) if re.search(r"\d", token) else ""


class Drafts:
    """For every row the text that is expected, and how far it has come in it.

    Args:
        texts: token ids a row; an empty one guesses nothing.
        kind_of: what sort of number an id is, "" for words; see `kind`.
    """

    def __init__(self, texts: Sequence[Sequence[int]], kind_of: Callable[[int], str] = lambda token: "") -> None:
        self._texts, self._kind = [list(text) for text in texts], kind_of
        self._at, self._last = [0] * len(texts), [-1] * len(texts)
        self._pairs: list[dict[tuple[int, int], list[int]]] = [defaultdict(list) for _ in texts]
        for text, pairs in zip(self._texts, self._pairs, strict=True):
            for k in range(1, len(text)):
                pairs[text[k - 1], text[k]].append(k + 1)

    def told(self, row: int, token: int) -> None:
        """What the row has written now.

        Where a number differs, it is another number. Where a word does, the place after the same two tokens is taken up, the
        nearest one if there are several: a chain may have become longer or shorter. Where there is none, one word stands for
        another.
        """
        text, at = self._texts[row], self._at[row] + 1
        if not text:
            return
        if at > len(text) or not self._same(text[at - 1], token):
            at = min(self._pairs[row].get((self._last[row], token), [at]), key=lambda place: abs(place - at))
        self._at[row], self._last[row] = at, token

    def better(self, row: int, tokens: Sequence[int]) -> None:
        """What the policy would have said at the next places, had the guesses before them been right: its numbers are taken over.

        They were not right, so this is not what it will say, but nearer to it than an older text: a number hangs on the picture
        more than on the numbers before it (Jacobi decoding, Santilli et al. 2023).
        """
        text = self._texts[row]
        for at, token in enumerate(tokens[: len(text) - self._at[row]], self._at[row]):
            if self._same(text[at], token):
                text[at] = token

    def next(self, row: int, count: int) -> list[int]:
        """The next `count` tokens as they are expected, or fewer."""
        return self._texts[row][self._at[row] : self._at[row] + count]

    def _same(self, one: int, other: int) -> bool:
        """Whether they are the same, or numbers of one sort."""
        return one == other or bool(self._kind(one)) and self._kind(one) == self._kind(other)
