"""What counts as a question about a picture, and why other replies are refused."""

from __future__ import annotations

import pytest

from agents.interview.asking import echo_texts
from agents.interview.prompts import Prompts
from agents.text.cleaning import AskedQuestions, clean_question
from agents.text.questions import Fault, find_fault, prompt_echo, wants_to_end
from core.tasks import NOTHING_NEW, TaskTurn
from plugins.scripted.asking import WORDINGS, next_question

ECHO = prompt_echo(echo_texts(Prompts.load().texts.items()))
OPENING = "Describe this picture in detail."
COFFEE = "This looks like a cup of coffee. It is in the middle of the picture. The main colours are orange and brown."
BALL = "This looks like a soccer ball. It is at the bottom in the middle of the picture. The main colours are black."


def fault(said: str, last_answer: str = "", asked: tuple[str, ...] = (OPENING,)) -> Fault | None:
    return find_fault(
        clean_question(said),
        said=said,
        last_answer=last_answer,
        answers=last_answer,
        prompts=ECHO,
        asked=AskedQuestions(asked),
    )


# What SmolLM2-135M said when it was asked for questions; in the order of its interviews.
WEAK: list[tuple[str, str, Fault]] = [
    ("What do you mean?", "", "talk"),
    (
        "You have a picture, but you don't know what it is, and you're just looking at a picture without any idea. I'm "
        "not sure what you mean. I can ask you a new question, and you can give me a new answer. If I ask you to "
        "explain something, you",
        "",
        "talk",
    ),
    ("Can you tell me a little bit about the picture?", "", "vague"),
    (
        "You've got it. I'm not sure what you mean, but I can ask you another question. You can tell me about the "
        "picture, but I'm not sure I understand, and I'm just looking at a picture without any idea. You can tell me a "
        "little bit about it, but",
        "",
        "talk",
    ),
    (
        "I'm not sure what you mean, but I can ask you another question. You can tell me a little bit about the "
        "picture, but I'm not sure I understand, and I'm just looking at a picture without any idea.",
        "",
        "talk",
    ),
    ("What is a picture?", "", "vague"),
    (
        "That looks like a cup of coffee. It is in the middle of the picture. The main colours are orange, red and "
        "brown. This is not a cup of coffee, but it is a piece of fabric that you can see.",
        COFFEE,
        "sentences",
    ),
    (
        "The picture is mostly orange and red. It seems to be outdoors. You can only find out the main colours are "
        "orange, red and brown.",
        "I do not know. The picture is mostly orange and red. It seems to be outdoors.",
        "sentences",
    ),
    ("I'm sorry, I'm sorry.", "I see no orange.", "apology"),
    ("Tell me more about the picture, and no other questions.", BALL, "talk"),
    (
        "This looks like a soccer ball. I'm not sure what it is, but I'm sure it's not a soccer ball. You're asking me "
        "a question, and you don't know how to ask it.",
        BALL,
        "talk",
    ),
    (
        "I'm not sure what it is, but I'm sure it's not a soccer ball. You're asking me a question, and I'm not sure "
        "what it is. I'm not sure what it is, and I'm not sure what it is either. You're asking me a question,",
        "I do not know.",
        "talk",
    ),
    (
        "This looks like a soccer ball. I'm not sure what it is. I'm not sure what it is. You're asking me a question, "
        "and I'm not sure what it is. You're asking me a question, and I'm not sure what it is. You're asking me a",
        "I see a grey soccer ball.",
        "talk",
    ),
    ("What's that?", "This looks like a lemon, a fruit.", "vague"),
    (
        "I'm not sure. Ask about something else: one new question. If nothing is left to find out, reply exactly: "
        "Nothing new to ask.",
        "",
        "prompt",
    ),
    (
        "That's a very specific question, but I'll give you a different one: What's that, is that a house?",
        "I do not know.",
        "talk",
    ),
    ("I'll give you one more question - What's that, is that a car?", "I see no house.", "talk"),
    ("You have nothing to find to ask.", "A person in red.", "statement"),
    ("You can't find anything there.", COFFEE, "statement"),
    ("You have no questions.", "A cat.", "talk"),
    ("What does it mean, and what is the meaning of nothing new to ask?", "A cat.", "talk"),
    (
        "You can find out that the picture is grey, not what you are told, not what you are told, and not what you are "
        "told.",
        "A grey photograph.",
        "talk",
    ),
    ("Which thing is this?", "A grey photograph.", "vague"),
    ("What is that?", "A grey photograph.", "vague"),
    ("What does the picture of an egyptian cat look like?", "A cat.", "vague"),
    ("You're looking for something else, ask about it.", "A cat.", "statement"),
    (
        "I'm afraid you are not allowed to ask me anything else. I'm afraid I can only ask one question.",
        "A cat.",
        "talk",
    ),
    ('Your question was: "What do you know about this picture, and what is it?', "A cat.", "talk"),
    ("I'm sorry for any misunderstanding, but you asked me to ask about something else.", "A cat.", "apology"),
    ("You've got no answer to your next question.", "A cat.", "talk"),
    ("I am not sure what the picture is, but I will try to find it.", "I am not sure what this is.", "talk"),
    ("What can I do to find out?", "A cat.", "talk"),
    ("I am not sure what that is, perhaps a honeycomb.", "I am not sure what this is.", "talk"),
    ("You have nothing to ask. You are not sure what that is, perhaps a honeycomb.", "", "sentences"),
    ("You're looking at a map. You're asking about the destination.", "", "talk"),
    ("What is the story about the picture?", "A cat.", "vague"),
    ("What is the difference between a cup of coffee and a bagel?", COFFEE, "vague"),
    ("What is the picture that you are looking at, and what do you see?", "A cat.", "vague"),
    ("What is the picture, and what is it doing, and what is it written?", "A cat.", "sentences"),
    ("What is the picture that you are looking at?", "A cat.", "vague"),
    ("Can you tell me something about the picture, and I don't know what you're asking?", "A cat.", "talk"),
    ("How do you know I'm not asking you something else?", "A cat.", "talk"),
    ("Can you tell me about a new thing?", "A cat.", "vague"),
    ("Can you tell me about it?", "A cat.", "vague"),
    ("Can you tell me about the picture?", "A cat.", "vague"),
    ("What's next?", "A cat.", "vague"),
    ("What's the most expensive thing you can think of that is not a piece of furniture?", "A cat.", "talk"),
    ("Tell me about what I am not told about.", "A cat.", "talk"),
    ("What is it that you are not asked to describe?", "A cat.", "talk"),
    ("What is the thing you asked?", "A cat.", "talk"),
    ("Can you tell me how tall I am?", "A cat.", "talk"),
    ("What is that picture of a cat that I saw?", "A cat.", "talk"),
    ("Can you explain what you're not asking about?", "A cat.", "talk"),
    ('Write "What do you see here?', "A cat.", "talk"),
    ("The cat (action), the surroundings, whether there is any writing, and the text.", "A cat.", "statement"),
    ("How do you tell your friend about their new smartphone?", "A cat.", "talk"),
    ("What is a story about a story, a story that continues forever?", "A cat.", "vague"),
    ("How is that possible?", "A cat.", "talk"),
    ("What is it you want?", "A cat.", "talk"),
    ("How to make it?", "A cat.", "talk"),
    ("How do you find a picture in the middle of a road?", "A cat.", "talk"),
    ("How do you make out an orange cup of coffee?", "A cup of coffee.", "talk"),
    ("Can you describe a picture of a car that is parked outside of a town?", "A cat.", "talk"),
    ("Which of the colours, number, material, and action fits into which category?", "A cat.", "vague"),
    ("What is the number?", "A cat.", "vague"),
    ("Which thing does the picture show?", "A cat.", "vague"),
    ("What is a phrase that could be used in a sentence?", "A cat.", "vague"),
    ("What is a sentence that contains multiple clauses, and what is the sentence?", "A cat.", "vague"),
    ("What is the sentence you are asked to write?", "A cat.", "talk"),
    ("You have not asked about the colour of the cup.", "A cup.", "statement"),
    ("You forgot to ask a question.", "A cup.", "talk"),
    ("A leopard, not a lion, which is an animal.", "A cat.", "statement"),
    ("Can you tell me what that means?", "A cat.", "vague"),
    ("Which object is that?", "A cat.", "vague"),
    ("Which colour?", "A cat.", "vague"),
    ("What else can be done with that cup of coffee?", COFFEE, "vague"),
    ("What can be made?", "A cat.", "vague"),
    ("How is it done?", "A cat.", "vague"),
    ("What is written on the other side of the picture?", "A cat.", "vague"),
    ("What is the picture made of?", "A cat.", "vague"),
    ("What is the outside?", "A cat.", "vague"),
    ("What is the top of the picture?", "A cat.", "vague"),
    ("What is inside that picture, and what does it look like?", "A cat.", "vague"),
    ("What does this thing look like?", "A cat.", "vague"),
    ("What is that you're looking at?", "A cat.", "vague"),
    ("Can you describe the picture in detail, and where is it?", "A cat.", "vague"),
    ("How does the picture make you feel?", "A cat.", "talk"),
    ("What do you think about the picture?", "A cat.", "talk"),
    ("What do you know about the cup?", "A cup.", "talk"),
    ("Is there anything you know about this picture?", "A cat.", "talk"),
    ("What would happen if the cup fell?", "A cup.", "talk"),
    ("What happens next?", "A cat.", "talk"),
    ("Which object is the most interesting to you?", "A cat.", "talk"),
    ("Is it something to do with my bedroom?", "A cat.", "talk"),
    ("Which one of the above questions is the most challenging?", "A cat.", "talk"),
    ("Is it a cat, and how can you tell?", "A dog.", "talk"),
    ("The sky (colour, place), the sea (colour), is there anything written in?", "The sky and the sea.", "prompt"),
]


@pytest.mark.parametrize(("said", "last_answer", "expected"), WEAK)
def test_what_a_weak_model_says_instead_of_a_question(said: str, last_answer: str, expected: Fault) -> None:
    assert fault(said, last_answer) == expected


def test_the_one_real_question_of_a_weak_model() -> None:
    assert fault("What's that, is that a house?", "I see a fruit.") is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("Nothing new to ask.", "too early"),
        ("There is nothing else to find out.", "too early"),
        ("No more questions.", "too early"),
        ("I apologize for the confusion, what is it made of?", "apology"),
        ("As an AI language model, can I see the picture?", "apology"),
        ("The duck is yellow.", "statement"),
        ("It is a sunny day, isn't it?", "statement"),
        ("I think it is a duck, is it?", "statement"),
        ("A duck on a pond", "statement"),
        ("What a lovely picture", "statement"),
        ("What can I help you with?", "talk"),
        ("How can I help you today?", "talk"),
        ("Do you understand what is written?", "talk"),
        ("What do the notes say about the duck?", "talk"),
        ("Could you ask me another question?", "talk"),
        ("Would you like to know the colour?", "talk"),
        ('{"name": "look", "arguments": {"at": "duck"}}', "tool call"),
        ('look(at="duck")', "tool call"),
        ("Ask about something else: one new question", "talk"),
        ("Ask about one thing: its colour, number or place?", "prompt"),
        ("Ask about the duck?", "talk"),
        ("Can you ask one short question at a time and nothing else?", "prompt"),
        ("Which things there are and how many, their colours, sizes and materials, where they are?", "prompt"),
        ("Is there a duck? No. " * 1, None),
        ("Tell me more.", "vague"),
        ("What can you see in this image?", "vague"),
        ("Describe the picture in more detail, please.", "repeated"),
    ],
)
def test_what_is_no_question_about_the_picture(said: str, expected: Fault | None) -> None:
    assert fault(said) == expected


def test_an_echo_of_the_last_answer_is_no_question() -> None:
    answer = "The picture is mostly orange and red. It seems to be outdoors."
    assert fault("Is the picture mostly orange and red?", answer) == "answer"
    assert fault("What is mostly orange and red?", answer) is None
    assert fault("Is it indoors or outdoors?", answer) is None


def test_a_question_is_repeated_whatever_junk_it_carries() -> None:
    asked = (OPENING, "What colour is the duck?")
    for said in (
        "What color are the ducks?",
        "So what colour exactly is the duck now?",
        "Okay, and what colour is the duck really?",
        "Please tell me what colour the duck is in the picture.",
        "Which color is the duck?",
        "What's the colour of the duck?",
    ):
        assert fault(said, asked=asked) in ("repeated", "statement"), said
    assert fault("So what colour exactly is the duck now?", asked=asked) == "repeated"
    assert fault("What colour is the duck's beak?", asked=asked) is None


def test_a_question_is_repeated_in_its_short_form_and_with_another_word_for_thing() -> None:
    asked = ("What is that thing made of?", "What is on the wall?")
    assert fault("What's that object made of?", asked=asked) == "repeated"
    assert fault("What's on the wall?", asked=asked) == "repeated"
    assert fault("What's behind the wall?", asked=asked) is None


def test_what_the_picture_shows_may_be_asked_about() -> None:
    assert fault("What is written on the notes?", "There are yellow notes on the fridge.") is None
    assert fault("What is the first question on the sheet?", "A sheet with questions lies on the desk.") is None
    assert fault("What does the 'Sorry, we are closed' sign look like?") is None


GOOD = """
What breed is the dog?
What is the man in the red jacket doing?
You mentioned a dog: what breed is it, and is it wearing a collar?
Describe the dog.
Describe the woman's clothing, including colours and patterns.
List the objects on the table.
Count the people in the background.
How many people can be seen, and where are they standing?
Could you describe the man's clothing in more detail, including its colours, its materials and any visible logos?
What would I see on the left side of the picture?
If you look at the right edge, what is there?
Is there anything else on the table that I should know about?
Great! What colour is the car?
Question: What is behind the house?
1. What is written on the sign?
**What time of day is it?**
"Is the water calm or rough?"
What colour is the duck
Can you tell me about the person in the middle?
What are they doing?
Where exactly is it?
What is it made of?
Who is standing next to her?
And the cat?
The man on the left, what is he holding?
Apart from the duck, what else is there?
What do you think the woman is looking at?
Can you tell me what the weather is like?
Can you read any text on the shop front?
What can be seen through the window?
What's the colour of the sky?
Are there any animals besides the horse?
Does the building look old or modern?
In which direction is the train heading?
How would you describe the expression of the woman?
What is it looking at?
What type of animal is in the image?
What is the woman's facial expression?
What are the people in the background doing?
Is there any text visible on the sign?
What is the overall color scheme of the image?
What kind of clothing is the man wearing?
What is the lighting like in the scene?
What is the relationship between the people in the image?
What is the condition of the road?
What is the name of the restaurant on the sign?
Can you describe the background in more detail?
What is the main focus of the image?
Does the person appear to be happy or sad?
What time of day does it appear to be?
How old does the boy look?
What else can you tell me about the background?
Is the person in the image male or female?
Do you see any trees?
How do the people look?
Which direction is he facing?
What does the house look like?
What are the man's hands doing?
Could you tell me more about the pattern on the curtains?
What season does it seem to be, judging by the trees?
Is there anything unusual or noteworthy about the picture?
What is directly in front of the house?
How far away is the boat from the shore?
Are any of the people looking at the camera?
What brand or logo can be seen on the shirt?
What is she holding in her left hand, and what is in her right hand?
How is the table set?
Is the door open or closed?
What shape is the window?
What does the text on the blackboard say?
What number is on the jersey?
What size is it?
What is a striking detail of the man's outfit?
What kind of mood does the scene convey?
Is the photograph black and white or in colour?
Tell me about the buildings in the distance.
Welche Farbe hat die Ente?
Beschreiben Sie den Hund.
Was macht der Mann auf dem linken Bild?
Combien de personnes voit-on ?
Décrivez le chien.
De quelle couleur est la voiture ?
¿De qué color es el gato?
¿Cuántas personas hay en la imagen?
Describe el perro.
I bambini che cosa fanno?
Di che colore è il cielo?
Qual é a cor do carro?
Wat doet de man?
Jakiego koloru jest kaczka?
Какого цвета утка?
Опишите собаку.
Ördek ne renk?
猫是什么颜色的？
图片里有几个人？
请描述背景。
猫は何色ですか。
背景には何がありますか？
오리는 무슨 색인가요?
ما لون البطة؟
मेज़ पर क्या है?
แมวสีอะไร
Τι χρώμα έχει η πάπια;
""".strip().splitlines()


@pytest.mark.parametrize("said", GOOD)
def test_good_questions_are_asked(said: str) -> None:
    answer = "There is a duck on a pond, a man in a red jacket and a small house behind them. The sky is blue."
    assert fault(said, answer) is None


def test_no_question_of_the_rules_is_refused() -> None:
    for kind, wordings in WORDINGS.items():
        for wording in wordings:
            for many, verb in ((False, "is"), (True, "are")):
                name = "red umbrellas" if many else "cup of coffee"
                article = {"is": verb, "a": name if many else f"a {name}"}
                said = wording.format(thing=name, many=name, one=name, spot="on the left", **article)
                expected = "vague" if kind == "describe" else None
                # whether a thing is there is asked where no answer has named it
                last = "A dog on a lawn." if kind == "presence" else "Two red umbrellas and a cup of coffee."
                assert fault(said, last, asked=()) == expected, said


def test_no_interview_of_the_rules_is_refused() -> None:
    answers = (
        "A brown dog and two ducks on a green lawn.",
        "Brown.",
        "The dog is on the left.",
        "It is sitting.",
        "Trees and a fence.",
        "Outdoors.",
        "A sign that says Park.",
    )
    turns = [TaskTurn(OPENING, answers[0])]
    for place in range(1, 14):
        said = next_question(turns, seed=place)
        if said == NOTHING_NEW:
            break
        assert fault(said, turns[-1].answer, tuple(turn.question for turn in turns)) is None, said
        turns.append(TaskTurn(said, answers[place % len(answers)]))
    assert len(turns) > 6


def test_a_question_that_witnesses_were_asked_is_repeated() -> None:
    asked = (OPENING, "What is written in the picture?")
    assert fault("What is written in the picture?", asked=asked) == "repeated"


def test_the_words_for_the_end() -> None:
    assert wants_to_end(NOTHING_NEW) and wants_to_end("Nothing new to ask, thank you.")
    assert wants_to_end('"Nothing left."')
    assert not wants_to_end("Is there nothing else on the table?") and not wants_to_end("")
