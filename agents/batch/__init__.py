"""`inquisight batch`: the same interview about very many pictures, on one machine or on a cluster.

request, plan            the options; the checked request
ledger                   the state of each picture (its journal decides)
pipeline, vision_queue   many interviews at once, between one vision model and many questioner calls
engine, ray/, cluster    engines: in this process, or on a Ray cluster
outputs, shard_output, writers   files written from the ledger
estimate, progress       what a batch will take; how far it is
"""
