"""Visitors: who is who, and who may see what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ui.state.options import get_options
from ui.state.session import Visitor, Visitors, token_of


def cookie(mask: bytes, token: bytes) -> dict[str, str]:
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(token))
    return {"_streamlit_xsrf": f"2|{mask.hex()}|{masked.hex()}|1700000000"}


def test_a_browser_is_known_by_its_cookie_whatever_its_mask() -> None:
    token = bytes(range(16))
    first, again = token_of(cookie(b"abcd", token)), token_of(cookie(b"wxyz", token))
    assert first is not None and first == again
    assert first != token_of(cookie(b"abcd", bytes(16)))
    assert token.hex() not in first


def test_streamlit_writes_the_cookie_as_it_is_read_here() -> None:
    from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

    token = bytes(range(16))
    written = {token_of({"_streamlit_xsrf": generate_xsrf_token_string(token)}) for _ in range(3)}
    assert len(written) == 1 and None not in written


@pytest.mark.parametrize("value", ["", "2|zz|zz|1", "1|00|00", "2|00000000||1", "2|0000|" + "00" * 16 + "|1"])
def test_no_cookie_is_nobody(value: str) -> None:
    assert token_of({"_streamlit_xsrf": value}) is None and token_of({}) is None


def test_visitors_share_nothing(png: Callable[..., bytes]) -> None:
    all_of_them = Visitors()
    one, other = all_of_them.get("one"), all_of_them.get("other")
    held = one.images.add(png(), "cat.png")
    assert all_of_them.get("one") is one and one.images.get(held.id) == held
    assert other.images.get(held.id) is None and other.images.all() == []
    assert one.keep("desk", list) is one.keep("desk", list) and other.keep("desk", list) is not one.keep("desk", list)


def test_on_a_server_without_a_password_one_sees_only_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Visitor("one"), Visitor("other")
    one.transcripts.add("id1")
    assert one.may_see("id1") and other.may_see("id1"), "on one's own machine everything is one's own"
    monkeypatch.setenv("INQUISIGHT_UI_HOST", "0.0.0.0")
    get_options.cache_clear()
    assert one.may_see("id1") and not other.may_see("id1")
