"""The pictures of a batch: found, numbered and kept on disk, so that a million costs no memory."""
