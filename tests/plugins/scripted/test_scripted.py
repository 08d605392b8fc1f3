"""The rule-based baseline `scripted`: its questions and summaries on realistic dialogues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from core.errors import UsageError
from core.tasks import NOTHING_NEW, QUESTION, SUMMARY, Task, TaskTurn, is_nothing_new
from plugins.scripted import ScriptedQuestioner
from plugins.scripted.asking import learn, next_question
from plugins.scripted.model import create
from plugins.scripted.reading import UNSURE
from plugins.scripted.topics import topic_of
from plugins.scripted.writing import summarise

OPENING = "Describe this picture in detail."
Pairs = list[tuple[str, str]]


def turns_of(pairs: Pairs) -> list[TaskTurn]:
    return [TaskTurn(question, answer, bool(answer) and not UNSURE.match(answer)) for question, answer in pairs]


# (name, dialogue, summary): full sentences as a small describing model speaks, and the words that BLIP-2 answers.
DIALOGUES: list[tuple[str, Pairs, str]] = [
    (
        "two cut-outs",
        [
            (
                OPENING,
                "the picture shows two things on a green background. there is a yellow duck on the left and a red "
                "apple on the right.",
            ),
            ("What colour is the duck?", "the duck is mostly yellow."),
            ("Where is the apple?", "the apple is on the right."),
            ("Is there a dog?", "no, there is no dog."),
            ("What is the duck made of?", "i do not know."),
        ],
        "The picture shows two things on a green background: a yellow duck on the left and a red apple on the right.",
    ),
    (
        "places learned one by one",
        [
            (
                OPENING,
                "the picture shows four things on a brown background. there is a white hen, a red apple, a blue ball "
                "and a green frog.",
            ),
            ("Where is the hen?", "the hen is on the left."),
            ("Where is the frog?", "the frog is at the bottom right of the picture."),
        ],
        "The picture shows four things on a brown background: a white hen on the left, a red apple, a blue ball and a "
        "green frog at the bottom right.",
    ),
    (
        "photograph of a cat",
        [
            (
                OPENING,
                "this looks like an egyptian cat. it is in the middle of the picture. the main colours are brown and "
                "white.",
            ),
            ("What colour is the Egyptian cat?", "the egyptian cat is mostly brown."),
            ("What is the Egyptian cat doing?", "i do not know."),
            ("What else is in the picture?", "i am not sure."),
        ],
        "The picture shows a brown Egyptian cat in the middle. The main colours are brown and white.",
    ),
    (
        "photograph nobody can name",
        [
            (
                OPENING,
                "i am not sure what this is. the main colours are green and white. it seems to be outdoors.",
            ),
            ("What is the main thing in this picture?", "i am not sure what this is."),
            ("Is there a person in the picture?", "no, there is no person."),
        ],
        "What this picture shows could not be told for certain. It seems to be outdoors, and the main colours are "
        "green and white.",
    ),
    (
        "basket of kittens",
        [
            (OPENING, "a basket with kittens"),
            ("What colour is the basket?", "brown"),
            ("How many kittens are there?", "4"),
            ("What colour are the kittens?", "black and white"),
            ("What is the basket made of?", "wicker"),
            ("What are the kittens doing?", "sleeping"),
            ("What is in the background?", "green grass"),
            ("Is there a dog?", "no"),
        ],
        "The picture shows a brown wicker basket with four black and white kittens. The kittens are sleeping. In the "
        "background there is green grass.",
    ),
    (
        "surfer",
        [
            (OPENING, "a man riding a wave on top of a surfboard"),
            ("What is the man wearing?", "a wetsuit"),
            ("What colour is the surfboard?", "white"),
            ("What is the weather like?", "sunny"),
            ("Is it indoors or outdoors?", "outdoors"),
        ],
        "The picture shows a man riding a wave on top of a white surfboard. The man is wearing a wetsuit. The scene is "
        "outdoors, and the weather is sunny.",
    ),
    (
        "cat on a couch",
        [
            (OPENING, "A cat sitting on a red couch next to a window."),
            ("What is the cat doing?", "sleeping"),
            ("Where is the cat?", "on a couch"),
            ("What else is there?", "a pillow and a blanket"),
            ("What colour is the cat?", "orange"),
        ],
        "The picture shows an orange cat sitting on a red couch next to a window. There is also a pillow and a "
        "blanket. The cat is sleeping.",
    ),
    (
        "two dogs in the snow",
        [
            (OPENING, "There are two dogs playing in the snow."),
            ("What colour are the dogs?", "brown and white"),
            ("What else is there?", "There is also a fence behind them and some trees."),
            ("Is there a person in the picture?", "No, there are no people in the image."),
        ],
        "The picture shows two brown and white dogs playing in the snow. There is also a fence and some trees.",
    ),
    (
        "coffee with writing",
        [
            (OPENING, "a cup of coffee on a table with a spoon"),
            ("What colour is the cup of coffee?", "white"),
            ("What is the table made of?", "wood"),
            ("Is there any writing in the picture?", "yes"),
            ("What does the writing say?", 'It says "Good Morning".'),
        ],
        "The picture shows a white cup of coffee with a spoon on a table. The table is made of wood. The words "
        '"Good Morning" can be read.',
    ),
    (
        "long description",
        [
            (
                OPENING,
                "The image features a wooden dining table with a large pepperoni pizza on a white plate. There is a "
                "glass of red wine next to the plate, and two forks are placed on the right side of the table. In the "
                "background, a blurry window can be seen.",
            ),
            ("What colour is the dining table?", "The table is brown."),
            ("Is it indoors or outdoors?", "It appears to be indoors."),
        ],
        "The picture shows a brown wooden dining table with a large pepperoni pizza on a white plate, a glass of red "
        "wine next to the plate, two forks placed on the right side of the table and a blurry window in the "
        "background. The scene seems to be indoors.",
    ),
    (
        "a closer word for the same thing",
        [
            (OPENING, "an animal in the grass"),
            ("What kind of animal is it?", "a zebra"),
            ("What is the zebra doing?", "it is eating grass"),
            ("What colour is the zebra?", "black and white"),
        ],
        "The picture shows a black and white zebra eating grass.",
    ),
    (
        "colours that contradict each other",
        [(OPENING, "a yellow duck"), ("What colour is the duck?", "red")],
        "The picture shows a yellow or red duck.",
    ),
    (
        "named and then denied",
        [(OPENING, "a dog on the left and a cat"), ("Is there a dog in the picture?", "no")],
        "The picture shows a cat and possibly a dog on the left.",
    ),
    (
        "places that contradict each other",
        [(OPENING, "a dog on the left"), ("Where is the dog?", "on the right")],
        "The picture shows a dog.",
    ),
    (
        "a guess",
        [(OPENING, "it might be a dog. the main colours are brown and black.")],
        "The picture shows what may be a dog. The main colours are brown and black.",
    ),
    (
        "two of a kind",
        [(OPENING, "there is a red apple on the left and a green apple on the right.")],
        "The picture shows a red apple on the left and a green apple on the right.",
    ),
    (
        "fruit that is called like a colour",
        [(OPENING, "i see an orange and three bananas in a bowl"), ("What is the bowl made of?", "glass")],
        "The picture shows an orange and three bananas in a bowl. The bowl is made of glass.",
    ),
    (
        "nothing but refusals",
        [(OPENING, "i do not know."), ("What is the main thing in this picture?", "")],
        "What this picture shows could not be told for certain.",
    ),
]


@pytest.mark.parametrize(("dialogue", "summary"), [pytest.param(d, s, id=name) for name, d, s in DIALOGUES])
def test_summary(dialogue: Pairs, summary: str) -> None:
    assert summarise(turns_of(dialogue)) == summary


@pytest.mark.parametrize(
    ("answer", "things"),
    [
        ("a duck", ["duck"]),
        ("two black and white dogs", ["dogs"]),
        ("this is a picture of a cat", ["cat"]),
        ("it looks like a great white shark", ["great white shark"]),
        ("there is a frying pan on the left of the picture", ["frying pan"]),
        ("a man wearing a hat", ["man", "hat"]),
        ("a statue of a man", ["statue of a man"]),
        ("i am not sure what this is.", []),
        ("it is on the left side of the background", []),
        ("the background is green", []),
        ("the main colours are red and blue", []),
        ("no, there is no dog", []),
        ("yes", []),
        ("something in the foreground", []),
        ("there are three things in the picture", []),
        ("", []),
    ],
)
def test_what_counts_as_a_thing(answer: str, things: list[str]) -> None:
    assert [thing.name for thing in learn(turns_of([(OPENING, answer)])).things] == things


def test_unsure_turns_are_never_used() -> None:
    turns = [TaskTurn(OPENING, "a yellow duck"), TaskTurn("What else is there?", "a red tractor", sure=False)]
    assert "tractor" not in summarise(turns)


@pytest.mark.parametrize(
    ("question", "kind", "subject"),
    [
        ("What colour is the duck?", "colour", "duck"),
        ("Which color are the kittens in the picture?", "colour", "kittens"),
        ("What is the color of the small car?", "colour", "small car"),
        ("How many dogs are there in the image?", "number", "dogs"),
        ("How many things are there?", "total", ""),
        ("Where in the picture is the red apple?", "place", "red apple"),
        ("Where is the duck located?", "place", "duck"),
        ("What is the basket made of?", "material", "basket"),
        ("What are the kittens doing?", "action", "kittens"),
        ("Is there a dog in the picture?", "presence", "dog"),
        ("Are there any people?", "presence", "people"),
        ("What else can you see?", "else", ""),
        ("What is in the background of the image?", "background", ""),
        ("What colour is the background?", "background colour", ""),
        ("Is the photo taken indoors or outdoors?", "setting", ""),
        ("Describe this picture in detail.", "describe", ""),
        ("What is the meaning of life?", "other", "what is the meaning of life"),
    ],
)
def test_topics(question: str, kind: str, subject: str) -> None:
    topic = topic_of(question)
    assert (topic.kind, topic.subject) == (kind, subject)


# ---- asking --------------------------------------------------------------------------------------------------------


def interview(answers: dict[str, str], *, rounds: int = 12, seed: int | None = None) -> list[TaskTurn]:
    """A whole interview with an answerer that knows one answer for each kind of question."""
    turns: list[TaskTurn] = []
    question = OPENING
    for _ in range(rounds):
        answer = answers.get(topic_of(question).kind, "i do not know.")
        turns += turns_of([(question, answer)])
        question = next_question(turns, seed=seed)
        if is_nothing_new(question):
            break
    return turns


BASKET = {
    "describe": "a basket with kittens",
    "colour": "brown",
    "number": "four",
    "material": "wicker",
    "else": "grass",
    "background": "trees",
    "setting": "outdoors",
    "action": "sleeping",
    "presence": "no",
    "text": "no",
    "weather": "sunny",
    "place": "on the left",
}


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_interview_asks_for_what_matters_and_never_twice(seed: int | None) -> None:
    questions = [turn.question for turn in interview(BASKET, seed=seed)]
    topics = [topic_of(question) for question in questions]
    kinds = [topic.kind for topic in topics]
    assert len(set(map(str.lower, questions))) == len(questions)
    repeated = [topic for topic in topics if topic.kind != "else" and topics.count(topic) > 1]
    assert not repeated
    assert {"colour", "place", "number", "material", "else", "background", "action"} <= set(kinds)
    assert sum(topic.yes_no for topic in topics) <= 3, "open questions, but for a few checks"


def test_follows_up_on_what_is_new() -> None:
    turns = turns_of([(OPENING, "a cat"), ("What else is in the picture?", "a teapot")])
    subjects = []
    for _ in range(6):
        question = next_question(turns)
        subjects.append(topic_of(question).subject)
        turns += turns_of([(question, "i do not know.")])
    assert "teapot" in subjects


def test_does_not_ask_what_was_told() -> None:
    turns = turns_of([(OPENING, "there is a yellow duck on the left. the background is green.")])
    asked = set()
    while not is_nothing_new(question := next_question(turns)):
        asked.add(topic_of(question).kind)
        turns += turns_of([(question, "i do not know.")])
    assert not asked & {"colour", "place", "background colour", "background", "describe", "main"}


def test_stops_asking_for_more_when_nothing_new_comes() -> None:
    turns = turns_of([(OPENING, "a duck")])
    for _ in range(30):
        question = next_question(turns)
        if is_nothing_new(question):
            break
        turns += turns_of([(question, "a duck" if topic_of(question).kind == "else" else "i do not know.")])
    assert question == NOTHING_NEW
    assert sum(topic_of(turn.question).kind == "else" for turn in turns) == 1


def test_gives_up_on_a_kind_of_question_that_fails_twice() -> None:
    turns = turns_of(
        [
            (OPENING, "a chair, a table and a lamp"),
            ("What is the chair made of?", "i am not sure."),
            ("What is the table made of?", "i do not know."),
        ]
    )
    while not is_nothing_new(question := next_question(turns)):
        assert topic_of(question).kind != "material"
        turns += turns_of([(question, "no")])


def test_refused_question_is_not_proposed_again() -> None:
    turns = turns_of([(OPENING, "a duck")])
    first = next_question(turns)
    second = next_question(turns, refused=[first])
    assert topic_of(second) != topic_of(first)


VOCABULARY = """a the an two yellow red big wooden duck dog cats man table on in of with the left right middle
    background and is are there it sitting riding made no not sure yes i do know picture shows main colours , . ? !
    orange some cup
    coffee grass behind looks like 4 \u00fc -- "quoted" can seen"""
words = st.sampled_from(VOCABULARY.split())
OWN_WORDS = """The picture shows this is a an of in there are it also what may be possibly and or with on background
    some scene seems to be outdoors indoors main colours weather behind them words can be read writing could not be told
    for certain stayed unclear all made things zero one two three four five six seven eight nine ten eleven twelve
    people person grey colour"""
answers = st.lists(words, max_size=25).map(" ".join) | st.text(max_size=60)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(answers, max_size=10), st.integers(0, 5) | st.none())
def test_any_answers_end_well(replies: list[str], seed: int | None) -> None:
    """Whatever it is told: no error, no question twice, and no word in the summary that nobody said."""
    turns: list[TaskTurn] = []
    for reply in replies:
        question = next_question(turns, seed=seed)
        if is_nothing_new(question):
            break
        assert question.lower() not in {turn.question.lower() for turn in turns}
        turns.append(TaskTurn(question, reply))
    summary = summarise(turns, seed)
    assert summary
    assert summary == summarise(turns, seed)
    assert not re.search(r"  | ,|\.\.", summary)
    own = f"{summarise([], seed)} {OWN_WORDS}"
    said = {
        word.lower()
        for word in re.findall(r"[^\W_]+", " ".join([own, *(t.answer for t in turns), *(t.question for t in turns)]))
    }
    forms = {form for word in said for form in (word, f"{word}s", f"{word}es", f"{word[:-1]}ies")} | {"men", "wood"}
    for word in re.findall(r"[^\W_]+", summary.lower()):
        assert word in forms, word


# ---- the chat model ------------------------------------------------------------------------------------------------


def test_task_on_the_message_wins_over_the_text() -> None:
    turns = (TaskTurn(OPENING, "a yellow duck"), TaskTurn("What else is there?", "a red tractor", sure=False))
    messages = [
        SystemMessage("Any brief."),
        HumanMessage("Any text.", additional_kwargs=Task(SUMMARY, turns).to_kwargs()),
    ]
    assert ScriptedQuestioner().invoke(messages).content == "The picture shows a yellow duck."


@pytest.mark.parametrize(
    "text",
    [
        f"Notes:\n- {OPENING} a yellow duck\n- Where is the duck? on the left\n\nDescribe the picture in a few words.",
        f"Question: {OPENING}\nAnswer: a yellow duck\nQuestion: Where is the duck?\nAnswer: on the left\nSummarise.",
        f"Question: {OPENING} Answer: a yellow duck\nQuestion: Where is the duck? Answer: on the left\n\nSummary:",
    ],
)
def test_summary_from_plain_text(text: str) -> None:
    assert ScriptedQuestioner().invoke([HumanMessage(text)]).content == "The picture shows a yellow duck on the left."


def test_question_from_a_plain_chat() -> None:
    messages = [
        SystemMessage("You cannot see the picture."),
        HumanMessage("Ask me about it."),
        AIMessage(OPENING),
        HumanMessage("a duck\n\nNow ask your next question."),
        AIMessage("What colour is the duck?"),
        HumanMessage("Answer: yellow"),
    ]
    assert topic_of(str(ScriptedQuestioner().invoke(messages).content)).kind not in ("colour", "describe")
    assert "duck" in str(ScriptedQuestioner().invoke(messages[:4]).content)


def test_stream_joins_to_the_reply() -> None:
    task = Task(QUESTION, (TaskTurn(OPENING, "a duck"),))
    message = [HumanMessage("", additional_kwargs=task.to_kwargs())]
    model = ScriptedQuestioner(seed=4)
    chunks = list(model.stream(message))
    assert len(chunks) > 3
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    reply = model.invoke(message)
    assert whole.content == reply.content
    assert whole.usage_metadata == reply.usage_metadata
    assert whole.response_metadata["finish_reason"] == "stop"


def test_seeds_vary_the_wording_and_repeat_themselves() -> None:
    task = Task(QUESTION, (TaskTurn(OPENING, "a duck"),))
    message = [HumanMessage("", additional_kwargs=task.to_kwargs())]
    replies = [str(ScriptedQuestioner(seed=seed).invoke(message).content) for seed in range(12)]
    assert len(set(replies)) > 1
    assert replies == [str(ScriptedQuestioner(seed=seed).invoke(message).content) for seed in range(12)]
    assert replies[3] == ScriptedQuestioner().invoke(message, seed=3).content


def test_stop_words_are_heard() -> None:
    assert ScriptedQuestioner().invoke("Ask.", stop=[" in "]).content == "Describe this picture"


def test_factory() -> None:
    assert create().seed is None
    assert create("7").seed == 7
    with pytest.raises(UsageError, match="scripted:7"):
        create("often")


def test_task_survives_json() -> None:
    import json

    task = Task(QUESTION, (TaskTurn("What is it?", "a duck", sure=False),), language="de", refused=("What is it?",))
    assert Task.from_kwargs(json.loads(json.dumps(task.to_kwargs()))) == task
    assert Task.from_kwargs({}) is None
    assert Task.from_kwargs({"inquisight": {"task": "dance"}}) is None
    assert is_nothing_new(" nothing new to ask ") and is_nothing_new("") and not is_nothing_new("What is it?")


def test_to_make_out_is_to_see_and_no_thing() -> None:
    turns = [TaskTurn("What else is there?", "I can make out a person and a white tie.")]
    assert [thing.name for thing in learn(turns).things] == ["person", "tie"]


@pytest.mark.parametrize(
    ("answers", "summary"),
    [
        (
            [
                "The picture shows four people. They are dressed in black, grey, white and black, from left to right.",
                "The clothes are black, grey, white and black.",
            ],
            "The picture shows four people dressed in black, grey and white.",
        ),
        (["a black man and a white woman"], "The picture shows a man and a woman."),
        (["There is a man in the middle.", "The man is white and black."], "The picture shows a man in the middle."),
    ],
)
def test_a_colour_is_that_of_clothes_and_never_of_people(answers: list[str], summary: str) -> None:
    questions = (OPENING, "What are the people wearing?")
    assert summarise(turns_of(list(zip(questions, answers, strict=False)))) == summary


def test_clothes_are_not_counted() -> None:
    turns = turns_of([(OPENING, "There are two people."), ("What are they wearing?", "The clothes are black and red.")])
    asked = next_question(turns)
    assert "clothes" not in asked, asked


def test_nothing_is_asked_that_the_vision_model_never_tells() -> None:
    turns = [
        TaskTurn("Describe this picture in detail.", "A dog sits beside a wooden bench in a street with buildings.")
    ]
    kinds = set[str]()
    for _ in range(20):
        question = next_question(turns, cannot_tell=("action", "material", "weather", "scenery"))
        if question == NOTHING_NEW:
            break
        topic = topic_of(question)
        kinds.add(topic.kind)
        assert "building" not in topic.subject and "street" not in topic.subject
        turns.append(TaskTurn(question, "I do not know.", sure=False))
    assert "colour" in kinds and not kinds & {"action", "material", "weather", "happening"}
    asked = {topic_of(question).kind for question in iter_questions(turns[:1], 3)}
    assert "action" in asked


def iter_questions(turns: Sequence[TaskTurn], number: int) -> Iterator[str]:
    """The first questions to a model that may tell anything."""
    known = list(turns)
    for _ in range(number):
        question = next_question(known)
        known.append(TaskTurn(question, "I do not know.", sure=False))
        yield question


def test_an_estimated_number_stays_one() -> None:
    turns = [
        TaskTurn("Describe this picture in detail.", "The picture shows about seven people in the middle."),
        TaskTurn(
            "Which things can be made out, and where?", "About seven people in the middle.", answered_by="detector"
        ),
    ]
    assert "about seven people in the middle" in summarise(turns)


def test_a_plant_at_a_place_of_its_own_surrounds_nothing() -> None:
    turns = [TaskTurn(OPENING, "There is a potted plant at the top right. There is also a street.")]
    assert "potted plant" in next_question(turns, cannot_tell=("scenery",))
