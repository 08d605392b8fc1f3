"""The server process of the dashboard: `streamlit run ...`, without a traceback where Ctrl-C comes while it starts."""

from __future__ import annotations

if __name__ == "__main__":
    from core.launch import guard

    guard()  # until the server sets handlers of its own

    from streamlit.web.cli import main

    main(prog_name="streamlit")
