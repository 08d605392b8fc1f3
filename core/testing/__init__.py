"""Test classes for plugin authors: inherit, name your plugin, run pytest.

    from core.testing import VisionBackendTests

    class TestMine(VisionBackendTests):
        spec = "mine"          # what a user would write after --vision

They check what the rest of Inquisight relies on. This is the only package of `core` that needs pytest.
"""

from core.testing.questioner import QuestionerTests
from core.testing.trainer import TrainerTests
from core.testing.vision import VisionBackendTests, make_picture
from core.testing.witness import FakeWitness, WitnessTests, make_line, make_thing

__all__ = [
    "FakeWitness", "QuestionerTests", "TrainerTests", "VisionBackendTests", "WitnessTests", "make_line", "make_picture",
    "make_thing",
]  # fmt: skip
