"""The drift lab: what int8 costs a world model after a frame, a while, and a minute.

A float model, its integer program and a dataset's games come in; `drift` leaves a
`wmq.evaluation.results.Drift`.  `paired` puts two models side by side from real starts,
`float_pairs` does so for pairs that are all float, `free_rollouts`, `statistics` and `play`
describe a free-running minute, `distances` says how far that is from real play, and `significance`
whether any of it can be told from float.
docs/drift.md has the formulas and the reasons.
"""

from __future__ import annotations

from wmq.drift.run import DriftSettings, drift

__all__ = ["DriftSettings", "drift"]
