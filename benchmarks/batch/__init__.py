"""Throughput, long runs and clusters of `inquisight batch`."""
