"""Measurements that anybody can run again; each prints a Markdown table."""
