"""The only place that opens a picture: `picture.open_picture`; file types by content, containers checked."""
