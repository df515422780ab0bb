"""Compute the heads as a chain of draws, in torch.

Each drawn class is added to the residual and mixed in before the next distribution is
computed, so that a hit, the victim's action and all that follows from them agree.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from wmq.models.mamba2 import RMSNorm

Choose = Callable[[int, Tensor], Tensor]  # number of the draw, logits (.., classes) -> (..) int64


class Mix(nn.Module):
    """x + out_proj(norm(u * SiLU(z))), u and z = in_proj(norm(x)): a gated layer, no memory."""

    def __init__(self, d_model: int, width: int):
        super().__init__()
        self.norm = RMSNorm(d_model)
        self.in_proj = nn.Linear(d_model, 2 * width, bias=False)
        self.gated_norm = RMSNorm(width)
        self.out_proj = nn.Linear(width, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, z = self.in_proj(self.norm(x)).chunk(2, dim=-1)
        return x + self.out_proj(self.gated_norm(u * F.silu(z)))


class Link(nn.Module):
    """What surrounds one draw: the norm before its head, and what the drawn class adds.

    dim  width of its class's embedding; 0 where nothing follows the draw
    """

    def __init__(self, d_model: int, width: int, dim: int):
        super().__init__()
        self.norm = RMSNorm(d_model)
        if dim:
            self.given = nn.Linear(dim, d_model, bias=False)
            self.mix = Mix(d_model, width)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """Add the embedding (.., dim) of the class drawn to x (.., d_model), and mix."""
        return self.mix(x + self.given(row))
