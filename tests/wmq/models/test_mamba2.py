"""The Mamba-2 block: the chunked scan, the step and the formula of the paper agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.support.tiny import TINY
from wmq.models.mamba2 import CHUNK, Mamba2
from wmq.models.presets import PRESETS, ModelConfig
from wmq.models.world import WorldModel

CONFIGS = {"tiny": TINY, "medium": PRESETS["mamba2-medium"]}
CUTS = [1, 3, CHUNK - 1, CHUNK, CHUNK + 1, 300 - (3 * CHUNK + 4)]  # 300 frames in odd pieces


def made_block(config: ModelConfig, dtype: torch.dtype) -> Mamba2:
    """Random weights, the norm's and D's too, which otherwise begin at 1."""
    torch.manual_seed(5)
    block = Mamba2(config).to(dtype)
    for parameter in (block.norm.weight, block.D):
        nn.init.uniform_(parameter, 0.5, 1.5)
    return block


def stepped(block: Mamba2, u: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    state = block.zero_state(u.shape[0])
    outputs = []
    for t in range(u.shape[1]):
        y, state = block.step(u[:, t], state)
        outputs.append(y)
    return torch.stack(outputs, dim=1), state


@pytest.mark.parametrize("name", list(CONFIGS))
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@torch.no_grad()
def test_chunked_scan_is_the_step_whatever_the_cuts(
    name: str, dtype: torch.dtype, limit: float
) -> None:
    block = made_block(CONFIGS[name], dtype)
    u = torch.randn(2, 300, CONFIGS[name].d_model, dtype=dtype)
    wanted, last = stepped(block, u)
    assert sum(CUTS) == 300
    for cuts in ([300], CUTS):
        state, outputs = block.zero_state(2), []
        for piece in u.split(cuts, dim=1):
            y, state = block(piece, state)
            outputs.append(y)
        assert (torch.cat(outputs, dim=1) - wanted).abs().max() <= limit
        for ours, theirs in zip(state, last, strict=True):
            assert (ours - theirs).abs().max() <= limit


@torch.no_grad()
def test_both_forms_are_the_formula_of_the_paper() -> None:
    """Against the recurrence with loops over heads and channels, in numpy float64."""
    block = made_block(TINY, torch.float64)
    u = torch.randn(1, 80, TINY.d_model, dtype=torch.float64)
    w = {name: value.numpy() for name, value in block.state_dict().items()}
    inner, size, heads, depth = TINY.d_inner, TINY.d_state, TINY.nheads, TINY.headdim
    projected = u[0].numpy() @ w["in_proj.weight"].T
    z, xbc, dt = np.split(projected, [inner, inner + TINY.conv_dim], axis=1)
    dt = np.log1p(np.exp(dt + w["dt_bias"]))
    past = np.vstack([np.zeros((3, TINY.conv_dim)), xbc])
    mixed = sum(past[k : k + 80] * w["conv1d.weight"][:, 0, k] for k in range(4))
    mixed = mixed + w["conv1d.bias"]
    mixed = mixed / (1 + np.exp(-mixed))
    x, b, c = np.split(mixed, [inner, inner + size], axis=1)
    y = np.zeros((80, inner))
    for head in range(heads):
        a = -np.exp(w["A_log"][head])
        for channel in range(head * depth, (head + 1) * depth):
            s = np.zeros(size)
            for t in range(80):
                s = np.exp(dt[t, head] * a) * s + dt[t, head] * x[t, channel] * b[t]
                y[t, channel] = s @ c[t] + w["D"][head] * x[t, channel]
    gated = y * z / (1 + np.exp(-z))
    normed = gated / np.sqrt((gated**2).mean(1, keepdims=True) + 1e-5) * w["norm.weight"]
    wanted = torch.from_numpy(normed @ w["out_proj.weight"].T)
    assert (block(u, block.zero_state(1))[0][0] - wanted).abs().max() < 1e-12
    assert (stepped(block, u)[0][0] - wanted).abs().max() < 1e-12


def test_parameters_have_the_names_and_shapes_of_mamba_ssm() -> None:
    """As in mamba_ssm/modules/mamba2.py with ngroups 1, bias False, conv_bias True."""
    shapes = {k: tuple(v.shape) for k, v in Mamba2(PRESETS["mamba2-medium"]).state_dict().items()}
    assert shapes == {
        "in_proj.weight": (2 * 768 + 2 * 64 + 12, 384),
        "conv1d.weight": (768 + 2 * 64, 1, 4),
        "conv1d.bias": (768 + 2 * 64,),
        "dt_bias": (12,),
        "A_log": (12,),
        "D": (12,),
        "norm.weight": (768,),
        "out_proj.weight": (384, 768),
    }


@pytest.mark.parametrize(
    ("preset", "layers", "millions"),
    [("mamba2-small", 26, 1.2), ("mamba2-medium", 26, 4.3), ("mamba2-large", 30, 10.6)],
)
def test_presets_have_the_sizes_of_the_design(preset: str, layers: int, millions: float) -> None:
    """26 Linear layers with four blocks; the two more blocks of the large one add four."""
    model = WorldModel(PRESETS[preset])
    assert sum(isinstance(module, nn.Linear) for module in model.modules()) == layers
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@torch.no_grad()
def test_world_model_forward_is_its_step() -> None:
    torch.manual_seed(0)
    model = WorldModel(TINY)
    numbers, pads = torch.randn(2, 90, 30) * 20, torch.rand(2, 91, 26)
    classes = torch.randint(0, 3, (2, 90, 17))
    heads, last = model(numbers, pads[:, :-1], classes, pads[:, 1:], model.zero_state(2))
    state = model.zero_state(2)
    for t in range(90):
        inputs = (numbers[:, t], pads[:, t], classes[:, t], pads[:, t + 1])
        found, state = model.step(*inputs, state)
        for name, value in found.items():
            assert (heads[name][:, t] - value).abs().max() <= 1e-4, name
    for layer, pair in enumerate(state):
        for ours, theirs in zip(last[layer], pair, strict=True):
            assert (ours - theirs).abs().max() <= 1e-4
