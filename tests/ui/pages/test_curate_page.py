"""The page Curate: a sample labelled by keys, edited and undone, two reviewers, rules on trial, a report."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.training.curation.fakes import FakeMender, generated_folder, make_pictures
from tests.ui.app import assert_well, html_of, open_page, visitor_of
from training.curation.folder import CurationFolder
from training.curation.processes import StepStatus, watch
from training.curation.review.labels import Kinds, Labels
from training.curation.rules.rules import Rules, last_verdict
from training.curation.steps.checking import Repair
from training.curation.steps.repair import (
    RepairConfig,
    RepairSettings,
    edited,
    prompts_digest,
    repair,
    repaired,
)
from training.curation.workspace import apply_rules
from ui.state.training import CuratePageState
from ui.views.review_view import RESERVED, marked_change, shortcuts


@pytest.fixture
def folder(tmp_path: Path) -> CurationFolder:
    """A curation of six pictures with repaired texts; one says "sorry", which a rule takes out."""
    made = generated_folder(tmp_path, 6)
    files = Repair.load()

    def mend(text: str, seed: int) -> str:
        return f"I am sorry, I cannot. {text}" if " p00:" in text else text

    chosen = RepairSettings(repairer="fake-repairer", prompts=prompts_digest(files))
    list(repair(made, chosen, files, FakeMender(mend), RepairConfig()))
    first = next(iter(repaired(made).values()))
    made.repaired.append({**first, "text": f"As an AI language model I cannot see. {first['text']}"})
    return made


def opened(folder: CurationFolder, part: str = "review", reviewer: str = "") -> AppTest:
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(folder.path.parent)).run()
    assert_well(app)
    if part != "review":
        app.session_state["curate-part"] = part
        app.run()
        assert_well(app)
    if reviewer:
        app.text_input(key="curate-reviewer").set_value(reviewer).run()
        draw = [button for button in app.button if button.label == "Draw the sample"]
        if draw:
            draw[0].click().run()
        assert_well(app)
    return app


def desk(app: AppTest) -> CuratePageState:
    return visitor_of(app).keep("curate", CuratePageState)


def press(app: AppTest, *keys: str) -> None:
    for key in keys:
        app.button(key=key).click().run()
        assert_well(app)


def until_idle(path: Path) -> StepStatus:
    """When the step that is at work there has ended."""
    end = time.monotonic() + 240
    while (doing := watch(path)).at_work:
        assert time.monotonic() < end, doing
        time.sleep(0.05)
    return doing


def test_without_a_curation_the_page_says_how_to_begin_one(tmp_path: Path) -> None:
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(tmp_path)).run()
    assert "inquisight curate generate" in app.info[0].value
    app.text_input(key="curate-root").set_value(str(tmp_path / "nowhere")).run()
    assert_well(app)
    assert "is no folder of this machine" in app.error[0].value


@pytest.mark.slow
def test_texts_are_labelled_one_after_the_other(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    review = desk(app).review
    assert review is not None and len(review.items) == 6
    first = review.items[0]
    assert first.text.split(".")[0] in html_of(app)
    press(app, "kind-invented", "kind-wrong", "kind-wrong", "review-keep", "review-keep")
    said = Labels(folder)
    assert said.get("Ada", first).kinds == ("invented",)  # type: ignore[union-attr]
    assert said.get("Ada", review.items[1]).kinds == ()  # type: ignore[union-attr]
    assert review.place == 2 and "2 of 6 texts labelled" in app.get("progress")[0].proto.text


def test_a_note_stands_beside_the_label_it_was_written_for(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    note = next(one for one in app.text_input if one.label == "Note")
    note.set_value("the dog is a cat")
    press(app, "review-keep")  # no run between the note and the button
    review = desk(app).review
    assert review is not None
    assert Labels(folder).get("Ada", review.items[0]).note == "the dog is a cat"  # type: ignore[union-attr]
    assert next(one for one in app.text_input if one.label == "Note").value == ""


def test_keys_that_come_at_once_belong_to_the_text_in_view(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    app.button(key="review-keep").click()
    app.button(key="kind-thin").click().run()
    assert_well(app)
    review = desk(app).review
    assert review is not None
    assert Labels(folder).get("Ada", review.items[0]).kinds == ("thin",)  # type: ignore[union-attr]
    assert review.place == 1 and not review.ticked


@pytest.mark.slow
def test_undo_takes_back_a_label_and_an_edit(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    review = desk(app).review
    assert review is not None
    before = review.items[0]
    assert app.button(key="review-undo").disabled
    press(app, "kind-invented", "review-keep", "review-undo")
    assert Labels(folder).get("Ada", before) is None and review.place == 0
    press(app, "review-edit")
    app.text_area[0].set_value("A red house stands by the sea.")
    next(button for button in app.button if button.label == "Save").click().run()
    assert_well(app)
    assert repaired(folder)[before.id]["text"] == "A red house stands by the sea."
    assert repaired(folder)[before.id]["by"] == "Ada"
    assert "A red house stands by the sea." in html_of(app)
    press(app, "review-undo")
    assert repaired(folder)[before.id]["text"] == before.text


def test_a_text_is_edited_after_the_rules_too_and_taken_back(folder: CurationFolder) -> None:
    apply_rules(folder, Rules.load())
    app = opened(folder, reviewer="Ada")
    app.segmented_control(key="curate-stage-review").set_value("rules").run()
    next(button for button in app.button if button.label == "Draw the sample").click().run()
    assert_well(app)
    review = desk(app).review
    assert review is not None
    before = review.items[0]
    press(app, "review-edit")
    app.text_area[0].set_value("A red house stands by the sea.")
    next(button for button in app.button if button.label == "Save").click().run()
    assert_well(app)
    assert edited(folder)[before.id]["by"] == "Ada" and "A red house stands by the sea." in html_of(app)
    assert repaired(folder)[before.id]["text"] != "A red house stands by the sea."
    press(app, "review-undo")
    assert not edited(folder) and before.text.split(".")[0] in html_of(app)


def test_an_edit_that_says_nothing_is_a_sentence(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    press(app, "review-edit")
    app.text_area[0].set_value("   ")
    next(button for button in app.button if button.label == "Save").click().run()
    assert_well(app)
    assert "An empty text cannot be kept" in app.error[0].value
    assert not folder.repaired.read()[-1].get("by")


@pytest.mark.slow
def test_a_text_that_somebody_else_changed_is_shown_as_it_is_now(folder: CurationFolder) -> None:
    one, other = opened(folder, reviewer="Ada"), opened(folder, reviewer="Ben")
    press(one, "review-edit")
    one.text_area[0].set_value("A text by Ada.")
    next(button for button in one.button if button.label == "Save").click().run()
    press(other, "kind-thin")
    assert "A text by Ada." in html_of(other)


def test_at_the_end_there_is_a_way_back(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    press(app, *["review-keep"] * 6)
    assert "All texts are labelled" in app.success[0].value
    press(app, "review-undo")
    assert desk(app).review.place == 5  # type: ignore[union-attr]


def test_a_picture_that_went_away_is_a_sentence(folder: CurationFolder) -> None:
    for picture in (folder.path.parent / "pictures").iterdir():
        picture.unlink()
    app = opened(folder, reviewer="Ada")
    assert "does not exist any more" in app.warning[0].value
    press(app, "review-keep")


def test_every_button_has_a_key_of_its_own_that_a_browser_page_can_have() -> None:
    keys = shortcuts(Kinds.load())
    assert len(set(keys.values())) == len(keys) and not RESERVED & set(keys.values())
    assert {*Kinds.load().names, "keep", "skip", "back", "undo", "edit"} == set(keys)
    assert keys["broken end"] == "e" and keys["repetition"] == "1"
    odd = Kinds.model_validate({"kind": [{"key": key, "name": f"kind {key}", "says": ""} for key in "kcrm1"]})
    found = shortcuts(odd)
    assert found["kind k"] == "k" and found["keep"] != "k" and len(set(found.values())) == len(found)


def test_keys_can_be_switched_off(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    assert app.button(key="review-keep").proto.shortcut == "k"
    app.toggle(key="curate-keys").set_value(False).run()
    assert app.button(key="review-keep").proto.shortcut == ""


@pytest.mark.slow
def test_two_reviewers_and_what_they_differ_on(folder: CurationFolder) -> None:
    assert "two people" in opened(folder, "agreement").info[0].value
    one, other = opened(folder, reviewer="Ada"), opened(folder, reviewer="Ben")
    press(one, "kind-invented", "review-keep", "review-keep", "kind-thin", "review-keep")
    press(other, "kind-invented", "review-keep", "review-keep", "review-keep")
    app = opened(folder, "agreement")
    assert [(one.label, one.value) for one in app.metric] == [
        ("Texts labelled by both", "3"),
        ("Equal labels", "2"),
        ("Cohen's kappa", "0.40"),
    ]
    assert app.subheader[-1].value == "1 text with different labels"
    assert "<b>Ben:</b> no errors" in html_of(app)


def test_rules_show_their_hits_as_they_change(folder: CurationFolder) -> None:
    app = opened(folder, "rules")
    assert "1 hit" in app.checkbox(key="rule-apology").label
    assert "<del>As an AI language model I cannot see.</del>" in html_of(app)
    app.checkbox(key="rule-apology").uncheck().run()
    assert_well(app)
    assert app.checkbox(key="rule-apology").label == "apology (fix): off"
    assert "no hit" in app.checkbox(key="rule-marks").label
    assert "<del>As an AI" not in html_of(app)
    mine = '[[rule]]\nname = "no-number"\npattern = "number"\naction = "drop"\n'
    app.text_area(key="curate-rules").set_value(mine).run()
    assert_well(app)
    assert "6 hits" in app.checkbox(key="rule-no-number").label
    assert last_verdict(folder) is None, "on trial, nothing is written"
    app.text_area(key="curate-rules").set_value("[[rule]\n").run()
    assert "is not valid TOML" in app.error[0].value


def test_rules_are_applied_without_those_that_are_off(folder: CurationFolder) -> None:
    app = opened(folder, "rules")
    app.checkbox(key="rule-apology").uncheck().run()
    press(app, "curate-apply")
    assert "kept" in app.success[0].value
    verdict = last_verdict(folder)
    assert verdict is not None and "apology" not in {rule["name"] for rule in verdict["rules"]}


@pytest.mark.slow
def test_progress_and_report(folder: CurationFolder) -> None:
    app = opened(folder, reviewer="Ada")
    press(app, "kind-invented", "review-keep")
    app = opened(folder, "report")
    bars = [one.proto.text for one in app.get("progress")]
    assert "Repaired: 6 of 6 texts" in bars and "Labelled by Ada: 1 of 6 texts" in bars
    assert any("Sample before the rules" in one.value for one in app.markdown)
    press(app, "curate-report-write")
    assert (folder.path / "report" / "report.md").is_file()


def test_rules_write_themselves_as_a_file_that_reads_as_the_same() -> None:
    rules = Rules.load()
    assert Rules.parse(rules.to_toml()) == rules
    assert [rule.name for rule in rules.without({"apology"}).rule] == [rule.name for rule in rules.rule][1:]


def test_a_change_is_marked_and_nothing_of_it_is_run() -> None:
    assert marked_change("a red <b>cat</b>", "a cat") == "a <del>red &lt;b&gt;cat&lt;/b&gt;</del> <ins>cat</ins>"


def test_a_damaged_file_is_a_sentence(folder: CurationFolder) -> None:
    with folder.labels.path.open("w") as file:
        file.write("not a record\n{}\n")
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(folder.path.parent)).run()
    app.session_state["curate-part"] = "report"
    app.run()
    assert_well(app)
    assert "labels.jsonl" in app.error[0].value


# --- the steps ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_texts_are_repaired_and_exported_from_the_page(tmp_path: Path) -> None:
    made = generated_folder(tmp_path, 3)
    app = opened(made, "steps")
    assert app.selectbox(key="make-repairer").value == "rules", "scripted repairs nothing"
    press(app, "make-go-repair")
    assert until_idle(made.path).error == "" and len(repaired(made)) == 3
    app.run()
    assert_well(app)
    assert "3 of 3 texts" in [one.proto.text for one in app.get("progress")]
    assert any("Apply the rules first" in one.value for one in app.caption)
    apply_rules(made, Rules.parse("[near_duplicates]\nsimilarity = 2.0\n"))
    app.run()
    app.text_input(key=f"make-to-{made.path.name}").set_value(str(tmp_path / "out")).run()
    press(app, "make-go-export")
    assert until_idle(made.path).error == ""
    assert (tmp_path / "out" / "filter_cap.json").is_file()


@pytest.mark.slow
def test_a_step_at_work_is_shown_and_stopped(folder: CurationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("training.curation.processes.stop", asked.append)
    now = StepStatus("running", "repair", 2, 6, 1, "cost 0.25", 90.0)
    monkeypatch.setattr("training.curation.processes.watch", lambda path: now)
    app = opened(folder, "steps")
    assert "2 of 6" in [one.proto.text for one in app.get("progress")]
    assert all(words in html_of(app) for words in ("Repairing texts", "1 failed", "cost 0.25", "1 min 30 s left"))
    press(app, "make-stop")
    assert asked == [folder.path]


def test_why_a_step_ended_is_a_sentence(folder: CurationFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "training.curation.processes.watch", lambda path: StepStatus(step="repair", error="no key is set")
    )
    app = opened(folder, "steps")
    assert app.error[0].value == "No key is set."


@pytest.mark.slow
def test_a_curation_is_begun_on_the_page(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures", 3)
    app = open_page("curate")
    app.text_input(key="curate-root").set_value(str(tmp_path)).run()
    assert app.button(key="make-begin").disabled
    app.text_input(key="make-images").set_value(str(tmp_path / "nowhere")).run()
    app.text_input(key="make-folder").set_value(str(tmp_path / "new")).run()
    press(app, "make-begin")
    assert "is not on this machine" in app.error[0].value
    app.text_input(key="make-images").set_value(str(tmp_path / "pictures")).run()
    press(app, "make-begin")
    assert "follows no instructions" in app.error[0].value and not (tmp_path / "new").exists()
    app.checkbox(key="make-anyway").check().run()
    app.number_input(key="make-sample").set_value(2).run()
    app.number_input(key="make-continues").set_value(0).run()
    press(app, "make-begin")
    assert "2 images will be described" in app.success[0].value
    assert until_idle(tmp_path / "new").error == ""
    app.run()
    assert_well(app)
    assert "2 of 2 images" in [one.proto.text for one in app.get("progress")]


def texts(folder: CurationFolder) -> list[str]:
    return [str(one["text"]) for one in repaired(folder).values()]


def test_a_word_is_replaced_in_many_texts_after_a_preview_and_that_is_undone(folder: CurationFolder) -> None:
    app = opened(folder, "texts")
    before = texts(folder)
    word = before[1].split()[-1].strip(".")
    app.text_input(key="texts-find").set_value(word).run()
    assert_well(app)
    assert app.button(key="texts-replace").disabled, "nobody has given a name"
    app.text_input(key="texts-reviewer").set_value("ada").run()
    app.text_input(key="texts-by").set_value("zebra").run()
    hit = [text for text in before if word in text]
    assert f"Replace in {len(hit)} text" in app.button(key="texts-replace").label
    assert "<ins>" in html_of(app) and texts(folder) == before
    app.button(key="texts-replace").click().run()
    assert_well(app)
    assert texts(folder) == [text.replace(word, "zebra") for text in before]
    app.button(key="texts-undo").click().run()
    assert_well(app)
    assert texts(folder) == before and not [one for one in app.button if one.key == "texts-undo"]


def test_one_text_is_found_and_edited_and_a_bad_pattern_is_a_sentence(folder: CurationFolder) -> None:
    app = opened(folder, "texts")
    app.text_input(key="texts-reviewer").set_value("ada").run()
    app.text_input(key="texts-words").set_value("AI language").run()
    [area] = app.text_area
    area.set_value("A plain wall.")
    next(one for one in app.button if one.label == "Save").click().run()
    assert_well(app)
    assert texts(folder)[0] == "A plain wall." and not app.text_area, "the search no longer matches"
    app.text_input(key="texts-words").set_value("").run()
    app.checkbox(key="texts-regex").check().run()
    app.text_input(key="texts-find").set_value("(").run()
    assert_well(app)
    assert any("is not valid" in one.value for one in app.error)


def test_a_text_that_somebody_else_has_changed_since_is_not_overwritten(folder: CurationFolder) -> None:
    from core.errors import UsageError
    from training.curation.review.edits import change_all, edit
    from training.curation.review.texts import find_texts

    first, second, *_ = find_texts(folder, "repair")
    edit(folder, second, "Somebody was faster.", "eve")
    before = texts(folder)
    with pytest.raises(UsageError, match="somebody else"):
        change_all(folder, [(first, "One."), (second, "Two.")], "ada")
    assert texts(folder) == before, "neither is written"
