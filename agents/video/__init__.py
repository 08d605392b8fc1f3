"""Video ChatCaptioner: a questioner chooses frames of a video to ask about, and the story is told as a whole."""
