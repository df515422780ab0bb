"""Results that nobody measured, with everything that a page has to cope with."""

from __future__ import annotations

from pathlib import Path

from wmq.evaluation.bootstrap import Interval
from wmq.evaluation.results import (
    Curve,
    Drift,
    Figure,
    HeadFigure,
    Pair,
    Row,
    Sensitive,
    Sensitivity,
    Suite,
    Verdict,
    WorldStatistic,
    write_result,
)

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>&\"\u2028"
LOSSES = ("val_loss", "plan_loss", "pos_mae", "vel_mae", "percent_mae", "rc(5)", "rc(20)", "rc(60)")
SHARES = ("action_acc", "change_acc", "change_acc: damage", "change_acc: shield")
HORIZONS = [1, 5, 10, 20, 40, 60, 120, 200, 300, 400, 500, 600]


def row(name: str, percent: float, **others) -> Row:
    """A row whose losses are `percent` above float32's, give or take 0.1."""

    def loss(k: int) -> Figure:
        value = (1 + k) * 0.3
        change = Interval(percent * (1 + k / 4), percent - 0.1, percent * 2 + 0.1)
        return Figure(value * (1 + percent / 100), change, True, 0.08)

    figures = {figure: loss(k) for k, figure in enumerate(LOSSES)}
    figures |= {
        figure: Figure(
            80.0 - percent, Interval(-percent / 10, -percent / 5 - 0.02, 0.02), False, 0.1
        )
        for figure in SHARES
    }
    figures["same_action"] = Figure(100 - percent / 5)
    facts = {
        "library": "wmq",
        "layers": 26,
        "static_layers": 26,
        "float_operations": 0,
        "bytes": 4_700_000,
    }
    facts |= {"frames": 397_000, "frames_per_second": 9_700.0}
    heads = {
        "action.0": HeadFigure(99.8, 1e-5, 2e-4, 0.01),
        "continuous": HeadFigure(None, 0, 0, 0),
    }
    divergence = {"median": 140.0, "never": 21.3}
    return Row(name, what=f"what {name} is", figures=figures, heads=heads,
               first_divergence=divergence, **(facts | others))  # fmt: skip


def a_suite(onnx_sha256: str) -> Suite:
    return Suite(
        model="mamba2-medium.onnx",
        onnx_sha256=onnx_sha256,
        games=["ab" * 32, "cd" * 32],
        starts=300,
        quick=False,
        rows=[
            row("float32, onnxruntime", 0.0, layers=0, static_layers=0, bytes=17_300_000,
                float_operations=412, frames_per_second=1_850.0),
            row("wmq, static-best", 0.14),
            row("torch quantize_dynamic", 1.59, library="torch", float_operations=310),
            row("onnxruntime static, min-max", 3.2, float_operations=120, notes=[HOSTILE]),
            Row("torchao", "torchao", HOSTILE, reason=HOSTILE),
        ],
        seconds=1_260.0,
    )  # fmt: skip


def curve(rate: float, top: float = 100.0, falls: bool = False) -> Curve:
    shares = [1 - 2 ** (-h * rate / 100) for h in HORIZONS]
    mean = [top * (1 - s if falls else s) for s in shares]
    return Curve(HORIZONS, mean, [0.9 * m for m in mean], [min(1.1 * m, 100.0) for m in mean])


def pair(name: str, kind: str, rate: float) -> Pair:
    return Pair(
        name, kind, curve(rate, 100, True), curve(rate, 40), {"median": 80 / rate, "never": 3.0}
    )


def a_statistic(name: str, unit: str, controllers: str, value: float) -> WorldStatistic:
    tracks = {
        track: Interval(value * f, value * (f - 0.2), value * (f + 0.2))
        for track, f in (("float", 1.0), ("int8", 1.05), ("torch dynamic", 1.3), ("real", 0.8))
    }
    differences = {
        "int8": Interval(value * 0.05, -value * 0.1, value * 0.2),
        "torch dynamic": Interval(value * 0.3, value * 0.1, value * 0.5),
    }
    chance = {"int8": 0.43, "torch dynamic": 0.004}
    return WorldStatistic(name, unit, controllers, tracks, differences, chance,
                          {"int8": 1.0, "torch dynamic": 0.032})  # fmt: skip


def a_drift(sha256: str) -> Drift:
    nudged = "nudged by half an int8 step"
    pairs = [
        pair("int8", "quantized", 0.9),
        pair("torch dynamic", "quantized", 1.6),
        pair("float32 and float64", "yardstick", 0.4),
        pair(nudged, "yardstick", 0.8),
    ]
    unity = Curve(HORIZONS, [1.1] * 12, [0.9] * 12, [1.3] * 12)
    statistics = [
        a_statistic(name, unit, controllers, value)
        for controllers in ("real", "random")
        for name, unit, value in (
            ("damage", "% a minute", 310.0), ("stocks lost", "a minute", 3.1),
            ("airborne", "% of frames", 41.0), ("impossible transitions", "a minute", 0.0),
        )
    ]  # fmt: skip
    verdicts = [
        Verdict("int8", horizon, measure, Interval(0.01, -0.02, 0.04), horizon == 600,
                f"at {horizon} frames: {HOSTILE}", 0.05)
        for horizon, measure in ((1, "pos_mae"), (20, "rc(20)"), (600, "apart"), (3600, "damage"))
    ]  # fmt: skip
    return Drift(
        model="mamba2-medium.wmq", sha256=sha256, starts=300, horizon=600, pairs=pairs,
        relative={"int8": {"float32 and float64": unity, nudged: curve(1, 2)}},
        worlds=64, frames=3600, statistics=statistics, verdicts=verdicts,
        sentence="int8 can't be told from float at one frame, at 20, nor over a minute; at 600 it "
                 "can, by 0.01 game units [-0.02, 0.04].",
        seconds=900.0, truth={"float": curve(1, 30), "int8": curve(1.1, 30)},
        truth_difference={"int8": Curve(HORIZONS, [0.0] * 12, [-0.1] * 12, [0.1] * 12)},
        games=["ef" * 32], notes=[HOSTILE],
    )  # fmt: skip


def a_sensitivity(sha256: str) -> Sensitivity:
    def entry(name: str, kind: str, size: float) -> Sensitive:
        around = Interval(size, size * 0.7 - 0.01, size * 1.3 + 0.01)
        figures = {"val_loss": Figure(0.3, around, True), "rc(20)": Figure(3.9, around, True),
                   "change_acc": Figure(70.0, Interval(-size / 9, -size / 5, 0.01))}  # fmt: skip
        return Sensitive(name, kind, [name], figures, 99.9 - size, size / 100)

    names = ("inputs of out_proj", "inputs of heads", "weights", HOSTILE)
    classes = [entry(name, "class", 0.6 / (k + 1)) for k, name in enumerate(names)]
    layers = [entry(f"layers.{k}.mamba.out_proj", "layer", 0.2 - 0.07 * k) for k in range(4)]
    whole = [entry("all of these together", "together", 0.9), entry("it", "program", 0.8)]
    return Sensitivity("mamba2-medium.onnx", sha256, 64_000, classes + layers + whole,
                       {"layers.0.mamba.x": 12, HOSTILE: 0}, 700.0)  # fmt: skip


def write_results(folder: Path, onnx_sha256: str, wmq_sha256: str) -> Path:
    folder.mkdir(exist_ok=True)
    write_result(folder / "suite.json", a_suite(onnx_sha256))
    write_result(folder / "drift.json", a_drift(wmq_sha256))
    write_result(folder / "sensitivity.json", a_sensitivity(onnx_sha256))
    return folder
