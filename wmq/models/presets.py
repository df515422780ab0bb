"""Sizes of the world models.  Plain data: no torch here."""

from __future__ import annotations

import msgspec


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of a `mamba2` world model; names are those of mamba-ssm."""

    d_model: int
    n_layer: int
    d_state: int = 64
    d_conv: int = 4
    expand: int = 2
    headdim: int = 64
    projectiles: bool = False

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
    "mamba2-small": ModelConfig(d_model=192, n_layer=4),
    "mamba2-medium": ModelConfig(d_model=384, n_layer=4),
    "mamba2-large": ModelConfig(d_model=512, n_layer=6),
}
