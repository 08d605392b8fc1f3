"""The tables of labelled photographs fit together."""

from __future__ import annotations

import re
from pathlib import Path

from training.photographs.fetch import TABLE, photographs

SCENES = set("indoors outdoors sky sea beach snow forest mountain street building night sunset grass".split())
FLAGS = {"writing", "rich", "drawing", "sideways"}


def rows(name: str) -> list[list[str]]:
    lines = Path(TABLE.with_name(name)).read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def listed(text: str) -> set[str]:
    return set(filter(None, text.split(", ")))


def test_every_photograph_is_named_once_with_its_source() -> None:
    found = photographs()
    assert len({one.id for one in found}) == len({one.sha256 for one in found}) == len(found) == 739
    assert all(re.fullmatch(r"(debian|pypi|npm):\S+", one.archive) and one.version and one.path for one in found)
    assert all(re.fullmatch(r"[0-9a-f]{64}", one.sha256) and one.licence for one in found)
    assert {one.turn for one in found} <= {0, 90, 180, 270}


def test_every_photograph_has_scene_labels() -> None:
    found = rows("scenes.tsv")
    assert [row[0] for row in found] == [one.id for one in photographs()]
    for name, holds, unsure, things, flags in found:
        assert listed(holds) <= SCENES and listed(unsure) <= SCENES and listed(flags) <= FLAGS, name
        assert not listed(holds) & listed(unsure), name
        assert all(re.fullmatch(r"\D+ \d+\+?", thing) for thing in listed(things)), (name, things)


def test_the_halves_are_apart_and_the_held_out_one_has_a_licence() -> None:
    halves = dict(rows("split.tsv"))  # type: ignore[arg-type]
    assert list(halves.values()).count("held-out") == list(halves.values()).count("development") == 75
    licences = {one.id: one.licence for one in photographs()}
    assert all(licences[name] != "not stated" for name, half in halves.items() if half == "held-out")
    assert not any("drawing" in row[4] for row in rows("scenes.tsv") if row[0] in halves)
