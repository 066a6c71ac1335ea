"""Small ipywidgets that playground and form are made of. Only what ipywidgets 7.7 has."""

from __future__ import annotations

from typing import Any

import ipywidgets as w


def named(widget: w.Widget, name: str) -> w.Widget:
    """The widget with its CSS class `radlite-<name>`, by which pages and tests find it."""
    widget.add_class(f"radlite-{name.replace('_', '-')}")
    return widget


def button(name: str, text: str, hint: str, width: str = "90px", **options: str) -> w.Button:
    """A button with a text, and a hint that shows when the pointer rests on it."""
    return named(w.Button(description=text, tooltip=hint, layout=w.Layout(width=width), **options), name)


def labelled(kind: type, name: str, label: str, width: str, label_width: str = "54px", **options: Any) -> w.Widget:
    """A widget of that kind with a label before it."""
    style = {"description_width": label_width}
    return named(kind(description=label, style=style, layout=w.Layout(width=width), **options), name)
