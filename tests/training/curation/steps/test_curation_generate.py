"""Step 1: long descriptions in batches, continued if short; an interruption loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import BackendError, UsageError
from tests.training.curation.fakes import DESCRIBE, FakeVision, backend_error, generated_folder, make_pictures, settings
from training.curation.folder import CurationFolder
from training.curation.steps.generate import (
    GenerateSettings,
    Instructions,
    check_capable,
    generate,
    generated,
    known_pictures,
    remember_pictures,
)
from training.curation.steps.pictures import list_pictures
from training.curation.toml import checked


def begin(root: Path, count: int = 8) -> CurationFolder:
    folder = CurationFolder(root / "curation", create=True)
    remember_pictures(folder, list_pictures([str(make_pictures(root / "pictures", count))]))
    return folder


def run(folder: CurationFolder, eye: FakeVision, chosen: GenerateSettings | None = None, **options: bool) -> list[str]:
    return [event.id for event in generate(folder, chosen or settings(), lambda: eye, **options)]


def test_every_picture_is_described_in_batches_and_instructions_take_turns(tmp_path: Path) -> None:
    folder, eye = begin(tmp_path, 10), FakeVision()
    assert run(folder, eye) == [f"p{at:02d}" for at in range(10)]
    assert [len(batch) for batch in eye.batches] == [4, 4, 2]
    made = generated(folder)
    assert [made[f"p{at:02d}"]["instruction"] for at in range(4)] == [*DESCRIBE, *DESCRIBE]
    assert all(one["status"] == "ok" and one["text"] and one["sha256"] for one in made.values())
    assert folder.settings("generate")["revision"] == "1"


def test_a_short_description_is_continued_in_the_same_conversation_and_joined(tmp_path: Path) -> None:
    folder, eye = begin(tmp_path, 3), FakeVision({"p01": "A dog."})
    run(folder, eye)
    [asked] = eye.batches[1]
    assert asked.question == "Continue" and asked.history == ((DESCRIBE[1], "A dog."),)
    record = generated(folder)["p01"]
    assert record["text"] == "A dog. and that is all there is to see in it."
    assert record["parts"] == ["A dog.", "and that is all there is to see in it."]
    assert record["tokens"] == [3, 11], "words and punctuation, where a backend counts no tokens"
    assert len(generated(folder)["p00"]["parts"]) == 1


def test_tokens_are_the_backends_own_where_it_counts_them(tmp_path: Path) -> None:
    class Counts(FakeVision):
        def count_tokens(self, text: str) -> int:
            return len(text)

    folder, eye = begin(tmp_path, 2), Counts({"p00": "A dog.", "p01": "A dog that runs."})
    run(folder, eye, settings(min_tokens=10))
    assert generated(folder)["p00"]["tokens"] == [6, len("and that is all there is to see in it.")]
    assert len(generated(folder)["p01"]["parts"]) == 1


def test_it_is_told_to_continue_as_often_as_the_settings_say(tmp_path: Path) -> None:
    folder, eye = begin(tmp_path, 1), FakeVision({"p00": "A dog."})
    run(folder, eye, settings(min_tokens=1000, continues=3))
    assert [question.question for [question] in eye.batches[1:]] == ["Continue"] * 3
    assert len(generated(folder)["p00"]["parts"]) == 4
    other = begin(tmp_path / "never", 1)
    run(other, eye, settings(min_tokens=1000, continues=0))
    assert generated(other)["p00"]["parts"] == ["A dog."]


def test_seeds_differ_between_batches_and_parts_and_agree_within_one(tmp_path: Path) -> None:
    folder, eye = begin(tmp_path, 8), FakeVision({f"p{at:02d}": "A dog." for at in range(8)})
    run(folder, eye)
    seeds = [{question.options.seed for question in batch} for batch in eye.batches]
    assert all(len(batch) == 1 for batch in seeds)
    assert len(set.union(*seeds)) == 4
    again = begin(tmp_path / "again", 8)
    run(again, eye, settings(seed=43))
    assert not set.union(*seeds) & {question.options.seed for question in eye.batches[-1]}


def test_what_was_done_is_not_done_again_and_the_model_not_even_loaded(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    run(folder, FakeVision())

    def load() -> FakeVision:
        raise AssertionError("nothing is left to do")

    assert list(generate(folder, settings(), load)) == []


def test_a_run_that_stops_in_a_batch_says_the_same_when_it_goes_on(tmp_path: Path) -> None:
    whole, cut = begin(tmp_path / "a"), begin(tmp_path / "b")
    run(whole, FakeVision())
    run(cut, FakeVision())
    lines = cut.generated.path.read_bytes().splitlines(keepends=True)
    cut.generated.path.write_bytes(b"".join(lines[:5]) + lines[5][:20])
    eye = FakeVision()
    run(cut, eye)
    assert [len(batch) for batch in eye.batches] == [4], "one whole batch, though one of its pictures was there"

    def texts(folder: CurationFolder) -> dict[str, str]:
        return {name: record["text"] for name, record in generated(folder).items()}

    assert texts(cut) == texts(whole)


def test_a_picture_that_cannot_be_opened_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    pictures = tmp_path / "pictures"
    (pictures / "p02.png").write_bytes(b"no picture")
    (pictures / "p03.png").unlink()
    (pictures / "p05.png").write_bytes((pictures / "p00.png").read_bytes())
    eye = FakeVision()
    run(folder, eye)
    made = generated(folder)
    assert {name for name, one in made.items() if one["status"] == "failed"} == {"p02", "p03", "p05"}
    assert "does not exist" in made["p03"]["reason"]
    assert made["p05"]["same_as"] == "p00"
    make_pictures(pictures, 8)
    assert run(folder, eye, failed_only=True) == ["p02", "p03"]
    assert generated(folder)["p03"]["status"] == "ok"


def test_one_picture_that_the_backend_fails_on_does_not_spoil_its_batch(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    run(folder, FakeVision({"p01": backend_error("p01 is too much for me")}))
    made = generated(folder)
    assert made["p01"]["status"] == "failed" and "too much" in made["p01"]["reason"]
    assert sum(one["status"] == "ok" for one in made.values()) == 7
    assert run(folder, FakeVision(), failed_only=True) == ["p01"]
    assert generated(folder)["p01"]["instruction"] == DESCRIBE[1]


def test_a_backend_that_fails_on_everything_stops_the_run_and_what_was_done_stays(tmp_path: Path) -> None:
    folder = begin(tmp_path)
    tired = FakeVision({f"p{at:02d}": backend_error() for at in range(4, 8)})
    with pytest.raises(BackendError, match="tired"):
        run(folder, tired)
    assert len(generated(folder)) == 4
    assert len(run(folder, FakeVision())) == 4


def test_a_model_that_says_nothing_is_a_failure_that_keeps_its_parts(tmp_path: Path) -> None:
    class Mute(FakeVision):
        def answer(self, questions: object) -> list[str]:
            return ["  "] * len(questions)  # type: ignore[arg-type]

    folder = begin(tmp_path, 2)
    run(folder, Mute())
    record = generated(folder)["p00"]
    assert (
        record["status"] == "failed"
        and record["reason"] == "the model answered with nothing"
        and record["parts"] == ["", ""]
    )


def test_other_settings_or_pictures_are_not_mixed_into_a_folder(tmp_path: Path) -> None:
    folder = generated_folder(tmp_path)
    with pytest.raises(UsageError, match=r"--seed 42, not 1.*--again"):
        list(generate(folder, settings(seed=1), FakeVision))
    more = list_pictures([str(make_pictures(tmp_path / "more", 9))])
    with pytest.raises(UsageError, match="begun with other pictures"):
        remember_pictures(folder, more)
    assert len(known_pictures(folder)) == 8


def test_pictures_may_be_named_anew_until_the_first_text_is_there(tmp_path: Path) -> None:
    folder = begin(tmp_path, 3)
    remember_pictures(folder, list_pictures([str(make_pictures(tmp_path / "more", 5))]))
    assert len(known_pictures(folder)) == 5


def test_a_model_that_follows_no_instructions_is_refused_unless_wanted() -> None:
    with pytest.raises(UsageError, match=r"pocket follows no instructions.*--anyway"):
        check_capable("pocket", False, anyway=False)
    check_capable("pocket", False, anyway=True)
    check_capable("minigpt4:x", True, anyway=False)


@pytest.mark.parametrize(
    ("field", "value"), [("top_p", 0.0), ("temperature", -1.0), ("batch", 0), ("seed", 2**32), ("instructions", [" "])]
)
def test_settings_that_cannot_be(field: str, value: object) -> None:
    good = {"vision": "x", "instructions": ["y"], "continue_with": "z"}
    with pytest.raises(UsageError, match=f"^--{field.replace('_', '-')} is .*: "):
        checked(GenerateSettings, {**good, field: value})


def test_the_default_instructions_and_bad_ones(tmp_path: Path) -> None:
    shipped = Instructions.load()
    assert len(shipped.instructions) >= 4 and shipped.continue_with == "Continue"
    (tmp_path / "a.toml").write_text('instructions = ["x"]\ncontinu = "y"\n', "utf-8")
    with pytest.raises(UsageError, match=r"instructions file .*a\.toml': continu: .*curate defaults instructions"):
        Instructions.load(tmp_path / "a.toml")
    with pytest.raises(UsageError, match="does not exist"):
        Instructions.load(tmp_path / "b.toml")
    (tmp_path / "c.toml").write_text("instructions = [", "utf-8")
    with pytest.raises(UsageError, match="not valid TOML"):
        Instructions.load(tmp_path / "c.toml")
