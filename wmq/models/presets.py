"""Sizes of the world models.  Plain data: no torch here."""

from __future__ import annotations

import msgspec

from wmq.game.schema import PLAN, SAMPLED


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of a `mamba2` world model; names are those of mamba-ssm.

    d_mix  width of the gated layers between the draws of a chain; 0 for heads that are none
    agent  whether it gives a player's next controller instead of the next frame
    """

    d_model: int
    n_layer: int
    d_state: int = 64
    d_conv: int = 4
    expand: int = 2
    headdim: int = 64
    projectiles: bool = False
    d_mix: int = 0
    agent: bool = False

    @property
    def schema_version(self) -> int:
        """Version of the schema whose frames it reads and makes."""
        return SAMPLED if self.d_mix else PLAN

    @property
    def decoding(self) -> tuple[float, float]:
        """Temperature and min_p of the draws: a class less likely than min_p times the likeliest
        is not drawn."""
        return (1.0, 0.0005) if self.agent else (1.0, 0.01)

    @property
    def d_inner(self) -> int:
        return self.expand * self.d_model

    @property
    def nheads(self) -> int:
        return self.d_inner // self.headdim

    @property
    def conv_dim(self) -> int:
        """Channels of the causal convolution: x, B and C."""
        return self.d_inner + 2 * self.d_state


PRESETS = {
    "world": ModelConfig(d_model=384, n_layer=4, d_mix=192),
    "agent": ModelConfig(d_model=192, n_layer=4, d_mix=96, agent=True),
    "mamba2-small": ModelConfig(d_model=192, n_layer=4),
    "mamba2-medium": ModelConfig(d_model=384, n_layer=4),
    "mamba2-large": ModelConfig(d_model=512, n_layer=6),
}
JITTER = {"world": 0.3}  # share of the chunks that training puts off the truth; else 0
