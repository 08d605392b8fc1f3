"""The script that Streamlit runs, and its start. Apart from `ui/pages`, which Streamlit would take for scripts."""
