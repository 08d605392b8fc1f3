"""What pocket makes out in photographs: the list of things, and the facts that a question gets."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from core.english.wordnet import ascending
from core.witness import Box, Findings, TextLine, Thing
from plugins.pocket.asked import Vocabulary, facts_for
from plugins.pocket.presence.evidence import NO_HEAD, NounEvidence, NounHeads
from plugins.pocket.sight import Guess, Seen, Sight, entries, number_words, quoted, sight_of

WIDTH, HEIGHT = 900, 600
WORDS = ("sky", "building", "tree", "water")


def thing(name: str, left: float, top: float, right: float, bottom: float, **more: object) -> Thing:
    return Thing(name=name, score=0.9, box=Box(left=left, top=top, right=right, bottom=bottom), **more)  # type: ignore[arg-type]


def findings(*things: Thing, maybe: tuple[Thing, ...] = ()) -> Findings:
    return Findings(witness="detector", revision="1", width=WIDTH, height=HEIGHT, things=things, maybe=maybe)


def reading(*lines: tuple[str, float]) -> Findings:
    box = Box(left=0, top=0, right=10, bottom=10)
    found = tuple(TextLine(text=text, score=score, box=box) for text, score in lines)
    return Findings(witness="reader", revision="1", width=WIDTH, height=HEIGHT, lines=found)


def plain(colour: tuple[int, int, int] = (200, 200, 200)) -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), colour)


def made_of(*things: Thing, image: Image.Image | None = None, text: Findings | None = None, **more: object) -> Sight:
    options: dict[str, object] = {"guess": None, "scene": (), "odds": {}, **more}
    maybe = options.pop("maybe", ())
    return sight_of(image or plain(), findings(*things, maybe=maybe), text, **options)  # type: ignore[arg-type]


def test_up_to_four_of_a_kind_are_listed_one_by_one_from_left_to_right() -> None:
    sight = made_of(
        thing("person", 700, 100, 800, 500), thing("person", 50, 100, 150, 500), thing("dog", 400, 300, 500, 400)
    )
    assert [(one.name, one.count, one.member, one.place) for one in sight.things] == [
        ("person", 2, False, None),
        ("person", 1, True, 3),
        ("person", 1, True, 5),
        ("dog", 1, False, 4),
    ]


def test_a_crowd_is_one_entry_with_its_number() -> None:
    crowd = [thing("person", 30 * n, 250, 30 * n + 25, 330) for n in range(7)]
    [group] = made_of(*crowd).things
    assert (group.count, group.place) == (7, 3), "all of them are on the left"
    assert [number_words(count) for count in (3, 10, 12, 15, 20, 60)] == [
        "three", "ten", "about twelve", "about fifteen", "about twenty", "more than twenty",
    ]  # fmt: skip


def test_the_colour_is_measured_inside_the_box_without_the_surroundings() -> None:
    image = plain((60, 150, 70))
    ImageDraw.Draw(image).ellipse((300, 200, 500, 400), fill=(206, 32, 38))
    [ball] = made_of(thing("sports ball", 300, 200, 500, 400), image=image).things
    assert ball.colours == ("red",)


def test_clothes_are_measured_from_the_shoulders_on_where_these_are_seen() -> None:
    image = plain()
    draw = ImageDraw.Draw(image)
    draw.rectangle((300, 100, 500, 400), fill=(224, 172, 140))
    draw.rectangle((300, 400, 500, 500), fill=(50, 100, 200))
    box = Box(left=300, top=100, right=500, bottom=500)
    body = Box(left=320, top=410, right=480, bottom=500)
    [close] = made_of(Thing(name="person", score=0.9, box=box, body=body), image=image).things
    assert close.colours == ("blue",)
    [face] = made_of(Thing(name="person", score=0.9, box=box), image=image).things
    assert face.colours == (), "close up, and where the clothes are is not known"


def test_of_people_the_clothes_are_named_and_never_the_skin() -> None:
    image = plain()
    draw = ImageDraw.Draw(image)
    draw.rectangle((300, 100, 400, 500), fill=(224, 172, 140))
    [bare] = made_of(thing("person", 300, 100, 400, 500), image=image).things
    assert bare.colours == ()
    draw.rectangle((300, 180, 400, 360), fill=(50, 100, 200))
    [dressed] = made_of(thing("person", 300, 100, 400, 500), image=image).things
    assert dressed.colours == ("blue",)


def test_what_the_picture_cuts_off_says_at_which_side() -> None:
    found = made_of(thing("car", 0, 200, 200, 300), thing("bus", 300, 200, 500, 300)).things
    assert {one.name: one.edge for one in found} == {"car": "left", "bus": ""}


@pytest.mark.parametrize(
    ("odds", "group_odds", "expected"),
    [(0.8, 0.9, ("baboon", True)), (0.3, 0.55, ("monkey", True)), (0.3, 0.4, ("baboon", False)), (0.1, 0.2, None)],
)
def test_the_classifier_names_what_no_detector_found(
    odds: float, group_odds: float, expected: tuple[str, bool] | None
) -> None:
    things = made_of(guess=Guess("baboon", "monkey", odds, group_odds, 4)).things
    assert [(one.name, one.sure) for one in things] == ([expected] if expected else [])


def test_a_group_that_is_often_something_else_needs_better_odds() -> None:
    [unsure] = made_of(guess=Guess("cliff", "landscape", 0.3, 0.55, 4)).things
    [sure] = made_of(guess=Guess("cliff", "landscape", 0.3, 0.65, 4)).things
    assert [(one.name, one.sure) for one in (unsure, sure)] == [("cliff", False), ("landscape", True)]


def test_a_guess_that_a_detector_has_named_is_not_listed_again() -> None:
    cat = thing("cat", 100, 100, 500, 500, finer="tabby cat")
    assert [one.name for one in made_of(cat, guess=Guess("tabby cat", "cat", 0.9, 0.95, 4)).things] == ["cat"]


def test_only_certain_lines_are_quoted() -> None:
    sight = made_of(text=reading(("SALOON", 0.98), ("1894", 0.95), ("rn", 0.5)))
    assert sight.lines == ("SALOON", "1894")
    assert entries(sight)[-1] == "<text> <line0> <line1>"
    assert quoted("The writing says <line0> and <line1>.", sight.lines) == 'The writing says "SALOON" and "1894".'
    assert quoted("It says <line5>.", sight.lines) == "It says .", "a mark without a line never shows"
    blurred = made_of(text=reading(("SALOON", 0.7)))
    assert (blurred.lines, blurred.blurred) == ((), True)
    assert entries(blurred) == ["<sight>"], "a question may ask for it, a description leaves it out"
    assert not made_of(text=reading(("0 p", 0.8), ("leaves", 0.3))).blurred


def test_marks_stay_out_of_what_people_write() -> None:
    from plugins.pocket.engine import harmless

    assert harmless("Is there <yes> a dog <line0>? ###Human: no") == "Is there a dog ? no"


# --- what a question is about -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(WORDS)


SIGHT = Sight(
    things=(
        Seen("person", count=2, place=None),
        Seen("person", member=True, place=3, colours=("red",)),
        Seen("person", member=True, place=5, colours=("blue",)),
        Seen("dog", finer="golden retriever", place=7),
        Seen("car", place=3, colours=("white",)),
    ),
    scene=("sky",),
    lines=("SALOON",),
    maybe=(Seen("bicycle", place=4, sure=False),),
    odds={"sky": 0.9, "building": 0.5, "tree": 0.35, "water": 0.1},
    spots=((0.5, 0.5), (0.1, 0.5), (0.9, 0.5), (0.5, 0.8), (0.2, 0.5)),
)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Is there a dog?", "<asked> dog <yes>"),
        ("Do you see a puppy?", "<asked> puppy <yes>"),
        ("What colour is the golden retriever?", "<asked> golden retriever <yes>"),
        ("How many people are there?", "<asked> person <yes> two"),
        ("How many women can you see?", "<asked> woman <yes> two"),
        ("Are there any animals?", "<asked> animal <yes>"),
        ("Is there a bicycle?", "<asked> bicycle <perhaps>"),
        ("Are there horses?", "<asked> horse <no>"),
        ("Where are the buses?", "<asked> bus <no>"),
        ("Is the sky visible?", "<asked> sky <yes>"),
        ("Do you see a building?", "<asked> building <perhaps>"),
        ("Is there a tree? Answer with one word: yes or no.", "<asked> tree <unknown>"),
        ("Is there any water?", "<asked> water <no>"),
        ("Is there a lake?", "<asked> lake <no>"),
        ("Is there a castle?", "<asked> castle <unknown>"),
        ("What does the sign say?", "<asked> <text> <yes> <line0>"),
        ("What is written in the picture?", "<asked> <text> <yes> <line0>"),
        ("What are they wearing?", "<asked> person <yes> two"),
        ("What is on the left?", "<asked> left <yes>"),
        ("What is at the top of the picture?", "<asked> top <no>"),
        ("What else is there?", "<asked> else <yes>"),
        ("Is the dog to the right of the car?", "<asked> dog <yes>"),
        ("Is there an orange in the picture?", "<asked> orange <no>"),
    ],
)
def test_the_facts_for_a_question_are_looked_up(vocabulary: Vocabulary, question: str, first: str) -> None:
    assert facts_for(question, (), SIGHT, vocabulary)[0] == first


@pytest.mark.parametrize(
    "question", ["What colour is the didgeridoo?", "Describe this picture in detail.", "What is the main colour?"]
)
def test_what_no_vocabulary_knows_gets_no_facts(vocabulary: Vocabulary, question: str) -> None:
    assert facts_for(question, (), SIGHT, vocabulary) == []


def test_a_colour_before_a_noun_is_no_fruit(vocabulary: Vocabulary) -> None:
    assert [one.word for one in vocabulary.named("the orange car, an orange and a black stork")] == [
        "car", "orange", "black stork",
    ]  # fmt: skip


def test_else_leaves_out_what_was_mentioned(vocabulary: Vocabulary) -> None:
    facts = facts_for("What else is there?", ("What do you see?", "Two people and a car."), SIGHT, vocabulary)
    assert facts == ["<asked> else <yes>", "<thing> golden retriever dog <place7>"]


def test_it_means_what_the_last_question_was_about(vocabulary: Vocabulary) -> None:
    facts = facts_for("Where is it?", ("Is there a dog?", "Yes, there is a dog."), SIGHT, vocabulary)
    assert facts[0] == "<asked> dog <yes>"


def test_relations_follow_from_the_centres(vocabulary: Vocabulary) -> None:
    assert facts_for("Is the dog to the left of the car?", (), SIGHT, vocabulary)[-1] == "<asked> right below"
    beside = facts_for("What is to the left of the dog?", (), SIGHT, vocabulary)
    assert beside[1] == "<asked> left <yes>"
    assert "<thing> <white> car <place3>" in beside


def test_embeddings_of_an_entry_share_their_mean() -> None:
    import torch

    from plugins.pocket.sight_tokens import gathered

    words = torch.tensor(np.arange(12, dtype=np.float32).reshape(1, 4, 3))
    mixed = gathered(words, torch.tensor([[0, 1, 1, 2]]))
    assert torch.equal(mixed[0, 0], words[0, 0]), "no entry"
    assert torch.equal(mixed[0, 1], words[0, 1] + words[0, 1:3].mean(0))
    assert torch.equal(mixed[0, 3], 2 * words[0, 3])


def nouns(**scores: float) -> NounEvidence:
    """Evidence with a head for each of these nouns; the nearest head and the whole that a thing is a part of count."""
    synsets = np.array([min(ascending(noun.replace("_", " "))[0]) for noun in scores])
    judge = np.array([0, 0, 3, 0, 1, 0, 0, -0.2, -1], float)
    heads = NounHeads(synsets, np.eye(len(scores)), np.zeros(len(scores)), np.zeros(1000), judge)
    return heads.evidence(np.array(list(scores.values())), np.zeros(1000))


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("is there a drum?", "<asked> drum <unknown>"),
        ("is there a drum? answer yes or no.", "<asked> drum <yes>"),
        ("is there a tree?", "<asked> tree <perhaps>"),
        ("is there a tree? answer with one word.", "<asked> tree <unknown>"),
        ("is there a castle? yes or no?", "<asked> castle <yes>"),
        ("is there a parrot? yes or no?", "<asked> parrot <unknown>"),
        ("is there a violin? yes or no?", "<asked> violin <yes>"),
        ("are there any bagpipes? yes or no?", "<asked> bagpipe <yes>"),
        ("do you see some old bagpipes? yes or no?", "<asked> bagpipe <yes>"),
        ("is there a cassowary? yes or no?", "<asked> cassowary <unknown>"),
        ("how many drums are there? answer with a number.", "<asked> drum <unknown>"),
    ],
)
def test_a_question_for_one_word_takes_the_likelier_answer(question: str, fact: str) -> None:
    odds = {"drum": 0.02, "tree": 0.45, "building": 0.6, "macaw": 0.004, "lorikeet": 0.003}
    evidence = nouns(drum=2.0, tree=-2.0, bird=-3.0, musical_instrument=3.0)
    assert facts_for(question, (), Sight(odds=odds, nouns=evidence), Vocabulary(WORDS))[0] == fact


def test_the_model_says_the_likelier_answer_of_any_noun() -> None:
    from plugins.pocket.backend import PocketBackend
    from plugins.pocket.engine import PocketPrompt

    engine = PocketBackend().engine
    tokens = engine.embed.weight.new_zeros(56, engine.embed.weight.shape[1])
    prompts = [
        PocketPrompt(tokens, f"Is there a {noun}? Answer with one word: yes or no.", (), ("<sight>",), ((fact,),))
        for noun in ("bagpipe", "hill", "box")
        for fact in (f"<asked> {noun} <yes>", f"<asked> {noun} <unknown>")
    ]
    said = engine.answer(prompts, max_new_tokens=10, temperature=0.0, top_p=1.0, seed=None)
    assert [reply.text for reply in said] == ["Yes.", "No."] * 3


def test_a_word_that_is_no_noun_has_no_facts() -> None:
    evidence = nouns(bird=3.0)
    for question in ("is there any blorp? yes or no?", "is it raining? yes or no?"):
        assert facts_for(question, (), Sight(nouns=evidence), Vocabulary(WORDS)) == []


def test_a_noun_has_the_evidence_of_the_kinds_above_it() -> None:
    evidence = nouns(drum=2.0, musical_instrument=-1.0)

    def features(noun: str) -> list[float]:
        return evidence.features(noun, (), weak=False, scene=None, whole=False)[4:]

    assert features("drum") == [2.0, 2.0, 0.5, 0]
    assert features("bass drum")[:3] == [2.0, 0, 0.5]
    assert features("violin")[:3] == [-1.0, 0, -1.0]
    assert features("tree") == [0, 0, 0, NO_HEAD]


def test_the_odds_of_all_classes_that_a_word_may_mean_are_added() -> None:
    sight = Sight(odds={"macaque": 0.2, "baboon": 0.15})
    assert facts_for("is there a monkey?", (), sight, Vocabulary(WORDS)) == ["<asked> monkey <yes>"]


def test_a_name_that_nothing_before_it_holds_cannot_be_written() -> None:
    from plugins.pocket.backend import PocketBackend
    from plugins.pocket.engine import PocketPrompt

    engine = PocketBackend().engine
    tokens = engine.embed.weight.new_zeros(56, engine.embed.weight.shape[1])

    def id_of(word: str) -> int:
        return int(engine.tokenizer.encode(f" {word}", add_special_tokens=False).ids[0])

    crate = tuple(entries(Sight(things=(Seen("crate", place=4),))))
    asked = PocketPrompt(tokens, "what do you see?", (), crate, ((),))
    about = PocketPrompt(tokens, "Is there a lizard?", (), crate, ((),))
    scene = PocketPrompt(tokens, "what do you see?")
    masks = engine.forbidden([asked, about, scene])
    assert masks is not None
    lizard, shown, verb = (id_of(word) for word in ("lizard", "crate", "see"))
    assert [bool(mask[lizard]) for mask in masks] == [True, False, False]
    assert not masks[:, shown].any()
    assert not masks[:, verb].any()
    assert engine.forbidden([scene]) is None, "composed scenes have no such symbols"


def test_the_article_fits_the_word_behind_it() -> None:
    from plugins.pocket.speech.tidy import sentences

    assert sentences("perhaps an volcano and a umbrella beside a uniform. i see an owl.") == (
        "Perhaps a volcano and an umbrella beside a uniform. I see an owl."
    )
