"""Questions about what the answers name, and those about nothing that a picture shows."""

from __future__ import annotations

import pytest

from agents.claims.asked import fault_of_content, keeps_things
from agents.claims.known import Known, said_in
from core.records import Turn

CAT = "A cat with a striped coat lies on a sofa."
RIDERS = "Two women are riding bicycles on a street in front of a red brick building."
MEAL = "A plate with a hamburger and fries next to a glass of cola on a wooden table."
PLANE = "A large airplane flies over a city. There are clouds."
CUP = "This looks like a cup of coffee. It is in the middle of the picture."


def known(answer: str) -> Known:
    return said_in([Turn(question="Describe this picture in detail.", answer=answer)])


GOOD = {
    CAT: """
What breed does the cat appear to be?
What color are the cat's eyes?
Is the cat asleep or awake?
What is the cat's facial expression?
Are there any pillows or blankets on the sofa?
What material is the sofa made of?
What is behind the sofa?
Is there anything else in the room?
What is the wall color behind the sofa?
In what position is the cat lying?
Is the cat facing the camera?
Where is the light coming from?
What is the overall mood of the image?
Is the photo taken from above or at eye level?
Are there other animals in the picture?
What's on the floor?
Which part of the sofa is the cat lying on?
How large is the cat compared to the sofa?
Does the cat wear a collar?
What is the texture of the fabric?
Is there a window or a lamp visible?
What is the animal looking at?
Can you describe the cat's whiskers and ears?
What style is the sofa?
Do you see any toys near the cat?
What is at the back of the image?
""",
    RIDERS: """
How old do the women appear to be?
Are they wearing helmets?
Is the street crowded?
Are there other vehicles on the road?
How many floors does the building have?
What do the signs on the building say?
What is the weather like?
What time of day is it?
What is the relationship between the two women?
In which direction are they riding?
Are there any trees along the street?
What color is the hair of the woman on the left?
What is the ground made of?
What is at the far end of the street?
What is the architectural style of the building?
Are there pedestrians on the sidewalk?
What does the first woman's expression convey?
Which city might this be?
Is the entrance of the building visible?
How far apart are the two riders?
Are the cyclists moving toward or away from the camera?
What is the state of the pavement?
Is it a sunny day or not?
Can you see the faces of the women?
""",
    MEAL: """
What toppings are on the hamburger?
Is the glass full or empty?
How many fries are on the plate, approximately?
Is there ice in the glass?
What is the bun like?
Where is the glass in relation to the plate?
What kind of restaurant does it look like?
Is anyone sitting at the table?
Has any of the food been eaten?
What is the drink in the glass?
Is the background blurred or in focus?
From what angle was the photo taken?
Is there a logo on the glass?
What does the meal consist of?
""",
    PLANE: """
Which airline does the plane belong to?
What is written on the tail?
How many engines does the aircraft have?
Is the landing gear extended?
How high does it seem to fly?
Are the buildings tall?
Is the sky clear or overcast?
What is the skyline like?
Does the image look like a photograph or a drawing?
""",
}


@pytest.mark.parametrize(
    ("answer", "question"), [(answer, one) for answer, lines in GOOD.items() for one in lines.strip().splitlines()]
)
def test_what_a_picture_may_be_asked(answer: str, question: str) -> None:
    assert fault_of_content(question, known(answer)) is None


@pytest.mark.parametrize(
    ("question", "fault"),
    [
        ("What colour is the car?", "unnamed"),
        ("Is the dog asleep?", "unnamed"),
        ("What's the next item in the picture, is it the shoes?", "unnamed"),
        ("What is the other room?", "unnamed"),
        ("How many days are in a week?", "unnamed"),
        ("What is the capital of France?", "unnamed"),
        ("Isn't there a cup?", "negated"),
        ("Which thing is not written?", "negated"),
        ("Is there anything you do not know about this picture?", "negated"),
        ("What colour has no cup?", "negated"),
        ("What is the main idea?", "vague"),
        ("What is the purpose of this picture?", "vague"),
        ("What is the message of the picture?", "vague"),
        ("What is the best reason for the cup?", "vague"),
        ("What is the cup?", "vague"),
    ],
)
def test_what_no_picture_of_a_cup_is_asked(question: str, fault: str) -> None:
    assert fault_of_content(question, known(CUP)) == fault


def test_what_is_denied_is_not_named_by_its_kind() -> None:
    answers = [
        Turn(question="Describe this picture in detail.", answer="An animal on a lawn."),
        Turn(question="Is there a dog?", answer="No, there is no dog."),
    ]
    assert fault_of_content("Where is the cat?", said_in(answers)) is None
    assert fault_of_content("Where is the dog?", said_in(answers)) == "unnamed"


@pytest.mark.parametrize(
    ("question", "reworded", "kept"),
    [
        ("What colour is the dog?", "Which colour does the dog have?", True),
        ("What colour is the dog?", "What is the colour of the puppy's fur?", True),
        ("What colour is the dog?", "What colour is the lawn?", False),
        ("What colour is the dog?", "What colours are there?", False),
        ("Where are the ducks?", "Where exactly is the duck?", True),
        ("What is in the background?", "What can be seen in the background?", True),
    ],
)
def test_a_question_in_other_words_is_about_the_same_things(question: str, reworded: str, kept: bool) -> None:
    assert keeps_things(question, reworded) is kept
