"""Status, report, figures, export."""
