"""Measure what vision models know, say and invent: POPE, CHAIR, coverage, VQA, mirrored images, reading, failures.

`inquisight evaluate TASK --data DATA --out DIR`. `evaluation.tasks` has one module per task, `evaluation.data` reads
the labels, `evaluation.measures` has the parsers and formulas, `evaluation.run` asks and resumes.
"""
