"""Captions where other tools look for them: text files, XMP sidecars, JSON Lines; with versions and undo."""
