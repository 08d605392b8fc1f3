"""Video ChatCaptioner: a questioner asks about frames of a video, then summarises it."""
