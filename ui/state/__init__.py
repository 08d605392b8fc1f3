"""The state of visitors, across reruns and reloads: uploads, jobs, shared models, transcripts."""
