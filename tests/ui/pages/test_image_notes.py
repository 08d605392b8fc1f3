"""What is odd about a picture is said on every page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.ui.app import assert_well, html_of, open_page, wait_for_jobs

pytestmark = pytest.mark.usefixtures("eye")
ODD = Path(__file__).parents[2] / "fixtures" / "cases" / "pictures" / "badcrc_text.png"
NOTE = "damaged or oversized parts ignored"


def uploaded(page: str) -> AppTest:
    app = open_page(page)
    app.file_uploader[0].set_value([("odd.png", ODD.read_bytes(), "image/png")]).run()
    assert_well(app)
    return app


def words(app: AppTest) -> str:
    return " ".join(one.value for one in app.caption) + html_of(app)


@pytest.mark.parametrize("page", ["interview", "chat", "compare"])
def test_beside_the_picture(page: str) -> None:
    assert NOTE in words(uploaded(page))


def test_in_the_history() -> None:
    app = uploaded("interview")
    next(one for one in app.button if one.label.startswith("Start")).click().run()
    wait_for_jobs(app)
    app = open_page("history")
    next(one for one in app.button if one.label.startswith("Open ")).click().run()
    assert NOTE in words(app)
