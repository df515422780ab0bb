"""The settings of a training run.  Plain data: no torch here."""

from __future__ import annotations

import msgspec


class RunConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides a run's weights, besides the data.

    jitter  share of the chunks whose inputs are put off the truth (`wmq.training.batches`)
    base  SHA-256 of the weights that the run began with; "" for random ones
    """

    preset: str
    epochs: float = 2.0
    streams: int = 32
    chunk: int = 64
    lr: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: int = 100
    clip: float = 1.0
    seed: int = 0
    bf16: bool = False
    jitter: float = 0.0
    base: str = ""
