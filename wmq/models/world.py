"""Predict all heads from an encoded frame and the next controllers: the world model.

A batch of frames is three tensors in natural units: `numbers` (.., 30) and `controllers`
(.., 26) float, `classes` (.., 17) int64, in the order of `Schema.number_index` and
`class_index`.  Outputs are a dict of heads in natural units: deltas for `continuous`
and `velocity`, absolute values for `dynamics`, logits for `binary` and for one head
per player and predicted class (`p1.action`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from calib.step.schema import NUMBER_HEADS
from wmq.game.schema import CONTROLLER_FIELDS, STAGE_CLASSES, STAGE_DIM, Schema
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
        self.schema = schema = Schema(projectiles=config.projectiles)
        self.embeddings = nn.ModuleDict(
            {f.name: nn.Embedding(f.classes, f.dim) for f in schema.classes}
            | {"stage": nn.Embedding(STAGE_CLASSES, STAGE_DIM)}
        )
        self.frame_proj = nn.Linear(schema.encoded_size, config.d_model)
        self.ctrl_proj = nn.Linear(2 * len(CONTROLLER_FIELDS), config.d_model)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.n_layer))
        self.norm_f = RMSNorm(config.d_model)
        heads = schema.heads
        widths = {name: heads[name] for name in (*ORDER, *heads)}
        self.heads = nn.ModuleDict(
            {_module_name(name): nn.Linear(config.d_model, width) for name, width in widths.items()}
        )
        self.head_names = tuple(widths)
        for name in NUMBER_HEADS:
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
    ) -> tuple[dict[str, Tensor], list[State]]:
        """Predict t frames at once, inputs (b, t, ..)."""
        x = self.frame_proj(self.encode(numbers, controllers, classes))
        x = x + self.ctrl_proj(next_controllers)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, new = layer(x, before)
            after.append(new)
        return self._heads(self.norm_f(x)), after

    def step(
        self,
        numbers: Tensor,
        controllers: Tensor,
        classes: Tensor,
        next_controllers: Tensor,
        state: list[State],
    ) -> tuple[dict[str, Tensor], list[State]]:
        """Predict one frame, inputs (b, ..)."""
        x = self.frame_proj(self.encode(numbers, controllers, classes))
        x = x + self.ctrl_proj(next_controllers)
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, new = layer.step(x, before)
            after.append(new)
        return self._heads(self.norm_f(x)), after

    def _heads(self, x: Tensor) -> dict[str, Tensor]:
        out = {name: self.heads[_module_name(name)](x) for name in self.head_names}
        for name in NUMBER_HEADS:
            scale, offset = getattr(self, f"{name}_scale"), getattr(self, f"{name}_offset")
            out[name] = out[name] * scale + offset
        return out


def _module_name(head: str) -> str:
    return head.replace(".", "_")  # torch forbids dots in a ModuleDict's keys
