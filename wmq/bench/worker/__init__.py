"""The process of a row: it opens one library, then measures what it is asked for.

A kind is a module with `begin(setup)`, which opens what has to be opened and returns the
function that answers requests.  `python -m wmq.bench.worker SETUP` is started by
`wmq.bench.worker.process`.

    messages    what a benchmark and its workers say to each other
    process     a worker, seen from the benchmark
    matches     the games that all contenders play; timing: how a measurement is taken
    integer_worlds, match_worlds, onnx_worlds, torch_worlds, peaks: the kinds; the last is the
                machine itself
    float_step, onnx_variants: the models of the other libraries
    profile     where a frame's time goes in the integer program
"""
