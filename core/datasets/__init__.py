"""Readers of pictures and of samples: folders, lists, tables, shards; what is not read is counted."""
