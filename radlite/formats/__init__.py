"""How other people's episodes look on disk: one file per layout, bytes and columns only."""
