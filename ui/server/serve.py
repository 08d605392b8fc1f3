"""The server process of the dashboard: `streamlit run ...`, which ends without a traceback on an early Ctrl-C."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard

    guard()  # until the server sets its handlers

    from streamlit.web.cli import main

    main(prog_name="streamlit")
