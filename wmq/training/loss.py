"""Compute the training loss in torch: the same figure as `val_loss` of `wmq.evaluation.metrics`.

Number heads: smooth L1 of standardized errors, so that rare jumps (deaths, hits) do not
drown the everyday movement; bits: binary cross-entropy; classes: cross-entropy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wmq.evaluation.metrics import CLASS_WEIGHTS, HEAD_WEIGHTS, ROBUST_BETA, ROBUST_WEIGHT
from wmq.game.schema import Q16, Field, Schema
from wmq.game.targets import NUMBER_HEADS, PLAYERS, head_index, number_targets
from wmq.models.world import WorldModel
from wmq.training.batches import Batch


def loss_terms(model: WorldModel, heads: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Compute each head's mean loss before its weight; both players' classes share a term."""
    schema, size = model.schema, batch.now.shape[-1]
    now, after = batch.now.reshape(-1, size), batch.after.reshape(-1, size)
    pads = (batch.next_controllers.flatten(0, 1).numpy() * Q16).astype(np.int32)
    flat = {name: value.flatten(0, 1).float() for name, value in heads.items()}
    terms = {}
    if schema.agent:
        return _draw_terms(schema, flat, batch)
    for head in NUMBER_HEADS:
        target = torch.from_numpy(number_targets(schema, head, now, after, pads))
        error = (flat[head] - target) / getattr(model, f"{head}_scale")
        values = F.smooth_l1_loss(error, torch.zeros_like(error), beta=ROBUST_BETA[schema.version],
                                  reduction="none")  # fmt: skip
        weight = _weight(batch, head_index(schema, head), _both(schema.head(head)))
        terms[head] = ROBUST_WEIGHT[schema.version] * _mean(values, weight)
    index = head_index(schema, "binary")
    target = torch.from_numpy(after[:, index]).float()
    values = F.binary_cross_entropy_with_logits(flat["binary"], target, reduction="none")
    terms["binary"] = _mean(values, _weight(batch, index, _both(schema.head("binary"))))
    for field in schema.head("classes"):
        halves = []
        for player, name in enumerate(PLAYERS):
            at = schema.index(field.name, player)
            target = torch.from_numpy(after[:, at]).long()
            values = F.cross_entropy(flat[f"{name}.{field.name}"], target, reduction="none")
            weight = _weight(batch, [at], [player])
            halves.append((_mean(values.unsqueeze(1), weight), weight.sum()))
        usual = (sum(count for _, count in halves) / 2).clamp(min=1)
        terms[field.name] = sum(mean * (count / usual) for mean, count in halves) / 2
    return terms | _draw_terms(schema, flat, batch)


def _draw_terms(schema: Schema, flat: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Compute -log p of the classes drawn, a frame: the mean of both players' by field."""
    terms: dict[str, Tensor] = {}
    for number, draw in enumerate(schema.draws):
        target = batch.drawn[..., number].flatten()
        values = F.cross_entropy(flat[draw.name], target, reduction="none")
        values = values * batch.counted[..., number].flatten()
        mean = (values * batch.mask.flatten()).sum() / batch.mask.sum().clamp(min=1)
        terms[draw.field] = terms.get(draw.field, 0) + mean / schema.pads
    return terms


def _both(fields: Sequence[Field]) -> list[int]:
    """Say whose the columns of a head of both players are."""
    return [player for player in (0, 1) for _ in fields]


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    weights = HEAD_WEIGHTS | CLASS_WEIGHTS
    return sum(weights[name] * value for name, value in terms.items())


def _weight(batch: Batch, index, players: list[int]) -> Tensor:
    """Tell where a field counts, (b, t, fields): on frames that exist, if the replay has it, for
    players who do not die.

    players  whose the fields are
    """
    return batch.mask.unsqueeze(-1) * batch.present[:, None, index] * batch.alive[..., players]


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of values (b * t, fields) by weight (b, t, fields)."""
    return (values.view(weight.shape) * weight).sum() / weight.sum().clamp(min=1)
