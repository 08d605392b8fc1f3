"""Parts of pages that show something: interviews, videos, transcripts, errors as sentences."""
