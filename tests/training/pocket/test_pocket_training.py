"""pocket's training data: exact scenes, text that follows from them, and batches that do not leak."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors.torch import load_file, save_file

from plugins.pocket.colours import COLOURS
from plugins.pocket.modeling import FACTS, HINT_TOKENS, CellOutputs, DetectionHead, PocketVision
from plugins.pocket.speech.words import join
from training.pocket import foundation, sources
from training.pocket.features import on_photographs
from training.pocket.foundation import Examples, continue_head, known_names, targets
from training.pocket.photo_questions import Hints, PhotoQuestions
from training.pocket.scene_questions import SceneQuestions
from training.pocket.scenes import Composer, place
from training.pocket.train import IGNORE, QUERIES, SequenceBatch, build, collate, loss_of, rate
from training.pocket.train import PocketRecipe as PocketRecipe
from training.pocket.vocabulary import corpus, groups, imagenet, train_tokenizer
from training.pocket.wording import phrase, plural, where

NAMES = known_names()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the one `training.pocket.sources` fills, drawn instead of downloaded."""
    root = tmp_path_factory.mktemp("sources")
    for number, cut_out in enumerate(sources.cut_outs(root)):
        cut_out.path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGBA", (60, 60))
        colour = ((220, 20, 30), (30, 60, 200), (250, 230, 40))[number % 3]
        ImageDraw.Draw(image).ellipse((2, 2, 57, 57), fill=(*colour, 255))
        image.save(cut_out.path)
    for folder, count, size in (("usr/share/openclipart/png", 5, 80), ("usr/share/backgrounds", 10, 720)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 255, (size // 8, size // 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((size, size)).save(root / folder / f"zz{number}.png")
    return root


@pytest.mark.slow
def test_a_scene_is_a_function_of_its_seed_and_its_split(root: Path) -> None:
    train, held_out = Composer(root), Composer(root, held_out=True)
    again = Composer(root).scene(7)
    assert train.scene(7).image.tobytes() == again.image.tobytes() and train.scene(7).things == again.things
    assert train.scene(7).image.tobytes() != held_out.scene(7).image.tobytes()
    assert not set(train.photographs) & set(held_out.photographs)


def test_more_backgrounds_are_trained_on_and_never_held_out(root: Path, tmp_path: Path) -> None:
    lines = [line for line in sources.BACKGROUNDS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)) > 200 and all(line.startswith("usr/share/") for line in lines)
    before = sources.photographs(root), sources.photographs(root, held_out=True)
    ground = root / lines[0]
    ground.parent.mkdir(parents=True)
    Image.new("RGB", (800, 800), (9, 99, 9)).save(ground)
    try:
        assert sources.photographs(root) == [*before[0], ground]
        assert sources.photographs(root, held_out=True) == before[1]
        assert ground in Composer(root).backgrounds
    finally:
        ground.unlink()


@pytest.mark.slow
def test_scenes_on_photographs_are_known_without_composing_them(root: Path) -> None:
    for held_out in (False, True):
        composer = Composer(root, held_out=held_out)
        on_photo = [seed for seed in range(500, 540) if composer.scene(seed).background == "photo"]
        split = "held-out" if held_out else "train"
        assert 5 < len(on_photo) < 35
        assert on_photographs(500, len(on_photo), split) == on_photo


@pytest.mark.slow
def test_a_head_that_is_trained_further_learns_from_both_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    things = [{"name": NAMES[3][0], "box": [0.1, 0.1, 0.5, 0.5], "colours": ["red"]}]
    for folder, count in ((tmp_path / "old", 40), (tmp_path / "new", 30)):
        folder.mkdir()
        np.save(folder / "train-cells.npy", rng.normal(size=(count, 81, 1760)).astype(np.float16))
        np.save(folder / "train-rgb.npy", rng.random((count, 81, 12)).astype(np.float16))
        coverage = np.zeros((count, 81, 5), np.float16)
        coverage[:, 20:24, 0] = 1
        np.save(folder / "train-coverage.npy", coverage)
        (folder / "train-truth.jsonl").write_text((json.dumps({"things": things}) + "\n") * count)
    torch.manual_seed(1)
    begin = {key: value.clone() for key, value in DetectionHead(len(NAMES)).state_dict().items()}
    save_file(begin, tmp_path / "begin.safetensors")
    head = continue_head(tmp_path / "begin.safetensors", tmp_path / "old", tmp_path / "new", steps=3, lr=1e-2, size=16)
    kept, written = head.state_dict(), load_file(tmp_path / "new" / "detection-head.safetensors")
    assert all(torch.equal(kept[key], written[key]) for key in kept)
    assert torch.equal(kept["classes.weight"], begin["classes.weight"]), "the language model knows these"
    moved = float((kept["reduce.weight"] - begin["reduce.weight"]).abs().max())
    assert 1e-3 < moved < 2e-2
    assert not (tmp_path / "old" / "detection-head.safetensors").exists()
    rows = np.arange(30)
    index = {name: i for i, (name, _) in enumerate(NAMES)}
    examples = Examples.read(tmp_path / "new", index)
    fresh = DetectionHead(len(NAMES))
    fresh.load_state_dict(begin)
    with torch.inference_mode():
        before, after = (float(foundation.loss_of(one.eval(), [(examples, rows)])[0]) for one in (fresh, head))
    assert after < before - 0.1


@pytest.mark.slow
def test_the_truth_of_a_scene_stands_in_its_pixels(root: Path) -> None:
    composer = Composer(root)
    seen = 0
    for seed in range(40):
        scene = composer.scene(seed)
        pixels = np.asarray(scene.image.resize((9, 9), Image.Resampling.BOX))
        for number, thing in enumerate(scene.things):
            assert place((thing.box[0] + thing.box[2]) / 2, (thing.box[1] + thing.box[3]) / 2) == (
                thing.column,
                thing.row,
            )
            covered = scene.cells[:, :, number] > 0.95
            if thing.colours == ("red",) and covered.any():
                seen += 1
                red, green, blue = pixels[covered].mean(0)
                assert red > green + 40 and red > blue + 40
        assert len(scene.things) == scene.cells.shape[2] <= 5
    assert seen > 0, "no scene tested anything"


def test_cells_under_a_thing_bear_its_name_and_point_to_its_centre(root: Path) -> None:
    scene = next(scene for seed in range(99) if len((scene := Composer(root).scene(seed)).things) == 2)
    facts = {"things": [{"name": t.name, "box": t.box, "colours": t.colours} for t in scene.things]}
    index = {name: i for i, (name, _) in enumerate(NAMES)}
    wanted = targets(facts, scene.cells.reshape(81, -1), index)
    centres = (np.arange(9) + 0.5) / 9
    for thing in scene.things:
        mine = wanted.classes == index.get(thing.name, len(NAMES))
        assert mine.any()
        assert set(wanted.colours[mine]) <= {COLOURS.index(other.colours[0]) for other in scene.things}
        x0, y0, x1, y1 = thing.box
        column, row = (int(np.abs(centres - (a + b) / 2).argmin()) for a, b in ((x0, x1), (y0, y1)))
        assert wanted.centres[row * 9 + column] > 0.45, "the cell under the centre is a peak"
        aim = wanted.geometry[row * 9 + column, :2] + (centres[column], centres[row])
        assert np.abs(aim - ((x0 + x1) / 2, (y0 + y1) / 2)).max() < 0.01
    assert (wanted.classes == len(NAMES) + 1).any()
    assert wanted.centres.max() <= 1 and (wanted.centres == 0).any()


@pytest.mark.parametrize("sure", [True, False])
def test_each_peak_is_listed_once_and_gives_a_name_only_where_its_cells_agree(sure: bool) -> None:
    known = len(NAMES)
    logits, centre = torch.zeros(1, 81, known + 2), torch.full((1, 81), -9.0)
    logits[..., known + 1] = 20  # nothing there ...
    geometry = torch.zeros(1, 81, 4)
    for cell in (20, 21, 29, 30):  # ... but a duck around the corner of four cells
        logits[0, cell, known + 1] = -20
        logits[0, cell, 3] = 20
        if not sure:
            logits[0, cell, 4:10] = 20
        centre[0, cell] = 1.0
        geometry[0, cell, :2] = torch.tensor([3 / 9 - (cell % 9 + 0.5) / 9, 3 / 9 - (cell // 9 + 0.5) / 9])
        geometry[0, cell, 2:] = -1.0
    centre[0, 30] = 1.1
    colour = torch.zeros(1, 81, 11)
    colour[..., 6] = 9.0
    vision = PocketVision(known)
    listed, share = vision.detections(CellOutputs(logits, centre, geometry, colour), torch.tensor([0.5]))
    name, place, colour_word, *others = listed[0].tolist()
    assert bool(share[0, 0] > 0.9) is sure
    assert name == (4 if sure else known + 1)
    assert (place, colour_word, set(others)) == (0, 7, {0})  # a third of the picture across and down: left, top


TRUTH = {
    "background": "plain",
    "background_colours": ["green"],
    "things": [
        {
            "name": "duck",
            "kind": "bird",
            "colours": ["yellow"],
            "column": "left",
            "row": "centre",
            "box": [0.1, 0.4, 0.3, 0.6],
        },
        {
            "name": "cherries",
            "kind": "fruit",
            "colours": ["red", "green"],
            "column": "right",
            "row": "top",
            "box": [0.6, 0.1, 0.9, 0.3],
        },
    ],
}


def test_a_description_names_everything_with_its_colour_and_place() -> None:
    assert SceneQuestions(TRUTH, NAMES).description(random.Random(0)) == (
        "the picture shows two things on a plain green background. on the left there is a small yellow duck. "
        "at the top right there are some small red cherries with some green."
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_answers_about_a_scene_never_contradict_it(seed: int) -> None:
    talk = SceneQuestions(TRUTH, NAMES)
    for question, answer, kind in talk.pairs(random.Random(seed), 12, chat=True):
        if kind == "absent":
            assert "duck" not in answer and "cherries" not in answer
            assert answer.startswith(("no,", "i see no", "there is no", "there are no"))
        if kind == "present":
            assert answer.startswith("yes")
        if kind == "number":
            assert answer == "there are two things."
        if kind == "unanswerable":
            assert answer == "i do not know."
        assert question is None or question == question.lower()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["none", "maybe", "sure"]), st.booleans())
def test_a_photograph_is_never_said_to_show_more_than_the_hints_tell(seed: int, confidence: str, grouped: bool) -> None:
    guess = "" if confidence == "none" else "a tabby cat"
    hints = Hints(confidence, guess, grouped, "a cat", "left", "top", "", ("grey", "white"), ("grey",))
    others = [words.split(" ", 1)[1] for words, _, _ in imagenet()]
    for _, answer, kind in PhotoQuestions(hints, NAMES, others).pairs(random.Random(seed), 10, chat=True):
        if confidence == "none" and not grouped:
            assert not re.search(r"\bcat\b", answer)  # a polecat is another matter
        if confidence == "maybe" and not grouped and kind in ("what", "description"):
            assert "not sure" in answer and "perhaps" in answer
        if kind == "present":
            assert confidence == "sure" or grouped


def test_words_of_the_small_world() -> None:
    assert [plural(word) for word in ("duck", "mouse", "palm tree", "bus", "cherries", "butterfly", "toy")] == [
        "ducks",
        "mice",
        "palm trees",
        "buses",
        "cherries",
        "butterflies",
        "toys",
    ]
    assert (
        phrase("apple", "red") == "a red apple" and phrase("apple") == "an apple" and phrase("grapes") == "some grapes"
    )
    assert join(["a"]) == "a" and join(["a", "b", "c"]) == "a, b and c"
    assert where("middle", "centre") == "in the middle" and where("left", "top") == "at the top left"


def test_every_class_of_the_tower_has_words_and_every_group_a_row() -> None:
    rows = imagenet()
    assert len(rows) == 1000 and all(row[0].split(" ", 1)[0] in ("a", "an", "some") for row in rows)
    assert len(groups()) <= 128
    assert {row[2] for row in rows} == {"", "indoors", "outdoors"}


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return train_tokenizer(corpus([TRUTH] * 50, NAMES))


@pytest.mark.slow
def test_whole_words_and_no_word_outside_the_vocabulary(tokenizer) -> None:  # type: ignore[no-untyped-def]
    for name, _ in NAMES:
        assert tokenizer.decode(tokenizer(f" {name}").input_ids).strip() == name
    assert tokenizer.decode(tokenizer(" Ünïcode 猫 🙂").input_ids).strip() == "ünïcode 猫 🙂"


PAIRS = [
    [
        ("what is this?", "i see a duck.", "what"),
        ("how many things are there?", "there is one thing.", "number"),
        ("where is it?", "on the left.", "where"),
    ],
    [
        (None, "a red apple", "caption"),
        ("what is this?", "i see a red apple.", "what"),
        ("is there a dog?", "no, there is no dog.", "absent"),
    ],
]


@pytest.mark.slow
@pytest.mark.parametrize("chat", [False, True])
def test_questions_in_one_sequence_do_not_see_each_other(tokenizer, chat: bool) -> None:  # type: ignore[no-untyped-def]
    """The loss of packed questions equals the mean over the same questions asked alone: nothing leaks."""
    torch.manual_seed(0)
    model = build(tokenizer, NAMES).eval()
    model.vision_model.tower = torch.nn.Identity()
    features = torch.randn(2, 81, model.config.vision_config.hidden_size)
    facts = torch.zeros(2, FACTS, dtype=torch.long)
    rng = random.Random(0)

    def total(pairs: list, rows: slice) -> tuple[float, int]:  # type: ignore[type-arg]
        batch = collate(tokenizer, pairs, rng, chat=chat, chains=0.0, length=200)
        with torch.inference_mode():
            loss = loss_of(model, features[rows], facts[rows], batch)
        count = int((batch.labels != IGNORE).sum())
        return float(loss) * count, count

    packed, number = total(PAIRS, slice(0, 2))
    alone = [total([[pair]], slice(row, row + 1)) for row, pairs in enumerate(PAIRS) for pair in pairs]
    assert number == sum(count for _, count in alone)
    assert packed == pytest.approx(sum(loss for loss, _ in alone), rel=1e-4)


def test_only_answers_are_learned(tokenizer) -> None:  # type: ignore[no-untyped-def]
    batch: SequenceBatch = collate(tokenizer, PAIRS, random.Random(0), chat=True, chains=0.0, length=200)
    assert int(batch.image.sum()) == 2 * (QUERIES + HINT_TOKENS)
    learned = tokenizer.decode(batch.labels[0][batch.labels[0] != IGNORE])
    assert learned == " i see a duck.### there is one thing.### on the left.###"


def test_the_rate_warms_up_and_falls_to_its_end() -> None:
    recipe = PocketRecipe(steps=100, warmup=10, lr=1e-3, lr_end=1e-5)
    assert rate(recipe, 0) == pytest.approx(1e-4) and rate(recipe, 9) == pytest.approx(1e-3)
    assert rate(recipe, 100) == pytest.approx(1e-5)
    assert all(rate(recipe, step) >= rate(recipe, step + 1) for step in range(10, 99))
