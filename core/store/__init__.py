"""The transcript store: finished and unfinished interviews, chats and videos in SQLite."""
