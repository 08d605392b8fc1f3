"""The example of the documentation, and what it promises, with the embedded model and real photographs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inquisight as iq

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "examples" / "photos"
EXAMPLE = """
import inquisight as iq

vision = iq.load_vision("pocket")
caption = iq.caption("cat.jpg", vision=vision, questioner="scripted", rounds=5, seed=1)
print(caption.text)
image = vision.encode_image("cat.jpg")
print(vision.ask(image, "What colour is it?"))
for event in iq.interview(image, vision=vision):
    print(event)
for caption in iq.caption_many(paths, vision=vision):
    print(caption.text)
chat = iq.Chat(vision, ["cat.jpg"])
print(chat.say("Why is this funny?"))
print(*chat.stream("And now?"))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "plugins" / "pocket" / "model" / "model.safetensors").is_file(),
        reason="the embedded model has not been built",
    ),
]


@pytest.fixture(scope="module")
def pocket() -> iq.VisionBackend:
    return iq.load_vision("pocket")


def test_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    for name in ("cat.jpg", "coffee.jpg"):
        shutil.copy(PHOTOS / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"paths": ["cat.jpg", Path("coffee.jpg")]}
    exec(compile(EXAMPLE, "example.py", "exec"), scope)
    assert "cat" in iq.caption("cat.jpg", vision=scope["vision"], rounds=5, seed=1).text
    assert isinstance(scope["event"], iq.events.Done) and scope["event"].caption.picture.source == "cat.jpg"
    assert scope["caption"].picture.source == "coffee.jpg"
    chat = scope["chat"]
    assert len(chat.history) == 2 and all(answer for _, answer in chat.history)
    assert chat.record.pictures[0].source == "cat.jpg"


def test_pixels_count_and_not_where_they_come_from(pocket: iq.VisionBackend) -> None:
    path = PHOTOS / "cat.jpg"
    image = Image.open(path)
    sources: list[Any] = [path, path.read_bytes(), image, np.asarray(image), np.asarray(image) / 255.0]
    texts = {iq.caption(source, vision=pocket, questioner="scripted", rounds=3, seed=1).text for source in sources}
    assert len(texts) == 1


def test_many_are_captioned_as_one_by_one(pocket: iq.VisionBackend) -> None:
    paths = [PHOTOS / "cat.jpg", PHOTOS / "coffee.jpg"] * 3
    many = [caption.text for caption in iq.caption_many(paths, vision=pocket, rounds=3, seed=1)]
    alone = [iq.caption(path, vision=pocket, rounds=3, seed=1).text for path in paths[:2]]
    assert many == alone * 3


def test_one_encoding_serves_all(pocket: iq.VisionBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pocket.encode_image(PHOTOS / "coffee.jpg")
    monkeypatch.setattr(pocket, "encode", lambda pictures: pytest.fail("it was encoded already"))
    assert pocket.ask(image, "What is it?") == pocket.ask(pocket.encode_image(image), "What is it?")
    assert iq.caption(image, vision=pocket, rounds=2).text
    assert next(iq.caption_many([image], vision=pocket, rounds=2)).picture.source.endswith("coffee.jpg")
    assert iq.Chat(pocket, [image]).say("What is it?")
