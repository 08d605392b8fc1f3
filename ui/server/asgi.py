"""What `inquisight ui` serves: the dashboard, and the gallery's routes beside it."""

from __future__ import annotations

import os
import sys
from typing import Final

ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
if ROOT not in sys.path:  # `streamlit run` adds only the script's own folder
    sys.path.insert(0, ROOT)

from streamlit.starlette import App  # noqa: E402

from ui.gallery.resuming import lifespan  # noqa: E402
from ui.gallery.routes import routes  # noqa: E402

app = App(os.path.join(os.path.dirname(os.path.abspath(__file__)), "app.py"), routes=routes(), lifespan=lifespan)
