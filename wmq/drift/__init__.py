"""The drift lab: what int8 costs a world model after a frame, a while, and a minute.

A float model, its integer program and a dataset's games come in; `drift` leaves a
`wmq.results.Drift`.  `paired` puts two models side by side from real starts, `yardsticks`
does so for pairs that are all float, `worlds` and `statistics` look at a minute that a model
is left to itself, and `verdict` says whether any of it can be told from float.
docs/drift.md has the formulas and the reasons.
"""

from __future__ import annotations

from wmq.drift.lab import Settings, drift

__all__ = ["Settings", "drift"]
