"""Curate and Train in a real browser: ten pairs labelled by the keyboard; a pocket training started and stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs.dashboard_world import make_curation, make_model, make_pictures
from training.curation.folder import CurationFolder
from training.curation.review.labels import Labels
from training.curation.steps.repair import repaired
from training.runs.manage import describe

expect: Any = pytest.importorskip("playwright.sync_api", reason="pip install playwright").expect
LONG = 120_000
Visit = Callable[..., Any]


def fill(page: Any, name: str, value: str) -> None:
    box = page.get_by_role("textbox", name=name)
    box.fill(value)
    box.press("Enter")


def fill_number(page: Any, name: str, value: str) -> None:
    box = page.get_by_role("spinbutton", name=name)
    box.fill(value)
    box.press("Enter")


def press_until(page: Any, key: str, text: str) -> None:
    page.keyboard.press(key)
    expect(page.get_by_text(text)).to_be_visible(timeout=LONG)


def test_ten_pairs_are_labelled_by_the_keyboard(visit: Visit, tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    folder = CurationFolder(make_curation(tmp_path / "curation", tmp_path / "pictures"))
    page = visit("curate")
    fill(page, "Folder with curations", str(tmp_path))
    fill(page, "Your name", "Ada")
    page.get_by_role("button", name="Draw the sample").click()
    expect(page.get_by_text("0 of 10 texts labelled")).to_be_visible(timeout=LONG)
    picture = page.get_by_role("img", name=re.compile("^Image ")).first
    expect(picture).to_be_visible(timeout=LONG)
    expect(page.get_by_role("button", name="No errors, next")).to_be_visible(timeout=LONG)
    for number in range(10):
        if number % 2:
            page.keyboard.press("w")
            expect(page.get_by_role("button", name="Save, next")).to_be_visible(timeout=LONG)
        press_until(page, "k", f"{number + 1} of 10 texts labelled")
    expect(page.get_by_text("All texts are labelled.")).to_be_visible()
    press_until(page, "u", "9 of 10 texts labelled")
    expect(page.get_by_role("button", name="No errors, next")).to_be_visible(timeout=LONG)
    press_until(page, "k", "10 of 10 texts labelled")
    said = Labels(folder).all()
    assert len(said) == 10 and {label.reviewer for label in said} == {"Ada"}
    assert sum(label.kinds == ("wrong",) for label in said) == 4


def test_what_is_typed_is_no_key(visit: Visit, tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    folder = CurationFolder(make_curation(tmp_path / "curation", tmp_path / "pictures"))
    page = visit("curate")
    fill(page, "Folder with curations", str(tmp_path))
    fill(page, "Your name", "Ada")
    page.get_by_role("button", name="Draw the sample").click()
    note = page.get_by_role("textbox", name="Note")
    expect(note).to_be_visible(timeout=LONG)
    note.press_sequentially("weak tea")
    page.get_by_role("button", name="No errors, next").click()
    expect(page.get_by_text("1 of 10 texts labelled")).to_be_visible(timeout=LONG)
    [label] = Labels(folder).all()
    assert label.note == "weak tea" and label.kinds == ()


def test_a_curation_is_begun_repaired_and_its_page_reloaded(visit: Visit, tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    page = visit("curate")
    fill(page, "Folder with curations", str(tmp_path))
    fill(page, "Images", str(tmp_path / "pictures"))
    fill(page, "New curation folder", str(tmp_path / "new"))
    fill_number(page, "Number of images", "3")
    page.get_by_text("Use it although it follows no instructions").click()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("3 images will be described")).to_be_visible(timeout=LONG)
    page.reload()  # a step is no business of the page's
    expect(page.get_by_text("3 of 3 images")).to_be_visible(timeout=LONG)
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("3 of 3 texts")).to_be_visible(timeout=LONG)
    assert len(repaired(CurationFolder(tmp_path / "new"))) == 3


def test_a_pocket_training_is_started_and_stopped(visit: Visit, tmp_path: Path) -> None:
    world = make_model(tmp_path, make_pictures(tmp_path / "pictures"))
    run = tmp_path / "trainings" / "mine"
    page = visit("train")
    page.get_by_text("New training").click()
    page.get_by_role("combobox", name="Recipe").click()
    page.get_by_text("pocket-test", exact=False).last.click()
    fill(page, "Model", world["model"])
    fill(page, "Data", world["data"])
    settings = page.get_by_role("textbox", name="Other settings")
    settings.fill(f"features={world['features']}\nsteps=5000\ncheckpoint_every=20\nexplosion=0")
    settings.press("Control+Enter")
    expect(page.get_by_text("5,000 steps")).to_be_visible(timeout=LONG)
    fill(page, "Output folder", str(run))
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("has started")).to_be_visible(timeout=LONG)
    expect(page.get_by_text(re.compile(r"^Step [1-9]\d* of 5,000"))).to_be_visible(timeout=LONG)
    page.reload()  # a training is no business of the page's
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("interrupted")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("button", name="Resume")).to_be_visible(timeout=LONG)
    facts = describe(run)
    assert facts["state"] == "interrupted" and facts["checkpoints"][-1] == facts["step"] < 5000
