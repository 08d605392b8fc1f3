"""Uploaded images: checked, limited, named safely."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.errors import ImageError
from ui.state import images
from ui.state.images import MAX_IMAGES, ImageStore, label_of
from ui.state.options import get_options


def test_a_picture_is_kept_under_its_digest_and_no_name(png: Callable[..., bytes], tmp_path: Path) -> None:
    shelf = ImageStore()
    held = shelf.add(png(size=(3000, 20)), "../../etc/C:\\secret\\photo\u202egpj.exe")
    assert held.label == "photo\\u202egpj.exe" and "/" not in held.stem and "." not in held.stem
    assert len(held.id) == 64 and held.open().width == 3000
    assert not any(tmp_path.rglob("*photo*"))


@pytest.mark.parametrize(
    ("data", "word"), [(b"", "empty"), (b"hello", "'x.png' is"), (b"\x89PNG\r\n\x1a\n\0\0", "PNG")]
)
def test_what_is_no_picture_is_a_sentence(data: bytes, word: str) -> None:
    with pytest.raises(ImageError, match=word):
        ImageStore().add(data, "x.png")


def test_uploads_are_limited(png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "1")
    monkeypatch.setenv("INQUISIGHT_UI_VIDEO_MB", "1")
    get_options.cache_clear()
    with pytest.raises(ImageError, match="1,000,000 bytes"):
        ImageStore().add(b"\x89PNG\r\n\x1a\n" + b"\0" * 1_100_000, "large.png")
    shelf = ImageStore()
    for number in range(MAX_IMAGES):
        shelf.add(png(size=(8, number + 8)), f"{number}.png")
    with pytest.raises(ImageError, match="remove one first"):
        shelf.add(png(size=(9, 9)), "one more.png")
    shelf.add(png(size=(8, 8)), "the first again.png")
    assert len(shelf) == MAX_IMAGES


def test_a_large_file_is_kept_scaled_down_under_its_own_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INQUISIGHT_UI_UPLOAD_MB", "1")
    get_options.cache_clear()
    noise = io.BytesIO()
    Image.effect_noise((1200, 900), 80).convert("RGB").save(noise, "PNG")
    data = noise.getvalue()
    assert len(data) > 1_000_000
    held = ImageStore().add(data, "noise.png")
    picture = held.open()
    assert held.id == picture.sha256 == hashlib.sha256(data).hexdigest()
    assert len(held.data) <= 1_000_000 and (held.info.width, held.info.height) == picture.image.size
    size = f"{len(data) / 1e6:.1f} MB"
    assert picture.note == held.info.note == f"1200 x 900 pixels and {size}, kept as a JPEG of 1200 x 900"


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_of_many_pixels_is_kept_with_fewer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 5000)
    flat = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(flat, kind)
    held = ImageStore().add(flat.getvalue(), "large")
    assert (held.info.width, held.info.height) == (100, 50) and held.open().image.size == (100, 50)
    assert held.id == hashlib.sha256(flat.getvalue()).hexdigest() == held.open().sha256


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_a_label_is_short_and_printable(name: str) -> None:
    label = label_of(name)
    assert label and len(label) <= 60 and len(label.splitlines()) == 1 and "\0" not in label
