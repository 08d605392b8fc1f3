"""The tables of labelled photographs fit together."""

from __future__ import annotations

import json
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


def test_the_truth_of_both_halves_is_whole() -> None:
    lines = TABLE.with_name("truth.jsonl").read_text("utf-8").splitlines()
    truth = {one["id"]: one for one in map(json.loads, lines)}
    assert sorted(truth) == sorted(row[0] for row in rows("split.tsv"))
    colours = set("black white grey red orange yellow green blue purple pink brown".split()) | {""}
    for name, one in truth.items():
        assert set(one) == {"id", "things", "writing", "small_writing", "scene", "maybe"}, name
        assert set(one["scene"]) <= SCENES and all(line.strip() for line in one["writing"]), name
        for thing in one["things"]:
            assert set(thing) == {"name", "count", "exact", "places", "colours", "size"}, name
            assert thing["count"] >= 1 and set(thing["places"]) <= {"left", "middle", "right"}, name
            assert set(thing["colours"]) <= colours and thing["size"] in {"large", "medium", "small"}, name
