"""The gallery with pictures by axe-core's rules: the grid, a caption being edited, the full view and a form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ui.browser.gallery.conftest import Dashboard, make_pictures
from tests.ui.browser.test_accessibility_browser import serious


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_part_of_the_gallery_has_a_serious_violation(
    dashboard: Callable[..., Dashboard], visitor: Callable[..., Any], tmp_path: Path, scheme: str
) -> None:
    folder = make_pictures(tmp_path / "pictures", 9)
    page = visitor(dashboard(folder).start(), color_scheme=scheme, reduced_motion="reduce")
    page.get_by_role("gridcell", name="A cat").first.wait_for()
    assert serious(page) == []
    page.get_by_role("gridcell").nth(1).click(position={"x": 120, "y": 90})
    page.keyboard.press("Enter")
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("o")
    view = page.get_by_role("dialog", name="Picture")
    view.get_by_text("Versions").click()
    view.get_by_text("This caption was never changed.").wait_for()
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Find and replace").click()
    assert serious(page) == []
