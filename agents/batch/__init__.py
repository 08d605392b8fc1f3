"""`inquisight batch`: the same interview about very many pictures, on one machine or on a cluster.

inputs, tables, tars   what a user names: folders, globs, lists, tables, shards
listing, ledger        every picture that was named; what has become of each (journal.py holds the truth)
pipeline, seeing       many interviews at once, between one eye and many calls of the questioner
engine                 how a batch is worked on: the local way, and the door for others
ray_engine, ray_worker the way of a cluster: the command's side and the workers' side; cluster.py connects them
outputs, shards        what is made of the journal
plan, running          a request, checked; and the run itself
"""
