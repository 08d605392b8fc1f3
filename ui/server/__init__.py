"""The Streamlit script and its server process; apart from `ui/pages`, whose files Streamlit would take for scripts."""
