"""Compute a Mamba-2 block, as a chunked parallel scan for training and as a step.

Both forms compute Dao and Gu, "Transformers are SSMs" (2024), section 6: with
a_t = dt_t * A, A = -exp(A_log),

    S_t = exp(a_t) S_{t-1} + dt_t x_t B_t^T        y_t = S_t C_t + D x_t

`forward` runs T frames and `step` one; both take and return the state, so that a long
game can be cut anywhere.  Parameter names are those of mamba-ssm's `Mamba2` with
ngroups = 1 and no projection biases.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wmq.models.presets import ModelConfig

CHUNK = 64  # frames of one parallel chunk; cost per frame grows with it, launches fall
NORM_EPS = 1e-5

State = tuple[Tensor, Tensor]  # conv (b, d_conv - 1, conv_dim), ssm (b, heads, headdim, d_state)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis."""

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPS)


class Mamba2(nn.Module):
    """The mixer of one layer: (b, t, d_model) -> (b, t, d_model)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        heads = config.nheads
        in_width = config.d_inner + config.conv_dim + heads  # z, (x, B, C), dt
        self.in_proj = nn.Linear(config.d_model, in_width, bias=False)
        self.conv1d = nn.Conv1d(
            config.conv_dim, config.conv_dim, config.d_conv, groups=config.conv_dim
        )
        # dt starts log-uniform in [0.001, 0.1]; dt_bias is its inverse softplus (mamba-ssm)
        dt = torch.exp(torch.rand(heads) * math.log(100.0) + math.log(0.001))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.log(torch.empty(heads).uniform_(1, 16)))
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = RMSNorm(config.d_inner)
        self.out_proj = nn.Linear(config.d_inner, config.d_model, bias=False)

    def zero_state(self, batch: int) -> State:
        c = self.config
        like = self.in_proj.weight
        conv = like.new_zeros(batch, c.d_conv - 1, c.conv_dim)
        return conv, like.new_zeros(batch, c.nheads, c.headdim, c.d_state)

    def forward(self, u: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute t frames in the parallel form; t may be any positive number."""
        c = self.config
        z, xbc, dt = self.in_proj(u).split([c.d_inner, c.conv_dim, c.nheads], dim=-1)
        padded = torch.cat([state[0].to(xbc.dtype), xbc], dim=1)  # (b, t + d_conv - 1, conv_dim)
        xbc = self._convolve(padded, u.shape[1])
        x, B, C = xbc.split([c.d_inner, c.d_state, c.d_state], dim=-1)
        x = x.unflatten(-1, (c.nheads, c.headdim))  # (b, t, h, p)
        dt = F.softplus(dt.to(self.dt_bias.dtype) + self.dt_bias)  # (b, t, h)
        decay = dt * -torch.exp(self.A_log)  # log of the decay, (b, t, h)
        y, ssm = chunked_scan(x * dt.to(x.dtype).unsqueeze(-1), decay, B, C, state[1])
        y = y + x * self.D.to(x.dtype).unsqueeze(-1)
        y = self.norm(y.flatten(-2) * F.silu(z))
        return self.out_proj(y), (padded[:, u.shape[1] :], ssm)

    def step(self, u: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute one frame in the recurrent form: u (b, d_model)."""
        c = self.config
        z, xbc, dt = self.in_proj(u).split([c.d_inner, c.conv_dim, c.nheads], dim=-1)
        window = torch.cat([state[0], xbc.unsqueeze(1)], dim=1)  # (b, d_conv, conv_dim)
        taps = self.conv1d.weight.squeeze(1).T  # (d_conv, conv_dim)
        xbc = F.silu((window * taps).sum(1) + self.conv1d.bias)
        x, B, C = xbc.split([c.d_inner, c.d_state, c.d_state], dim=-1)
        x = x.unflatten(-1, (c.nheads, c.headdim))  # (b, h, p)
        dt = F.softplus(dt + self.dt_bias)  # (b, h)
        keep = torch.exp(dt * -torch.exp(self.A_log))  # (b, h)
        added = torch.einsum("bh,bhp,bn->bhpn", dt, x, B)
        ssm = state[1] * keep[..., None, None] + added
        y = torch.einsum("bhpn,bn->bhp", ssm, C) + x * self.D.unsqueeze(-1)
        y = self.norm(y.flatten(-2) * F.silu(z))
        return self.out_proj(y), (window[:, 1:], ssm)

    def _convolve(self, padded: Tensor, frames: int) -> Tensor:
        """Causal depthwise convolution and SiLU; four shifted products beat F.conv1d on a CPU."""
        taps = self.conv1d.weight.squeeze(1).T.to(padded.dtype)  # (d_conv, conv_dim)
        out = self.conv1d.bias.to(padded.dtype) + padded[:, :frames] * taps[0]
        for k in range(1, len(taps)):
            out = torch.addcmul(out, padded[:, k : k + frames], taps[k])
        return F.silu(out)


def chunked_scan(
    x: Tensor, decay: Tensor, B: Tensor, C: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """y_t = C_t S_t with S_t = exp(decay_t) S_{t-1} + x_t B_t^T, in chunks of CHUNK frames.

    x (b, t, h, p) already times dt; decay (b, t, h), not above 0; B, C (b, t, n);
    state (b, h, p, n).  Returns y (b, t, h, p) and the state after the last frame.
    Dao and Gu (2024), listing 1, with the chunks' states passed on by a plain loop.
    """
    outputs = []
    for first in range(0, x.shape[1], CHUNK):
        cut = slice(first, first + CHUNK)
        xc, bc, cc = x[:, cut], B[:, cut], C[:, cut]
        total = decay[:, cut].cumsum(1).transpose(1, 2)  # (b, h, l)
        gap = total.unsqueeze(-1) - total.unsqueeze(-2)  # (b, h, l, s): decay from s to l
        causal = torch.ones(gap.shape[-2:], dtype=torch.bool).tril()
        weight = torch.exp(gap.masked_fill(~causal, -torch.inf)).to(x.dtype)
        scores = (cc @ bc.transpose(1, 2)).unsqueeze(1) * weight  # (b, h, l, s)
        heads = xc.transpose(1, 2)  # (b, h, l, p)
        carried = cc.unsqueeze(1) @ state.to(x.dtype).transpose(2, 3)  # (b, h, l, p)
        carried = carried * torch.exp(total).to(x.dtype).unsqueeze(-1)
        outputs.append((scores @ heads + carried).transpose(1, 2))
        to_end = torch.exp(total[..., -1:] - total).to(x.dtype).unsqueeze(-1)
        added = (heads * to_end).transpose(2, 3) @ bc.unsqueeze(1)  # (b, h, p, n)
        state = state * torch.exp(total[..., -1])[..., None, None] + added.to(state.dtype)
    return torch.cat(outputs, dim=1), state


class Layer(nn.Module):
    """x + mamba(norm(x))."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm = RMSNorm(config.d_model)
        self.mamba = Mamba2(config)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.mamba(self.norm(x), state)
        return x + y, state

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.mamba.step(self.norm(x), state)
        return x + y, state
