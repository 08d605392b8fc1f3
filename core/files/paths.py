"""Paths as they are written in lists and tables: relative to the file that names them, sometimes in Windows' way."""

from __future__ import annotations

import os


def located(folder: str, name: str) -> str:
    """The path that a list or table in `folder` names; a web address stays what it is.

    Where there is no such file, a name with backslashes is tried with slashes, and one that is not UTF-8 as
    Windows-1252. Where that is no file either, the name stays as it was written.
    """
    if "://" in name:
        return name
    path = os.path.join(folder, name)
    others = list(_other_ways(name))
    if others and not os.path.lexists(path):
        found = (os.path.join(folder, other) for other in others)
        return next((other for other in found if os.path.lexists(other)), path)
    return path


def _other_ways(name: str) -> list[str]:
    """How else a name may be meant."""
    names = [name]
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        raw = name.encode("utf-8", "surrogateescape")
        names.append(raw.decode("cp1252", "replace"))
    if os.sep == "/":
        names += [one.replace("\\", "/") for one in names if "\\" in one]
    return names[1:]


def why_missing(path: str) -> str:
    """What may be wrong with a path that does not exist, to follow "does not exist"; empty where nothing is odd."""
    if os.sep == "/" and "\\" in path:
        return " (it is written with backslashes, as on Windows; write / instead)"
    if any("\udc80" <= letter <= "\udcff" for letter in path):
        return " (the name is not UTF-8; save the list or table that it comes from as UTF-8)"
    if "\t" in path or "\r" in path:
        return " (the name holds a tab or a line break; name a table .tsv or .csv)"
    return ""
