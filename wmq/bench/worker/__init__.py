"""The process of a row: it opens one library, then measures what it is asked for.

A kind is a module with `begin(setup)`, which opens what has to be opened and returns the
function that answers requests.  `python -m wmq.bench.worker SETUP` is started by
`wmq.bench.workers`.
"""
