"""The player: a recording to look at in a notebook, with what was said at every frame beside it.

A widget of one hand-written ES module (timeline.js, then player.js). JavaScript asks for a frame by setting `index`; Python
draws that one frame, encodes it and sends it together with the frame's text. Where nothing can run (GitHub, a PDF) a film strip
stands instead.
"""

from __future__ import annotations

import base64
import io
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from radlite.errors import RadliteError
from radlite.reasoning import Reasoning
from radlite.show.filmstrip import film_strip
from radlite.show.overlay import COLOURS, draw_prediction
from radlite.show.panel import COMPARED, FIELD_STYLE
from radlite.show.text import clean
from radlite.show.tracks import as_track, segments, spoken

try:
    import anywidget
    from traitlets import Bytes, Dict, Float, Int, List, Unicode, observe, validate
except ImportError as error:
    raise RadliteError("anywidget, which the player needs", str(error), "pip install 'radlite[notebooks]'") from error

SIZE = 512  # longer side of a drawn frame in pixels; the browser scales it to the place there is
KEPT = 48  # encoded frames a track that stay in memory, some 40 kB each
_DARK_PAPER = (24, 24, 26)


def front_end(*names: str) -> str:
    """The text of these files beside this one, one behind the other."""
    return "\n".join((Path(__file__).parent / name).read_text("utf-8") for name in names)


def play(*sources: object, titles: tuple[str, ...] | list[str] | None = None, fps: float | None = None) -> Player:
    """One recording, or two side by side, to play in a notebook.

    play(episode)
    play(outcome_ecot, outcome_rad, titles=("ECoT", "RAD"))
    play((frames, chains, actions), episode, titles=("predicted", "true"))

    Args:
        sources: one or two of: an `Episode`; an `Outcome` of a rollout that kept its frames; a tuple (frames, chains) or
            (frames, chains, actions), chains being `Reasoning`, `Prediction` or None. Of two, the shorter one holds its
            last frame.
        titles: a line for each; by default its instruction.
        fps: frames a second; by default those of the first episode among them, else 5.

    Raises:
        RadliteError: not one or two sources, a source of another kind or without frames, titles of another number, bad fps.
    """
    return Player(*sources, titles=titles, fps=fps)


class Player(anywidget.AnyWidget):
    """The widget behind `play`, whose arguments it takes. All its state is in plain traits.

    Attributes:
        index: the frame that is asked for, from 0; set it to seek. Out of range is the nearest frame there is.
        shown: the frame that `pictures` and `said` belong to.
        pictures: for each track the drawn frame, JPEG.
        said: for each track {field: text} of that frame's chain and action; what was not said has no key.
        segments: for each track its timeline, see `radlite.show.tracks.segments`.
        lengths: frames of each track.
        titles, notes: for each track what it is and what became of it.
        fps: frames a second.
        fields: the rows of text: {"name", "title", "light", "dark", "compared"}: CSS colours for light and dark themes, and
            whether two tracks that say something else are worth a mark.
        palette: CSS colours of the segments, by kind.
    """

    _esm = front_end("timeline.js", "player.js")
    _css = front_end("player.css")
    _ipython_display_ = None  # ipywidgets 7 would show itself with it, and leave the still picture out

    index = Int(0).tag(sync=True)
    shown = Int(0).tag(sync=True)
    pictures = List(Bytes()).tag(sync=True)
    said = List(Dict()).tag(sync=True)
    segments = List(List(Dict())).tag(sync=True)
    lengths = List(Int()).tag(sync=True)
    titles = List(Unicode()).tag(sync=True)
    notes = List(Unicode()).tag(sync=True)
    fps = Float(5.0).tag(sync=True)
    fields = List(Dict()).tag(sync=True)
    palette = List(Unicode()).tag(sync=True)

    def __init__(self, *sources: object, titles: Any = None, fps: float | None = None) -> None:
        if len(sources) not in (1, 2):
            raise RadliteError("one or two recordings to play", f"{len(sources)}", "play(episode), or play(a, b)")
        self._tracks = [as_track(source) for source in sources]
        self._jpeg = lru_cache(KEPT * len(sources))(self._encode)
        rates = [track.fps for track in self._tracks if track.fps]
        super().__init__(
            lengths=[len(track) for track in self._tracks],
            titles=_titles(titles, self._tracks),
            notes=[track.note for track in self._tracks],
            fps=_rate(fps if fps is not None else (rates or [5.0])[0]),
            segments=segments(self._tracks),
            fields=self._rows(),
            palette=[_css_colour(colour) for colour in COLOURS],
            pictures=self._pictures(0),
            said=self._said(0),
        )

    def __len__(self) -> int:
        """Frames of the longer track."""
        return max(map(len, self._tracks))

    def __repr__(self) -> str:
        return f"<Player of {len(self)} frames: {' | '.join(self.titles)}>"

    @validate("index")
    def _clamp(self, proposal: dict) -> int:
        return min(max(proposal["value"], 0), len(self) - 1)

    @validate("titles", "notes")
    def _clean(self, proposal: dict) -> list[str]:
        return [clean(title, 200) for title in proposal["value"]]

    @observe("index")
    def _show(self, _: dict) -> None:
        """Everything of the new frame, in one message."""
        with self.hold_sync():
            self.pictures = self._pictures(self.index)
            self.said = self._said(self.index)
            self.shown = self.index

    def _pictures(self, index: int) -> list[bytes]:
        return [self._jpeg(number, track.held(index)) for number, track in enumerate(self._tracks)]

    def _said(self, index: int) -> list[dict[str, str]]:
        places = [(track, track.held(index)) for track in self._tracks]
        return [spoken(track.chains[k], track.actions[k]) for track, k in places]

    def _encode(self, number: int, k: int) -> bytes:
        track = self._tracks[number]
        return jpeg(track.frames[k], track.chains[k], track.actions[k])

    def _rows(self) -> list[dict[str, Any]]:
        """The fields that occur anywhere, so that rows stay where they are from frame to frame."""
        there = {f for track in self._tracks for c, a in zip(track.chains, track.actions, strict=True) for f in spoken(c, a)}
        style = (*FIELD_STYLE, ("action", "Action", (165, 55, 0)))
        return [field_row(*one) for one in style if one[0] in there]

    # ------------------------------------------------------------------------------------------ where nothing moves
    def film_strip(self) -> np.ndarray:
        """The recording as one still picture, uint8 (H, 1000, 3): frames in a row, the timelines below."""
        return film_strip(self._tracks, self.segments, self.titles)

    @cached_property
    def _png(self) -> str:
        file = io.BytesIO()
        Image.fromarray(self.film_strip()).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode("ascii")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        """The widget for a front end that can run it, a picture and a line of text for all others."""
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "text/plain": repr(self), "image/png": self._png}, metadata


def jpeg(frame: np.ndarray, chain: Reasoning | None, action: np.ndarray | None) -> bytes:
    """A frame with what was said drawn over it, encoded for the browser."""
    file = io.BytesIO()
    drawn = draw_prediction(frame, chain, action, size=SIZE, panel=False)
    Image.fromarray(drawn).save(file, "JPEG", quality=90, subsampling=0)  # coloured lines stay sharp
    return file.getvalue()


def field_row(name: str, title: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    """A row of text, as `Player.fields` has it."""
    colours = {"light": _css_colour(colour), "dark": _css_colour(lightened(colour))}
    return {"name": name, "title": title, **colours, "compared": name in COMPARED}


def lightened(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour made for white paper, mixed with white until it reads as well on dark paper (contrast 5.5)."""
    mixes = (tuple(round(c + (255 - c) * k / 20) for c in colour) for k in range(21))
    return next(mix for mix in mixes if contrast(mix, _DARK_PAPER) >= 5.5)


def contrast(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    """Contrast of two colours as WCAG defines it, 1 to 21."""
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: tuple[int, int, int]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _css_colour(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _titles(titles: Any, tracks: list) -> list[str]:
    if titles is None:
        return [track.title for track in tracks]
    listed = isinstance(titles, list | tuple) and all(isinstance(t, str) for t in titles)
    if not listed or len(titles) != len(tracks):
        raise RadliteError(f"{len(tracks)} title(s), one a recording", repr(titles)[:100], 'titles=("ECoT", "RAD")')
    return list(titles)


def _rate(fps: Any) -> float:
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 240:
        raise RadliteError("fps above 0 and at most 240", repr(fps), "leave it out to get 5")
    return float(fps)
