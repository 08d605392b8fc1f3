"""An untrusted web page inside the dashboard: it can reach neither the network nor the app.

It is shown in two nested frames without an origin (`sandbox` without `allow-same-origin`): what is inside has no
cookies, no storage, and no access to the page around it. The outer frame is ours. Its content security policy forbids
every address. The inner frame inherits that policy, and cannot navigate, because frames with an address are forbidden
too. Scripts run only if the visitor allows it; no policy covers WebRTC, so it is removed before they run.
"""

from __future__ import annotations

import html
import re
from typing import Final

from ui.component import component

# https://www.w3.org/TR/CSP3/; everything not named falls back to default-src.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; media-src data:; "
    "frame-src 'none'; form-action 'none'; base-uri 'none'"
)

_DOCTYPE: Final = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_WITHOUT_RTC: Final = "<script>delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection;</script>"


def sandbox(scripts: bool) -> str:
    """The frame's `sandbox` attribute."""
    return "allow-scripts" if scripts else ""


def enclosed(page: str, title: str, *, scripts: bool = False) -> str:
    """The document of the outer frame, with `page` in the inner one."""
    if scripts:
        begin = match.end() if (match := _DOCTYPE.match(page)) else 0
        page = page[:begin] + _WITHOUT_RTC + page[begin:]
    policy = POLICY + ("; script-src 'unsafe-inline'" if scripts else "; script-src 'none'")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">'
        f"<title>{html.escape(title)}</title>"
        "<style>html,body{margin:0;height:100%}iframe{display:block;border:0;width:100%;height:100%}</style></head>"
        f'<body><iframe title="{html.escape(title)}" sandbox="{sandbox(scripts)}" referrerpolicy="no-referrer" '
        f'srcdoc="{html.escape(page)}"></iframe></body></html>'
    )


_frame = component("webframe", '<div class="hold"></div>')


def web_frame(page: str, title: str, *, key: str, scripts: bool = False) -> None:
    """Show `page`, untrusted HTML."""
    data = {"srcdoc": enclosed(page, title, scripts=scripts), "sandbox": sandbox(scripts), "title": title}
    _frame(data=data, key=key)
