"""The one exception of radlite: an error that teaches.

Every mistake a user can make ends in a `RadliteError` that says what was expected, what was found, and what to do next.
"""

from __future__ import annotations


class RadliteError(Exception):
    """Bad input, told in three parts.

    Args:
        expected: what the code needs ("7 numbers per action").
        found: what it was given ("6 numbers in episode 3, step 12").
        fix: what the user should do next ("drop that episode or record it again").
    """

    def __init__(self, expected: str, found: str, fix: str) -> None:
        self.expected, self.found, self.fix = expected, found, fix
        super().__init__(f"expected {expected}; found {found}; {fix}")

    def __reduce__(self) -> tuple:
        """An error that crosses from a worker process arrives whole."""
        return RadliteError, (self.expected, self.found, self.fix)
