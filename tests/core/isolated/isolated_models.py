"""Models for the tests of isolated backends, run by a worker process; standard library only, as foreign ones may be."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


class ExpectedError(Exception):
    for_people = True


class Model:
    """Says the colour of a picture's first pixel. Its argument is JSON: what to do wrong, and where to leave notes."""

    batch = 4

    def __init__(self, argument):
        self.options = json.loads(argument or "{}")
        self.revision = self.options.get("revision", "model-1")
        self.size = self.options.get("size")
        if noise := self.options.get("noise"):
            print(noise)
            print(noise, file=sys.stderr)
            os.write(1, noise.encode())
            subprocess.run([sys.executable, "-c", "print('a child was here', input() if 0 else '')"], check=True)
        if self.options.get("dies_at_load"):
            print("the weights are nowhere", file=sys.stderr, flush=True)
            os._exit(7)
        if self.options.get("refuses"):
            raise ExpectedError(self.options["refuses"])
        if self.options.get("slow_load"):
            time.sleep(60)
        self.note("load")

    def note(self, word):
        """Leave a word in the file of notes: how a test sees from outside what happened in here."""
        if notes := self.options.get("notes"):
            with open(notes, "a") as file:
                file.write(f"{word}\n")

    def describe(self):
        return {"device": "none"}

    def encode(self, pictures):
        self.note(f"encode {len(pictures)}")
        return [(picture.size, picture.getpixel((0, 0))) for picture in pictures]

    def answer(self, questions):
        for question in questions:
            self.note(f"answer {question.question}")
            self.obey(question.question or "")
        return [self.say(question) for question in questions]

    def obey(self, wish):
        if wish.startswith("die"):
            once = Path(wish.partition(" ")[2] or "/nonexistent/never")
            if not once.exists():
                if wish.startswith("die "):
                    once.write_text("done")
                print("something broke inside", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
        elif wish == "hang":
            time.sleep(60)
        elif wish == "leave":
            sys.exit("no weights, no work")
        elif wish == "bug":
            raise KeyError("somewhere deep")
        elif wish == "refuse":
            raise ExpectedError("this picture is too odd; take another")
        elif wish == "print":
            print("chatter " * 5000)
            os.write(1, b"INQ\x01 is not a frame")

    def say(self, question):
        (width, height), (red, green, blue) = question.image
        colour = {(255, 0, 0): "red", (0, 255, 0): "green", (0, 0, 255): "blue"}.get((red, green, blue), "odd")
        if question.question is None:
            return f"a photo of {colour}"
        if question.question == "options":
            return json.dumps([question.max_new_tokens, question.temperature, question.top_p, question.seed])
        if question.question == "history":
            return json.dumps(question.history)
        if question.question == "size":
            return f"{width}x{height}"
        if question.question == "pid":
            return str(os.getpid())
        if question.question == "stdin":
            return repr(sys.stdin.read())
        if question.question == "path":
            return json.dumps([sys.path, sorted(os.environ)])
        return colour

    def close(self):
        self.note("close")


class TooFew(Model):
    """Forgets the last answer."""

    def answer(self, questions):
        return super().answer(questions)[:-1]


class Scoring(Model):
    """Is nearly sure of the colour, and never says what it has no letters for."""

    def score(self, questions):
        for question in questions:
            self.note(f"score {question.question}")
            self.obey(question.question or "")
        return [[self.log_odds(question, choice) for choice in question.choices] for question in questions]

    def log_odds(self, question, choice):
        return -0.25 if choice == self.say(question) else -2.5 if choice.isascii() else -math.inf


class FewScores(Scoring):
    """Forgets a choice."""

    def score(self, questions):
        return [scores[1:] for scores in super().score(questions)]


class NoRevision:
    """No model at all: what a first attempt may look like."""

    def __init__(self, argument):
        pass
