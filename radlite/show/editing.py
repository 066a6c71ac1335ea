"""`radlite.edit`: an episode opened for corrections, as a widget or, where that cannot be shown, as a form."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from radlite.edits import EpisodeEdits
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset

if TYPE_CHECKING:
    from radlite.show.edit_form import EditForm
    from radlite.show.editor import Editor


def edit(
    source: Episode | EpisodeDataset | str | Path,
    index: int | None = None,
    *,
    save_to: str | Path | None = None,
    form: bool = False,
) -> Editor | EditForm:
    """An episode to correct in a notebook: draw and move boxes, write fields, split and merge segments, undo, save.

    editor = edit(dataset, 3)        # or edit("data_samples/robot", 3), or edit(episode)
    editor.episode                   # the `Episode` as it is now, as training reads it
    editor.save()                    # its chains back into the dataset, the rest of it as it was
    editor.save("runs/edited")       # or as a dataset of its own

    Args:
        source: an `Episode`, which is then edited in place; a dataset or its folder, with `index`.
        index: number of the episode in the dataset.
        save_to: a folder for the save button; by default that of the dataset.
        form: plain fields instead of the widget. So it is, too, where anywidget is not installed.

    Raises:
        RadliteError: another kind of source, no such episode, or neither anywidget nor ipywidgets.
    """
    edits = EpisodeEdits(source, index)
    if form or find_spec("anywidget") is None:
        from radlite.show.edit_form import EditForm

        return EditForm(edits, save_to)
    from radlite.show.editor import Editor

    return Editor(edits, save_to)
