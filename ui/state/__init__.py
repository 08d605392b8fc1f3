"""What outlives a rerun: visitors, their pictures, jobs, shared models, transcripts."""
