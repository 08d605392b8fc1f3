"""Parts of pages that show something: interviews, videos, transcripts, the login page."""
