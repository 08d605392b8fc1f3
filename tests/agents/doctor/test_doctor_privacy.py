"""What `inquisight doctor` prints can be pasted into an issue."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.doctor.privacy import shareable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://localhost:8000/v1 answers", "http://localhost:8000/v1 answers"),
        ("base_url=https://gpu7.corp.example:8443/v1&max_side=3", "base_url=https://HOST:8443/v1&max_side=3"),
        ("https://anna:pw@api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://evil-openai.com/v1", "https://HOST/v1"),
        ("postgresql://anna:pw@db/x", "postgresql://HOST/x"),
        ("http://[::1]:80/v1 http://[fd00::7]/v1", "http://[::1]:80/v1 http://HOST/v1"),
        ("http://[broken", "ADDRESS"),
        ("one\ntwo\x1b[0m", "one\\ntwo\\x1b[0m"),
    ],
)
def test_addresses(text: str, shown: str) -> None:
    assert shareable(text, {}) == shown


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/anna"))
    assert shareable("'/home/anna/models' and /home/annabel, /home/anna", {}) == "'~/models' and /home/annabel, ~"


@given(st.text("abcXYZ0123-_", min_size=4, max_size=40), st.text(max_size=20), st.text(max_size=20))
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    shown = shareable(f"{before}{secret}{after}", {"SOME_API_KEY": secret})
    assert secret not in shown
