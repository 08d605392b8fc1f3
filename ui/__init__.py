"""The dashboard: pages only; what they show is worked out in the rooms below."""
