"""Test classes for plugin authors: inherit, name your plugin, run pytest.

from inquisight.testing import VisionBackendTests

class TestMine(VisionBackendTests):
    spec = "mine"          # what a user would write after --vision
"""

from core.testing import QuestionerTests, TrainerTests, VisionBackendTests, WitnessTests, make_picture

__all__ = ["QuestionerTests", "TrainerTests", "VisionBackendTests", "WitnessTests", "make_picture"]
