"""The only place that opens a video: `clip.open_video`; films by PyAV, animations by Pillow."""
