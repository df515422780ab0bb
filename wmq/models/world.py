"""Predict all heads from an encoded frame and the next controllers: the world model.

A batch of frames is three tensors in natural units: `numbers` (.., 30) and `controllers`
(.., 26) float, `classes` (.., 17) int64, in the order of `Schema.number_index` and
`class_index`.  Outputs are a dict of heads in natural units: deltas for `continuous`
and `velocity`, absolute values for `dynamics`, logits for `binary` and for one head
per player and predicted class (`p1.action`).

With chained heads (`d_mix` above 0) hits and actions are distributions that are drawn from one
after the other, and what was drawn is an input of all that follows (`wmq.models.heads`).  An
agent reads the frame, himself first, and his own controller, and has no heads but such draws.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calib.step.schema import NUMBER_HEADS
from calib.step.sizes import embeddings_of, module_name
from wmq.game.schema import Schema
from wmq.game.transitions import drawable_actions
from wmq.models.heads import Choose, Link
from wmq.models.mamba2 import Layer, RMSNorm, State
from wmq.models.presets import ModelConfig

ORDER = (*NUMBER_HEADS, "binary")  # of the heads of both players among the parameters


class WorldModel(nn.Module):
    """26 Linear layers for a four-layer preset.

    Buffers `<head>_offset` and `<head>_scale` hold the mean and the spread of the
    targets of a number head: the Linear predicts standardized values.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.schema = schema = Schema(config.projectiles, config.schema_version, config.agent)
        embedded = embeddings_of(schema.step)
        self.embeddings = nn.ModuleDict({n: nn.Embedding(*size) for n, size in embedded.items()})
        self.frame_proj = nn.Linear(schema.encoded_size, config.d_model)
        if not config.agent:
            self.ctrl_proj = nn.Linear(schema.controllers_size, config.d_model)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layer))
        heads = schema.heads
        widths = {name: heads[name] for name in (*ORDER, *heads) if name in heads}
        self.ends_drawn = len(schema.draws) == len(widths)  # nothing is computed after the chain
        told = schema.draws[:-1] if self.ends_drawn else schema.draws
        self.chain = nn.ModuleList(
            Link(config.d_model, config.d_mix, embedded[draw.field][1] if draw in told else 0)
            for draw in schema.draws
        )
        if schema.draws:
            self.register_buffer("decode", torch.tensor(config.decoding))
        if schema.rules:
            self.register_buffer("allowed", torch.from_numpy(drawable_actions(schema.rules)))
        if not self.ends_drawn:
            self.norm_f = RMSNorm(config.d_model)
        self.heads = nn.ModuleDict(
            {module_name(name): nn.Linear(config.d_model, width) for name, width in widths.items()}
        )
        self.head_names = tuple(widths)
        self.number_heads = tuple(name for name in NUMBER_HEADS if name in widths)
        for name in self.number_heads:
            self.register_buffer(f"{name}_offset", torch.zeros(widths[name]))
            self.register_buffer(f"{name}_scale", torch.ones(widths[name]))
        scale = [f.scale for _ in (0, 1) for f in schema.numbers]
        self.register_buffer("number_scale", torch.tensor(scale), persistent=False)
        for embedding in self.embeddings.values():
            nn.init.normal_(embedding.weight, std=0.3)

    def zero_state(self, batch: int) -> list[State]:
        return [layer.mamba.zero_state(batch) for layer in self.layers]

    def encode(self, numbers: Tensor, controllers: Tensor, classes: Tensor) -> Tensor:
        """Encode a frame: scaled numbers and controllers, then embeddings (.., 196)."""
        names = [f.name for f in self.schema.classes] * 2 + ["stage"]
        rows = [self.embeddings[n](classes[..., i]) for i, n in enumerate(names)]
        return torch.cat([numbers * self.number_scale, controllers, *rows], dim=-1)

    def forward(
        self,
        numbers: Tensor,
        controllers: Tensor,
        classes: Tensor,
        next_controllers: Tensor,
        state: list[State],
        choose: Choose | None = None,
    ) -> tuple[dict[str, Tensor], list[State]]:
        """Predict t frames at once, inputs (b, t, ..); `choose` draws, if the heads are a chain."""
        x = self._embed(numbers, controllers, classes, next_controllers)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, new = layer(x, before)
            after.append(new)
        return self._heads(x, choose), after

    def step(
        self,
        numbers: Tensor,
        controllers: Tensor,
        classes: Tensor,
        next_controllers: Tensor,
        state: list[State],
        choose: Choose | None = None,
    ) -> tuple[dict[str, Tensor], list[State]]:
        """Predict one frame, inputs (b, ..); `choose` as in `forward`."""
        x = self._embed(numbers, controllers, classes, next_controllers)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, new = layer.step(x, before)
            after.append(new)
        return self._heads(x, choose), after

    def _embed(self, numbers: Tensor, controllers: Tensor, classes: Tensor,
               next_controllers: Tensor) -> Tensor:  # fmt: skip
        x = self.frame_proj(self.encode(numbers, controllers, classes))
        return x if self.config.agent else x + self.ctrl_proj(next_controllers)

    def _heads(self, x: Tensor, choose: Choose | None) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for number, (draw, link) in enumerate(zip(self.schema.draws, self.chain, strict=True)):
            logits = self.heads[module_name(draw.name)](link.norm(x))
            assert choose is not None  # a chain cannot go on without
            drawn = choose(number, logits)
            out[draw.name] = logits
            if len(out) == len(self.head_names):
                return out
            x = link(x, self.embeddings[draw.field](drawn))
        x = self.norm_f(x)
        out |= {n: self.heads[module_name(n)](x) for n in self.head_names if n not in out}
        for name in self.number_heads:
            scale, offset = getattr(self, f"{name}_scale"), getattr(self, f"{name}_offset")
            out[name] = out[name] * scale + offset
        return out
