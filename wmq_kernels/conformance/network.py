"""Build a small random world model as a program: all instructions, two layers, frame to frame.

The frame holds three Q15.16 numbers, a count, a bit, a class of four and its age, lives and
a clock that runs down; what the program writes is its next frame, so an error anywhere soon
is an error everywhere.  The class is drawn, by a word that the controllers bring.
"""

from __future__ import annotations

from random import Random

from wmq_kernels import tables
from wmq_kernels.conformance.builder import Builder, whole
from wmq_kernels.isa import INT32, TABLE
from wmq_kernels.program import Program, Slice
from wmq_kernels.rangecheck import certified

D_MODEL, HEADS, HEADDIM, D_STATE, PAST = 24, 3, 8, 6, 3
D_INNER = HEADS * HEADDIM
D_CONV = D_INNER + 2 * D_STATE
I8, I16 = (-127, 127), (-32767, 32767)
COUNTS = {"numbers": 3, "count": 1, "bit": 1, "class": 1, "age": 1, "lives": 1, "clock": 1}
FRAME = sum(COUNTS.values())
CLASSES = 4
BIT, CLASS, AGE, LIVES, CLOCK = (Slice("frame", place, 1) for place in (4, 5, 6, 7, 8))
START = [5 << 16, -3 << 16, 1 << 15, 12, 1, 2, 3, 99, 7]  # a frame to begin with


class Network(Builder):
    """The builder's parts, put together as layers."""

    def _part(self, at: Slice, start: int, count: int) -> Slice:
        return Slice(at.value, at.start + start, count)

    def _ints(self, dtype: str, count: int, lo: int, hi: int) -> Slice:
        return self.const("c", dtype, [self.rng.randint(lo, hi) for _ in range(count)])

    def _scale(self, count: int, multiplier: int, shift: int) -> dict[str, Slice]:
        near = self._ints("i32", count, multiplier // 2, multiplier)
        return {"multiplier": near, "shift": self.const("c", "i32", [shift] * count)}

    def _dot(self, x: Slice, o: int) -> Slice:
        out = self.temp("sum", "i32", o, INT32)
        self.step("dot", {"x": x, "weight": self._ints("i8", o * x.count, *I8),
                          "bias": self._ints("i32", o, -9000, 9000), "out": out},
                  n=x.count, o=o)  # fmt: skip
        return out

    def _requantize(self, dtype: str, x: Slice, shift: int, lo: int, hi: int) -> Slice:
        out = self.temp("scaled", dtype, x.count, (lo, hi))
        self.step(f"requantize_{dtype}", {"x": x, **self._scale(x.count, 1 << 30, shift),
                                          "out": out}, n=x.count, lo=lo, hi=hi)  # fmt: skip
        return out

    def _norm(self, x: Slice) -> Slice:
        out = self.temp("norm", "i8", x.count, I8)
        self.step("rms_norm", {"x": x, "out": out}, n=x.count, eps=1000, shift=56,
                  numerator=self.rng.randint(1 << 60, (1 << 61) - 1), lo=-127, hi=127)  # fmt: skip
        return out

    def _turned(self, x: Slice) -> Slice:
        """Blocks of 8, divided by 4: numbers of a block share what is large among them."""
        out = self.temp("turned", "i32", x.count, (-(1 << 25), 1 << 25))
        self.step("hadamard", {"x": x, "out": out}, blocks=x.count // 8, block=8, shift=2,
                  lo=-(1 << 25), hi=1 << 25)  # fmt: skip
        return out

    def _smooth_norm(self, x: Slice) -> Slice:
        out = self.temp("norm", "i8", x.count, I8)
        self.step("rms_norm_channels", {"x": x, "shift": self._ints("i32", x.count, 55, 57),
                                        "out": out},
                  n=x.count, eps=1000, numerator=self.rng.randint(1 << 60, (1 << 61) - 1), lo=-127,
                  hi=127)  # fmt: skip
        return out

    def _silu(self, x: Slice) -> Slice:
        table = tables.sigmoid_table()
        out = self.temp("silu", "i16", x.count, I16)
        self.step("silu", {"x": x, "table": self.const("sigmoid", "i32", table), "out": out},
                  n=x.count, entries=len(table), fraction=11, multiplier=1 << 10,
                  shift=22 + 4 + 9, lo=-32767, hi=32767)  # fmt: skip
        return out

    def _digits(self, x: Slice, high: Slice, low: Slice) -> None:
        n = x.count
        self.step("digits", {"x": x, "offset": self._ints("i32", n, -9999, 9999),
                             **self._scale(n, 1 << 20, 27), "high": high, "low": low},
                  n=n)  # fmt: skip

    def encode(self) -> Slice:
        """The residual stream from the frame and both rows of controllers."""
        high = self.temp("high", "i8", 7, I8)
        low = self.temp("low", "i8", 13, I8)
        for at, x in ((0, Slice("frame", 0, 3)), (3, Slice("controllers", 0, 2)),
                      (5, Slice("next_controllers", 0, 2))):  # fmt: skip
            self._digits(x, self._part(high, at, x.count), self._part(low, at, x.count))
        self.step("requantize_i8", {"x": Slice("frame", 3, 2), **self._scale(2, 1 << 10, 4),
                                    "out": self._part(low, 7, 2)},
                  n=2, lo=-127, hi=127)  # fmt: skip
        self.step("embed", {"index": Slice("frame", 5, 1),
                            "table": self._ints("i8", CLASSES * 4, *I8),
                            "out": self._part(low, 9, 4)},
                  one=1, classes=CLASSES, dim=4)  # fmt: skip
        first = self.temp("first", "i32", D_MODEL, (-(1 << 24), 1 << 24))
        self.step("dot", {"x": low, "weight": self._ints("i8", D_MODEL * 13, *I8),
                          "bias": self._ints("i32", D_MODEL, -9000, 9000), "out": first},
                  n=13, o=D_MODEL)  # fmt: skip
        total = self.temp("total", "i32", D_MODEL, INT32)
        self.step("dot_add", {"x": high, "weight": self._ints("i8", D_MODEL * 7, *I8),
                              "acc": first, "out": total}, n=7, o=D_MODEL, shift=7)  # fmt: skip
        return self._requantize("i32", total, 33, -(1 << 24), 1 << 24)

    def layer(self, residual: Slice, carry: bool) -> Slice:
        z_x_dt = self._dot(self._norm(residual), D_INNER + D_CONV + HEADS)
        z = self._requantize("i16", self._part(z_x_dt, 0, D_INNER), 30, *I16)
        xbc = self._requantize("i16", self._part(z_x_dt, D_INNER, D_CONV), 30, *I16)
        raw = self._part(z_x_dt, D_INNER + D_CONV, HEADS)
        raw = self._requantize("i32", raw, 28, -(1 << 20), (1 << 20) - 1)
        mixed = self._silu(self._conv(xbc))
        dt = self.temp("dt", "i32", HEADS, (0, INT32[1]))
        table = tables.softplus_table()
        self.step("softplus", {"x": raw, "table": self.const("c", "i32", table), "out": dt},
                  n=HEADS, entries=len(table))  # fmt: skip
        gated = self.temp("gated", "i32", D_INNER, (-(1 << 24), 1 << 24))
        self.step("gate", {"a": self._scan(mixed, dt, carry), "b": self._silu(z),
                           **self._scale(D_INNER, 1 << 30, 33), "out": gated},
                  n=D_INNER, lo=-(1 << 24), hi=1 << 24)  # fmt: skip
        change = self._dot(self._smooth_norm(self._turned(gated)), D_MODEL)
        change = self._requantize("i32", change, 30, -(1 << 23), 1 << 23)
        out = self.temp("residual", "i32", D_MODEL, (-(1 << 24), 1 << 24))
        self.step("add", {"a": residual, "b": change, "out": out}, n=D_MODEL,
                  lo=-90_000, hi=90_000)  # fmt: skip
        return out

    def two_digit_dot(self, residual: Slice, o: int) -> Slice:
        """The norm in two digits, and a dot of both."""
        n = residual.count
        high, low = self.temp("norm", "i8", n, I8), self.temp("norm_low", "i8", n, I8)
        self.step("rms_norm_digits", {"x": residual, "high": high, "low": low}, n=n, eps=n,
                  numerator=(1 << 60) + 12345, shift=48)  # fmt: skip
        weight = self._ints("i8", o * n, *I8)
        first = self.temp("first", "i32", o, (-(1 << 28), 1 << 28))
        self.step("dot", {"x": low, "weight": weight, "bias": self._ints("i32", o, -9000, 9000),
                          "out": first}, n=n, o=o)  # fmt: skip
        total = self.temp("total", "i32", o, INT32)
        self.step("dot_add", {"x": high, "weight": weight, "acc": first, "out": total}, n=n, o=o,
                  shift=7)  # fmt: skip
        return total

    def _conv(self, x: Slice) -> Slice:
        n = x.count
        out = self.temp("conv", "i16", n, I16)
        self.step("conv", {"x": x, "history": self.state("history", "i16", PAST * n, I16),
                           "weight": self._ints("i16", PAST * n, *I16),
                           "weight_now": self._ints("i16", n, *I16),
                           "bias": self._ints("i32", n, -(1 << 26), 1 << 26),
                           **self._scale(n, 1 << 30, 43), "out": out},
                  past=PAST, n=n, lo=-32767, hi=32767)  # fmt: skip
        return out

    def _scan(self, mixed: Slice, dt: Slice, carry: bool) -> Slice:
        x, limit = self._part(mixed, 0, D_INNER), min(TABLE["scan"].parameters[3].hi, 1 << 30)
        coarse, fine = tables.decay_coarse(), tables.decay_fine()
        keep = self.temp("decay", "i32", HEADS, (0, INT32[1]))
        self.step("decay", {"dt": dt, "rate": self._ints("i32", HEADS, 1 << 18, 1 << 25),
                            "coarse": self.const("c", "i64", coarse),
                            "fine": self.const("c", "i64", fine), "out": keep},
                  n=HEADS, entries=len(coarse), fines=len(fine))  # fmt: skip
        push = self.temp("drive", "i32", D_INNER, INT32)
        self.step("drive", {"x": x, "dt": dt, "shift": self._ints("i32", HEADS, 12, 15),
                            "out": push},
                  heads=HEADS, headdim=HEADDIM, lo=INT32[0], hi=INT32[1])  # fmt: skip
        y = self.temp("y", "i16", D_INNER, I16)
        size = HEADS * D_STATE * HEADDIM
        kept = {"state": self.state("state", "i32", size, (-limit, limit))}
        if carry:
            kept["carry"] = self.state("carry", "i16", size, whole("i16"))
        self.step("scan_carry" if carry else "scan", {**kept, "decay": keep, "drive": push,
                           "B": self._part(mixed, D_INNER, D_STATE),
                           "C": self._part(mixed, D_INNER + D_STATE, D_STATE), "x": x,
                           "skip": self._ints("i64", HEADS, -(1 << 20), 1 << 20),
                           "gain": self._ints("i32", HEADS, 4, 9),
                           "shift": self._ints("i32", HEADS, 19, 21), "out": y},
                  heads=HEADS, d_state=D_STATE, headdim=HEADDIM, limit=limit, lo=-32767,
                  hi=32767)  # fmt: skip
        return y

    def update(self, heads: Slice) -> Slice:
        """The next frame from 3 changes, 2 numbers, a logit and the logits of 4 classes."""
        after = self.value("after", "i32", FRAME, "temp", INT32, around=0)
        moved = self.temp("moved", "i32", 3, (-(1 << 20), 1 << 20))
        self._move(heads, moved)
        self.step("frame_round", {"now": Slice("frame", 3, 1), "value": self._part(heads, 3, 1),
                                  "least": self.const("c", "i32", [0]),
                                  "most": self.const("c", "i32", [60]),
                                  "falling": self.const("c", "i32", [0]),
                                  "out": self._part(after, 3, 1)}, n=1)  # fmt: skip
        self.step("frame_down", {"now": CLOCK, "value": self._part(heads, 4, 1),
                                 "least": self.const("c", "i32", [0]),
                                 "most": self.const("c", "i32", [20]),
                                 "out": self._part(after, 8, 1)}, n=1)  # fmt: skip
        self.step("frame_sign", {"x": self._part(heads, 5, 1), "out": self._part(after, 4, 1)},
                  n=1)  # fmt: skip
        self._draw(self._part(heads, 6, CLASSES), moved, self._part(after, 5, 1))
        self.step("place", {"before": CLASS, "after": self._part(after, 5, 1), "index": AGE,
                            "moved": moved, "table": self._ints("i32", 4 * 3, -(1 << 18), 1 << 18),
                            "out": self._part(after, 0, 3)},
                  one=1, n=3, entries=4, event=2)  # fmt: skip
        self.step("age", {"before": CLASS, "after": self._part(after, 5, 1), "age": AGE,
                          "out": self._part(after, 6, 1)}, one=1, most=20)  # fmt: skip
        self.step("strike", {"state": CLASS, "age": AGE, "x": LIVES,
                             "at": self._ints("i32", CLASSES, -1, 2),
                             "out": self._part(after, 7, 1)}, one=1, entries=CLASSES)  # fmt: skip
        return after

    def _move(self, heads: Slice, moved: Slice) -> None:
        """One number by its change alone; two also by the speeds of the likeliest class."""
        change = self.temp("change", "i32", 3, INT32)
        self.step("threshold", {"x": self._part(heads, 0, 3), "out": change,
                                "least": self._ints("i32", 3, 0, 1 << 18)}, n=3)  # fmt: skip
        self._settle(self._part(change, 0, 1), self._part(moved, 0, 1))
        likeliest = self.temp("likeliest", "i32", 1, (0, CLASSES - 1))
        self.step("argmax", {"x": self._part(heads, 6, CLASSES), "out": likeliest},
                  n=CLASSES, one=1)  # fmt: skip
        speed = self.temp("speed", "i32", 2, (-(1 << 16), 1 << 16))
        self.step("lookup", {"index": likeliest, "out": speed,
                             "table": self._ints("i32", CLASSES * 2, -(1 << 16), 1 << 16)},
                  one=1, entries=CLASSES, n=2)  # fmt: skip
        left = self.temp("left", "i32", 2, (-(1 << 16), 1 << 16))
        self.step("blank", {"x": speed, "first": BIT, "second": AGE, "out": left},
                  n=2, one=1)  # fmt: skip
        free = self.temp("free", "i32", 2, (-(1 << 19), 1 << 19))
        self.step("frame_move", {"now": Slice("frame", 1, 2), "change": self._part(change, 1, 2),
                                 "speed": self._slowed(left), "push": Slice("controllers", 0, 2),
                                 "still": CLOCK,
                                 "least": self.const("c", "i32", [-(1 << 19), 0]),
                                 "most": self.const("c", "i32", [1 << 19, 1 << 18]),
                                 "out": free}, n=2, one=1)  # fmt: skip
        across, up = self._part(free, 0, 1), self._part(free, 1, 1)
        self.step("copy", {"x": across, "out": self._part(moved, 1, 1)}, n=1)
        self.step("hold_above", {"x": across, "before": Slice("frame", 2, 1), "y": up,
                                 "row": CLASS,
                                 "least": self._ints("i32", CLASSES, -(1 << 19), 0),
                                 "most": self._ints("i32", CLASSES, 0, 1 << 19),
                                 "level": self._ints("i32", CLASSES, 0, 1 << 18),
                                 "out": self._part(moved, 2, 1)},
                  one=1, entries=CLASSES)  # fmt: skip

    def _slowed(self, speed: Slice) -> Slice:
        """Two speeds that fade; the first also drifts, the second falls."""
        shorter, out = (self.temp(name, "i32", 2, (-(1 << 16), 1 << 16))
                        for name in ("shorter", "slowed"))  # fmt: skip
        held = {"still": CLOCK, "flag": BIT}
        self.step("fade", {"x": speed, **held, "out": shorter}, n=2, one=1, amount=5000)
        tables = {name: self._ints("i32", 3 * 2, 0, most)
                  for name, most in (("friction", 1 << 12), ("walk", 1 << 14), ("most", 1 << 16),
                                     ("slope", 1 << 13), ("base", 1 << 12))}  # fmt: skip
        self.step("drift", {"x": self._part(shorter, 0, 1), **held, "state": CLASS, "row": AGE,
                            "stick": Slice("frame", 2, 1),
                            "loose": self._ints("i32", CLASSES, -1, 1),
                            "held": self._ints("i32", CLASSES, 0, 1), **tables,
                            "out": self._part(out, 0, 1)},
                  one=1, states=CLASSES, rows=3, modes=2)  # fmt: skip
        self.step("fall", {"x": self._part(shorter, 1, 1), **held, "state": CLASS, "row": AGE,
                           "weighs": self._ints("i32", CLASSES, 0, 2),
                           "gravity": self._ints("i32", 3, 0, 1 << 14),
                           "terminal": self._ints("i32", 3, 0, 1 << 15),
                           "out": self._part(out, 1, 1)},
                  one=1, states=CLASSES, entries=3)  # fmt: skip
        return out

    def _settle(self, change: Slice, out: Slice) -> None:
        """The first number: its class and age may stand at a place that it is drawn to."""
        free = self.temp("free", "i32", 1, (-(1 << 20), 1 << 20))
        self.step("frame_add", {"now": Slice("frame", 0, 1), "change": change,
                                "least": self.const("c", "i32", [-(1 << 20)]),
                                "most": self.const("c", "i32", [1 << 20]), "out": free},
                  n=1)  # fmt: skip
        ages = 3
        places = [[self.rng.choice((INT32[0], self.rng.randint(-(1 << 20), 1 << 20)))
                   for _ in range(CLASSES * ages)] for _ in (0, 1)]  # fmt: skip
        ends = [self._ints("i32", CLASSES * ages, *near)
                for near in ((-(1 << 20), 0), (-1000, 1 << 20))]  # fmt: skip
        between, flag = (self.temp(name, "i32", 1, INT32) for name in ("between", "flag"))
        self.step("inside", {"x": free, "flag": BIT, "row": CLASS, "column": AGE,
                             "least": ends[0], "most": ends[1], "out": between},
                  one=1, rows=CLASSES, columns=ages)  # fmt: skip
        for op, taken, table, to in (("near", between, places[0], flag),
                                     ("stand", flag, places[1], out)):  # fmt: skip
            self.step(op, {"x": free, "flag": taken, "row": CLASS, "column": AGE,
                           "table": self.const("c", "i32", table), "out": to},
                      one=1, rows=CLASSES, columns=ages, reach=1 << 19)  # fmt: skip

    def _draw(self, logits: Slice, moved: Slice, after: Slice) -> None:
        """The class: what its clock says, what it decides, or a draw, unless a number leaves."""
        wish = self._requantize("i32", Slice("next_controllers", 1, 1), 51, -3, CLASSES)
        forced = self.temp("forced", "i32", 1, INT32)
        self.step("timed", {"state": CLASS, "age": AGE, "forced": wish,
                            "last": self._ints("i32", CLASSES, -1, 4),
                            "next": self._ints("i32", CLASSES, 0, CLASSES - 1), "out": forced},
                  one=1, entries=CLASSES)  # fmt: skip
        drawn = self.temp("drawn", "i32", 1, (0, CLASSES - 1))
        table = tables.weights_table(1003)
        allowed = [int(k == i or self.rng.random() < 0.7)
                   for k in range(CLASSES) for i in range(CLASSES)]  # fmt: skip
        self.step("sample", {"x": logits, "allowed": self.const("c", "i8", allowed),
                             "state": CLASS, "word": Slice("controllers", 0, 1), "forced": forced,
                             "table": self.const("c", "i32", table), "out": drawn},
                  n=CLASSES, one=1, classes=CLASSES, entries=len(table), multiplier=1 << 10,
                  shift=17)  # fmt: skip
        decided = self.temp("decided", "i32", 1, (0, CLASSES - 1))
        alone = [self.rng.choice((-1, -1, self.rng.randrange(CLASSES))) for _ in range(CLASSES)]
        self.step("override", {"state": CLASS, "flag": BIT, "x": drawn,
                               "table": self.const("c", "i32", alone), "out": decided},
                  one=1, entries=CLASSES)  # fmt: skip
        ends = self._ints("i32", 2 * CLASSES, 1 << 17, 1 << 19)
        least = [-int(v) for v in self.data[ends.value][ends.start :][: 2 * CLASSES]]
        self.step("cross", {"before": CLASS, "after": decided, "index": AGE,
                            "x": self._part(moved, 0, 2), "push": Slice("controllers", 1, 1),
                            "least": self.const("c", "i32", least), "most": ends,
                            "need": self._ints("i32", 4, -(1 << 21), 1 << 21),
                            "fate": self._ints("i32", CLASSES * 4, -1, CLASSES - 1), "out": after},
                  one=1, entries=CLASSES, axes=2, sides=4, states=CLASSES)  # fmt: skip


def network(seed: int, layers: int = 2) -> Program:
    b = Network(Random(seed))
    b.part(FRAME, INT32)
    residual = b.encode()
    for number in range(layers):
        residual = b.layer(residual, carry=number % 2 == 1)
    heads = b.two_digit_dot(residual, 6 + CLASSES)
    heads = b._requantize("i32", heads, 29, *INT32)
    b.show("all", heads)
    return certified(b.program(b.update(heads)))
