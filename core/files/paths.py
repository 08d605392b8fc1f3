"""Resolve paths in lists and tables: relative to the file that contains them, also in Windows notation."""

from __future__ import annotations

import os


def located(folder: str, name: str) -> str:
    """The path of `name` in a list or table in `folder`; a web address stays unchanged.

    If there is no such file, backslashes are tried as slashes, and a name that is not UTF-8 as Windows-1252.
    """
    if "://" in name:
        return name
    path = os.path.join(folder, name)
    others = list(_alternatives(name))
    if others and not os.path.lexists(path):
        found = (os.path.join(folder, other) for other in others)
        return next((other for other in found if os.path.lexists(other)), path)
    return path


def _alternatives(name: str) -> list[str]:
    """Other readings of a name."""
    names = [name]
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        raw = name.encode("utf-8", "surrogateescape")
        names.append(raw.decode("cp1252", "replace"))
    if os.sep == "/":
        names += [one.replace("\\", "/") for one in names if "\\" in one]
    return names[1:]


def why_missing(path: str) -> str:
    """The likely reason why a path does not exist, to follow "does not exist"; may be empty."""
    if os.sep == "/" and "\\" in path:
        return " (it is written with backslashes, as on Windows; write / instead)"
    if any("\udc80" <= letter <= "\udcff" for letter in path):
        return " (the name is not UTF-8; save the list or table that it comes from as UTF-8)"
    if "\t" in path or "\r" in path:
        return " (the name holds a tab or a line break; name a table .tsv or .csv)"
    return ""
