"""How the tiny base came to be: general knowledge of places and names, no action, nothing of the human-only splits."""
