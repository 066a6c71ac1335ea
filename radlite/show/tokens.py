"""How sure the policy was, token by token, and where it looked, as things to look at in a notebook."""

from __future__ import annotations

import numpy as np
from PIL import Image

from radlite.errors import RadliteError
from radlite.introspect import Inside, TokenBelief
from radlite.show.html import escape
from radlite.show.panel import FIELD_STYLE
from radlite.show.video import as_frame

_TITLES = {name: title for name, title, _ in FIELD_STYLE} | {"action": "Action"}
_STYLE = "display:inline-block;white-space:pre;padding:1px 2px;margin:1px 0;border-radius:3px;color:#111;"


class Markup:
    """HTML of our own making that a notebook shows as it is; everything from data in it is escaped."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


def token_view(inside: Inside) -> Markup:
    """The chain with every token on a ground as dark as the doubt about it; doubtful ones are underlined and say their odds.

    A token below 50% carries its probability in small figures, so that nothing hangs on colour; the alternatives are in
    its tooltip and, for reading without a mouse, in `token_table`.
    """
    lines, last = [], None
    for token in inside.tokens:
        if token.field != last:
            lines.append(f"</div><div style='margin:2px 0'><b>{escape(_TITLES.get(token.field, token.field))}</b> ")
            last = token.field
        lines.append(_span(token))
    return Markup("<div style='line-height:1.7'><div>" + "".join(lines) + "</div></div>")


def _span(token: TokenBelief) -> str:
    doubt = 1 - min(max(token.probability, 0.0), 1.0)
    tip = escape(", ".join(f"{text!r} {p:.0%}" for text, p in token.others))
    sure = token.probability >= 0.5
    more = "" if sure else f"<sub>{token.probability:.0%}</sub>"
    line = "" if sure else "text-decoration:underline;"
    ground = f"background:rgb({255 - round(10 * doubt)},{255 - round(90 * doubt)},{255 - round(200 * doubt)});"
    return f"<span title='{tip}' style='{_STYLE}{line}{ground}'>{_shown(token.text)}{more}</span>"


def _shown(text: str) -> str:
    """A token as it reads; the space that most begin with is kept."""
    return ("&nbsp;" if text.startswith(" ") else "") + escape(text)


def token_table(inside: Inside, name: str | None = None, below: float = 1.0) -> Markup:
    """Tokens with their probability and what the policy would have said instead.

    Args:
        inside: from `look_inside`.
        name: only this field.
        below: only tokens that are less likely than this.
    """
    rows = [t for t in inside.tokens if (name is None or t.field == name) and t.probability <= below]
    head = "<tr><th>field<th>token<th>probability<th>likeliest</tr>"
    body = "".join(
        f"<tr><td>{escape(t.field)}<td>{_shown(t.text)}<td>{t.probability:.1%}"
        f"<td>{', '.join(f'{_shown(o)} {p:.0%}' for o, p in t.others)}</tr>"
        for t in rows
    )
    return Markup(f"<table>{head}{body}</table>")


def attention_picture(frame: np.ndarray, attention: np.ndarray, size: int = 320) -> np.ndarray:
    """A frame that is light where attention went and dark where none did.

    Args:
        frame: uint8 (H, W, 3).
        attention: (rows, columns), at least 0; only its shape over the cells counts.
        size: side of the picture, pixels.

    Returns:
        uint8 (size, size, 3).

    Raises:
        RadliteError: attention of another shape, or with negative or non-finite numbers.
    """
    cells = np.asarray(attention, float)
    if cells.ndim != 2 or not np.isfinite(cells).all() or (cells < 0).any():
        raise RadliteError(
            "attention (rows, columns) of numbers >= 0", f"shape {cells.shape}", "average over layers and heads first"
        )
    peak = cells.max() or 1.0
    light = Image.fromarray(np.uint8(255 * cells / peak)).resize((size, size), Image.Resampling.BILINEAR)
    picture = np.asarray(Image.fromarray(as_frame(frame)).resize((size, size), Image.Resampling.BICUBIC), float)
    share = 0.2 + 0.8 * np.asarray(light, float)[..., None] / 255
    return np.uint8(np.round(picture * share))
