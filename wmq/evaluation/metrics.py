"""The metrics of one frame ahead, from head values in natural units.

`Tally` adds games up and never holds more than one: frames come in as integers, head
values as float32 arrays, and out comes one row of figures.  `pos_mae` counts the frame that
the update makes, which places a player who is born again.  `val_loss` is the loss that
training minimizes, `plan_loss` the plain squared-error loss that others report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from wmq.game.frame_update import next_frames
from wmq.game.schema import (
    ACTION_CATEGORIES,
    PLAN,
    Q16,
    REBIRTH_ACTION,
    REBIRTH_FIELDS,
    SAMPLED,
    Schema,
    category_of,
)
from wmq.game.targets import (
    NUMBER_HEADS,
    PLAYERS,
    Drawn,
    drawn_classes,
    head_index,
    number_targets,
    present_columns,
)

HEAD_WEIGHTS = {"continuous": 0.25, "velocity": 0.25, "dynamics": 0.25, "binary": 1.0}
CLASS_WEIGHTS = {"percent": 2.0, "action": 2.0, "jumps": 0.5, "l_cancel": 0.3, "hurtbox": 0.3,
                 "ground": 0.3, "last_attack": 0.3,
                 "buttons": 1.0, "main": 1.0, "trigger": 1.0}  # fmt: skip
PLAN_WEIGHTS = {"continuous": 1.0, "velocity": 0.5, "dynamics": 0.5, "binary": 1.0}
ERRORS = ("pos_mae", "vel_mae", "percent_mae")
# In spreads: squared below, absolute above.  A spread of version 2 is the size of a jump, and what
# rules take for nothing is some thousandths of it.
ROBUST_BETA = {PLAN: 0.1, SAMPLED: 0.003}
# What a spread costs: the jumps of version 2 are rare, but without them nobody plays.
ROBUST_WEIGHT = {PLAN: 1.0, SAMPLED: 6.0}


def robust(error: np.ndarray, version: int = PLAN) -> np.ndarray:
    """Smooth L1 of a standardized error (Girshick 2015, eq. 3, with beta of a schema's version)."""
    size, beta = np.abs(error), ROBUST_BETA[version]
    return np.where(size < beta, size * size / (2 * beta), size - beta / 2)


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    """-log softmax at the target, (T,) float64; logits (T, classes), target (T,) int."""
    top = logits.max(1, keepdims=True)
    total = np.log(np.exp(logits - top).sum(1, dtype=np.float64)) + top[:, 0]
    return total - np.take_along_axis(logits, target[:, None], 1)[:, 0]


def binary_cross_entropy(logits: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))


class Sums(Protocol):
    """Sums and counts of figures by name."""

    sums: dict[str, float]
    counts: dict[str, float]


class Tally:
    """Sums over frames of every figure; `result` divides."""

    def __init__(self, schema: Schema, scales: Mapping[str, np.ndarray]):
        """scales: the spread of each number head's targets, natural units, (width,)."""
        self.schema, self.scales = schema, scales
        self.sums: dict[str, float] = {}
        self.counts: dict[str, float] = {}

    def add(
        self,
        now: np.ndarray,
        after: np.ndarray,
        heads: Mapping[str, np.ndarray],
        missing: Iterable[str] = (),
        pads: np.ndarray | None = None,
    ) -> None:
        """Add one game: frames (T, frame_size) int32, the frames after them, and the heads.

        pads  (T, 26) int32: the controllers that lead to `after`; version 1 needs none
        """
        missing = set(missing)
        alive = np.ones((len(now), 2), bool)
        if self.schema.rules is not None:
            drawn = drawn_classes(self.schema, now, after)
            alive = ~drawn.extrapolated
            self._draws(now, after, heads, drawn)
            self._moved(now, after, heads, drawn, pads)
        for head in NUMBER_HEADS:
            self._numbers(head, now, after, heads, missing, alive, pads)
        target = after[:, head_index(self.schema, "binary")].astype(np.float32)
        kept = present_columns(self.schema, "binary", missing)
        if kept.any():
            counted = alive.repeat(len(kept) // 2, axis=1)[:, kept]
            entropy = binary_cross_entropy(heads["binary"], target)[:, kept] * counted
            share = 1 / kept.sum()
            self._sum("binary", entropy, counted.sum() * share, share)
        for player, name in enumerate(PLAYERS):
            for field in self.schema.head("classes"):
                if field.name not in missing:
                    at = self.schema.index(field.name, player)
                    logits, here = heads[f"{name}.{field.name}"], alive[:, player]
                    entropy = cross_entropy(logits, after[:, at]) * here
                    self._sum(field.name, entropy, here.sum())
                    if field.name == "action":
                        self._actions(now[:, at], after[:, at], logits.argmax(1))

    def _draws(self, now: np.ndarray, after: np.ndarray, heads: Mapping[str, np.ndarray],
               drawn: Drawn) -> None:  # fmt: skip
        """Count -log p of what real games drew: "nll" is that of a frame's whole chain."""
        rules = self.schema.rules
        assert rules is not None
        for column, draw in enumerate(self.schema.draws):
            logits, target = heads[draw.name], drawn.classes[:, column]
            entropy = cross_entropy(logits, target) * drawn.counted[:, column]
            self._sum(draw.field, entropy, len(now))
            self._sum("nll", entropy, len(now) / len(self.schema.draws))
            at, best = self.schema.index(draw.field, draw.player), logits.argmax(1)
            if draw.field == "action":
                free = drawn.counted[:, column]
                self._actions(now[free, at], after[free, at], best[free])
            else:
                rise = np.maximum(after[:, at] - now[:, at], 0)
                self._sum("percent_mae", np.abs(np.array(rules.rises)[best] - rise) / Q16, len(now))

    def _moved(self, now: np.ndarray, after: np.ndarray, heads: Mapping[str, np.ndarray],
               drawn: Drawn, pads: np.ndarray | None) -> None:  # fmt: skip
        """Count the errors of the places that the whole update makes, given the true draws."""
        made = next_frames(self.schema, now, dict(heads), drawn.classes, pads)
        for player in (0, 1):
            at = [self.schema.index(name, player) for name in ("x", "y")]
            error = np.abs(made[:, at] - after[:, at].astype(np.int64)) / Q16
            self._sum("pos_mae", error, error.size)

    def _numbers(
        self,
        head: str,
        now: np.ndarray,
        after: np.ndarray,
        heads: Mapping[str, np.ndarray],
        missing: set[str],
        alive: np.ndarray,
        pads: np.ndarray | None,
    ) -> None:
        fields = [f for _ in (0, 1) for f in self.schema.head(head)]
        kept = present_columns(self.schema, head, missing)
        if not kept.any():
            return
        full = heads[head] - number_targets(self.schema, head, now, after, pads)
        full *= alive.repeat(len(fields) // 2, axis=1)
        error = full[:, kept]
        share = 1 / kept.sum()
        count = alive.repeat(len(fields) // 2, axis=1)[:, kept].sum() * share
        scaled = error * np.array([f.scale for f in fields], dtype=np.float32)[kept]
        version = self.schema.version
        costs = ROBUST_WEIGHT[version] * robust(error / self.scales[head][kept], version)
        self._sum(head, costs, count, share)
        self._sum(f"{head}.squared", scaled * scaled, count, share)
        named = [f.name for f, k in zip(fields, kept, strict=True) if k]
        groups = {"percent_mae": ("percent",),
                  "vel_mae": tuple(f.name for f in self.schema.head("velocity"))}  # fmt: skip
        if head == "continuous" and self.schema.rules is None:
            error = self._with_rebirth(full, now, after, heads)[:, kept]
            groups["pos_mae"] = ("x", "y")
        for figure, members in groups.items():
            chosen = [name in members for name in named]
            if any(chosen):
                sizes = np.abs(error[:, chosen])
                self._sum(figure, sizes, sizes.size)

    def _with_rebirth(self, error: np.ndarray, now: np.ndarray, after: np.ndarray,
                      heads: Mapping[str, np.ndarray]) -> np.ndarray:  # fmt: skip
        """Return the errors of the next frame, where the update places a player who respawns."""
        error, fields = error.copy(), [f.name for f in self.schema.head("continuous")]
        for player, name in enumerate(PLAYERS):
            before = now[:, self.schema.index("action", player)]
            action = heads[f"{name}.action"].argmax(1)
            rows = np.flatnonzero((action == REBIRTH_ACTION) & (before != REBIRTH_ACTION))
            places = self.schema.rebirth_places[now[rows, self.schema.stage_index], player]
            for k, field in enumerate(REBIRTH_FIELDS):
                column = player * len(fields) + fields.index(field)
                true = after[rows, self.schema.index(field, player)]
                error[rows, column] = (places[:, k] - true) / Q16
        return error

    def _actions(self, now: np.ndarray, after: np.ndarray, predicted: np.ndarray) -> None:
        """Count frames on which the action is a prediction, and no rule."""
        right = predicted == after
        changed = now != after
        self._sum("action_acc", right, len(right))
        self._sum("change_acc", right[changed], changed.sum())
        category = category_of(after)
        names = [name for name, _ in ACTION_CATEGORIES] + ["other"]
        for index in np.unique(category[changed]):
            chosen = changed & (category == index)
            self._sum(f"change_acc: {names[index]}", right[chosen], chosen.sum())

    def _sum(self, name: str, values: np.ndarray, count: float, share: float = 1.0) -> None:
        total = float(values.sum(dtype=np.float64)) * share
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0.0) + float(count)

    def result(self) -> dict[str, float]:
        """Return all figures; accuracies in percent, errors in natural units."""
        mean = {k: self.sums[k] / self.counts[k] for k in self.sums if self.counts[k]}
        figures = losses_of(mean)
        for name in ERRORS:
            figures[name] = mean.get(name, float("nan"))
        if "nll" in mean:
            figures["nll"] = mean["nll"]
        figures |= {k: 100 * v for k, v in sorted(mean.items()) if "_acc" in k}
        return {name: float(value) for name, value in figures.items()}


def add_sums(whole: Sums, parts: Iterable[Sums]) -> None:
    """Add parts to a whole; their order decides the last digits."""
    for part in parts:
        for total, own in ((whole.sums, part.sums), (whole.counts, part.counts)):
            for name, value in own.items():
                total[name] = total.get(name, 0.0) + value


def losses_of(mean: Mapping[str, Any]) -> dict[str, Any]:
    """Both losses from the means of a Tally's sums, which are numbers, or arrays of one shape."""
    classes = sum(w * mean.get(name, 0.0) for name, w in CLASS_WEIGHTS.items())
    plan = {h: mean.get(f"{h}.squared", mean.get(h, 0.0)) for h in PLAN_WEIGHTS}
    return {
        "val_loss": classes + sum(w * mean.get(h, 0.0) for h, w in HEAD_WEIGHTS.items()),
        "plan_loss": classes + sum(w * plan[h] for h, w in PLAN_WEIGHTS.items()),
    }
