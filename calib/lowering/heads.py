"""Lowering of the last norm, the heads and the frame update.

Number heads leave as Q15.16 in natural units, logits as int32 on one scale a head; all lie
side by side in the value `heads`.  The next frame then follows field by field from the
schema: added, rounded, by sign, by argmax, by age, or kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from calib.arithmetic.fixed import multipliers
from calib.lowering.builder import ProgramBuilder
from calib.lowering.chain import draw_ports, lower_draw, lower_told
from calib.lowering.ops import LinearSum, linear, norm
from calib.lowering.scales import Scales
from calib.step.schema import HEADS, NUMBER_HEADS, PLAYERS, Q16, Field, StepSchema
from calib.step.sizes import StepSizes, module_name
from wmq_kernels.program import Slice

HEAD_LIMIT = (1 << 30) - 1  # so that now + change fits int32
LOGIT_HEADROOM = 4.0  # of logits over calibration
LOGIT_BITS = 30  # by which a logit's unit is finer than that of the sum it comes from, at most

HeadPlaces = dict[str, tuple[int, int]]


def lower_heads(b: ProgramBuilder, schema: StepSchema, sizes: StepSizes,
                weights: Mapping[str, np.ndarray],
                scales: Scales) -> tuple[HeadPlaces, dict[str, float]]:  # fmt: skip
    """Append the steps to the value `heads`.  Returns the place of each head and its scale."""
    b.value("heads", "i32", sum(sizes.heads.values()), HEAD_LIMIT)
    ends = np.cumsum(list(sizes.heads.values()))
    places = {head: (int(end) - width, width)
              for (head, width), end in zip(sizes.heads.items(), ends, strict=True)}  # fmt: skip
    units: dict[str, float] = {}
    x = f"residual.{sizes.n_layer}"
    if sizes.draws:
        draw_ports(b, schema)
    for number, draw in enumerate(sizes.draws):
        units |= _after_norm(b, weights, scales, f"chain.{number}.norm", x, [draw.name], places)
        place = Slice("heads", *places[draw.name])
        lower_draw(b, schema, sizes, weights, number, place, units[draw.name])
        if f"chain.{number}.given.weight" in weights:
            x = lower_told(b, sizes, weights, scales, number, draw, x)
    if rest := list(sizes.heads)[len(sizes.draws) :]:
        units |= _after_norm(b, weights, scales, "norm_f", x, rest, places)
    return places, units


def _after_norm(b: ProgramBuilder, weights: Mapping[str, np.ndarray], scales: Scales, at: str,
                x: str, heads: Sequence[str], places: HeadPlaces) -> dict[str, float]:  # fmt: skip
    """Append a norm of x and the heads that read it.  Returns the heads' scales."""
    folded = {head: weights[f"heads.{module_name(head)}.weight"].astype(np.float64)
              * weights[f"{at}.weight"] for head in heads}  # fmt: skip
    unit = norm(b, x, at, scales.residual.unit, scales,
                any(scales.fine(f"heads.{module_name(head)}") for head in heads),
                np.concatenate(list(folded.values())))  # fmt: skip
    units: dict[str, float] = {}
    for head in heads:
        name = f"heads.{module_name(head)}"
        weight = folded[head]
        bias = weights[f"{name}.bias"].astype(np.float64)
        if head in NUMBER_HEADS:
            spread = weights[f"{head}_scale"].astype(np.float64)
            weight = weight * spread[:, None]
            bias = bias * spread + weights[f"{head}_offset"]
        acc = linear(b, name, unit, weight, bias, scales)
        if head in NUMBER_HEADS:
            units[head] = 1 / Q16
        else:
            least = float(acc.scale.max()) * 2.0**-LOGIT_BITS
            units[head] = max(LOGIT_HEADROOM * scales.limit(name) / HEAD_LIMIT, least)
        _to_heads(b, acc, name, units[head], *places[head])
    return units


def _to_heads(
    b: ProgramBuilder, acc: LinearSum, name: str, unit: float, start: int, width: int
) -> None:
    m, shift = multipliers(acc.scale / unit)
    b.step("requantize_i32", acc.name, b.const(f"{name}.multiplier", m, "i32"),
           b.const(f"{name}.shift", shift, "i32"), Slice("heads", start, width),
           lo=-HEAD_LIMIT, hi=HEAD_LIMIT)  # fmt: skip


def lower_update(b: ProgramBuilder, schema: StepSchema, places: HeadPlaces) -> None:
    """Append the steps from `frame` and `heads` to `next_frame`."""
    placed = [schema.index(name) for name in schema.rebirth.fields]
    for player in (0, 1):
        for field in schema.classes:
            _update_class(b, schema, field, player, places)
        for head in HEADS:
            members = schema.head(head)
            first = places[head][0] + player * len(members)
            for run in _runs([schema.index(field.name) for field in members], placed):
                source = Slice("heads", first, len(run))
                fields = [schema.fields[i] for i in run]
                start = player * len(schema.fields) + run[0]
                out = Slice("next_frame", start, len(run))
                if run == placed:
                    moved = b.value(f"moved.{player}", "i32", len(run), _interval(b))
                    _update_numbers(b, fields, start, source, b.whole(moved))
                    _place(b, schema, player, moved, out)
                else:
                    _update_numbers(b, fields, start, source, out)
                first += len(run)
    stage = schema.stage_index
    b.step("copy", Slice("frame", stage, 1), Slice("next_frame", stage, 1))


def _interval(b: ProgramBuilder) -> tuple[int, int]:
    return b.values["next_frame"].lo, b.values["next_frame"].hi


def _place(b: ProgramBuilder, schema: StepSchema, player: int, moved: str, out: Slice) -> None:
    """Put a player who respawns at the stage's place, whatever the head says."""
    rebirth, stage = schema.rebirth, Slice("frame", schema.stage_index, 1)
    action = schema.index("action", player)
    table = b.const(f"rebirth.{player}", np.array(rebirth.places)[:, player], "i32", 2.0**-16)
    b.step("place", Slice("frame", action, 1), Slice("next_frame", action, 1), stage, moved, table,
           out, entries=len(rebirth.places), event=rebirth.action)  # fmt: skip


def _runs(indices: Sequence[int], apart: Sequence[int]) -> list[list[int]]:
    """Group neighbouring numbers, those in `apart` separately."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and runs[-1][-1] == i - 1 and (i in apart) == (runs[-1][-1] in apart):
            runs[-1].append(i)
        else:
            runs.append([i])
    return runs


def _update_numbers(b: ProgramBuilder, fields: Sequence[Field], start: int, source: Slice,
                    out: Slice) -> None:  # fmt: skip
    """Append the update of fields of one head that lie side by side in the frame."""
    now = Slice("frame", start, source.count)
    update = fields[0].update
    if update == "sign":
        b.step("frame_sign", source, out)
        return
    ends = {end: b.const(f"{end}.{start}", [getattr(f, end) * f.quantum for f in fields], "i32")
            for end in ("lo", "hi")}  # fmt: skip
    if update == "add":
        b.step("frame_add", now, source, ends["lo"], ends["hi"], out)
    else:
        falling = np.array([f.update == "round_falling" for f in fields], dtype=np.int32)
        b.step("frame_round", now, source, ends["lo"], ends["hi"],
               b.const(f"falling.{start}", falling, "i32"), out)  # fmt: skip


def _update_class(b: ProgramBuilder, schema: StepSchema, field: Field, player: int,
                  places: HeadPlaces) -> None:  # fmt: skip
    at = schema.index(field.name, player)
    now, out = Slice("frame", at, 1), Slice("next_frame", at, 1)
    if field.update == "argmax":
        b.step("argmax", Slice("heads", *places[f"{PLAYERS[player]}.{field.name}"]), out)
    elif field.update == "age":
        action = schema.index("action", player)
        b.step("age", Slice("frame", action, 1), Slice("next_frame", action, 1), now, out,
               most=field.hi)  # fmt: skip
    else:
        b.step("copy", now, out)
