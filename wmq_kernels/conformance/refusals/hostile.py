"""Change one thing at a time in the header of a sound file, so that no reader may accept it.

A `Base` is a sound file around one instruction, taken apart.  `with_text` and `file_of`
put a file together again, with lengths, padding and the data's hash set right, so that
nothing but the change itself is wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from wmq_kernels.conformance.recipes import draw
from wmq_kernels.isa import COUNT, TABLE
from wmq_kernels.program import ALIGN, FORMAT_VERSION, MAGIC, encode

Fields = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """A sound file: its bytes, and where its header ends."""

    op: str
    content: bytes

    @property
    def header_end(self) -> int:
        return 16 + int.from_bytes(self.content[12:16], "little")

    @property
    def text(self) -> bytes:
        return self.content[16 : self.header_end]

    @property
    def data(self) -> bytes:
        return self.content[self.header_end + -self.header_end % ALIGN :]

    def fields(self) -> Fields:
        """The header, fresh to be changed."""
        return json.loads(self.text)


@cache
def base(op: str, seed: int) -> Base:
    return Base(op, encode(draw(op, seed)[0]))


def with_text(text: bytes, data: bytes) -> bytes:
    """A file with these bytes as its header."""
    head = MAGIC + FORMAT_VERSION.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    return head + bytes(-len(head) % ALIGN) + data


def file_of(fields: Any, data: bytes) -> bytes:
    """A file with this header, its data hash set right if it has one."""
    if isinstance(fields, dict) and isinstance(fields.get("data_sha256"), str):
        fields = {**fields, "data_sha256": hashlib.sha256(data).hexdigest()}
    return with_text(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode(), data)


def step_of(fields: Fields, op: str) -> int:
    """The number of the step under test: the builder puts those that feed it before it."""
    steps = fields["steps"]
    return next(i for i in reversed(range(len(steps))) if steps[i][0] == op)


def value_of(fields: Fields, name: str) -> list:
    """[name, type, shape, kind, lo, hi, scale]."""
    return next(row for row in fields["values"] if row[0] == name)


@dataclass(frozen=True)
class Refused:
    """A file to be refused, with the class; make() gives it."""

    name: str
    reason: str
    make: Callable[[], bytes]


def changed(
    op: str, seed: int, name: str, reason: str, change: Callable[..., object], /, **arguments: Any
) -> Refused:
    """A sound file with change(fields, op, **arguments) done to its header."""

    def make() -> bytes:
        b = base(op, seed)
        fields = b.fields()
        change(fields, op, **arguments)
        return file_of(fields, b.data)

    return Refused(f"{op}: {name}", reason, make)


class Mutation(NamedTuple):
    """change(fields, op) edits in place; reason is None where several classes apply."""

    reason: str | None
    change: Callable[[Fields, str], object]


def put(*path: Any, value: Any) -> Callable[[Fields, str], object]:
    def change(fields: Fields, op: str) -> None:
        place: Any = fields
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


def pop(key: str) -> Callable[[Fields, str], object]:
    return lambda fields, op: fields.pop(key)


def in_value(kind: str, place: int, value: Any) -> Callable[[Fields, str], object]:
    """An entry of the first value of a kind."""

    def change(fields: Fields, op: str) -> None:
        next(row for row in fields["values"] if row[3] == kind)[place] = value

    return change


def in_step(edit: Callable[[list], object]) -> Callable[[Fields, str], object]:
    """The step under test: [instruction, operands, parameters]."""
    return lambda fields, op: edit(fields["steps"][step_of(fields, op)])


def in_operand(place: int, value: Any) -> Callable[[Fields, str], object]:
    """[value, start, count] of the operand x."""
    return in_step(lambda step: step[1]["x"].__setitem__(place, value))


def in_parameter(name: str, value: Any) -> Callable[[Fields, str], object]:
    return in_step(lambda step: step[2].__setitem__(name, value))


def in_length(value: Any) -> Callable[[Fields, str], object]:
    """The instruction's first parameter that is a length."""

    def edit(step: list) -> None:
        lengths = [p.name for p in TABLE[step[0]].parameters if (p.lo, p.hi) == COUNT]
        step[2][lengths[0]] = value

    return in_step(edit)


def more_value(*row: Any) -> Callable[[Fields, str], object]:
    return lambda fields, op: fields["values"].append(list(row))


def _twice(fields: Fields, op: str) -> None:
    fields["values"].append(next(row for row in fields["values"] if row[3] == "temp"))


HOSTILE: dict[str, Mutation] = {
    "no values": Mutation("header", pop("values")),
    "no steps": Mutation("header", pop("steps")),
    "no heads": Mutation("header", pop("heads")),
    "no meta": Mutation("header", pop("meta")),
    "no data hash": Mutation("header", pop("data_sha256")),
    "no certificate": Mutation("header", pop("certificate")),
    "one key more": Mutation("header", put("more", value=1)),
    "values not a list": Mutation("value", put("values", value=7)),
    "values an object": Mutation("value", put("values", value={"a": 1})),
    "steps a string": Mutation("step", put("steps", value="abc")),
    "heads a list": Mutation("port", put("heads", value=[[0, 1]])),
    "heads of floats": Mutation("port", put("heads", value={"a": [0.0, 1.0]})),
    "heads too far": Mutation("port", put("heads", value={"a": [0, 1 << 40]})),
    "heads negative": Mutation("port", put("heads", value={"a": [-1, 1]})),
    "heads of one number": Mutation("port", put("heads", value={"a": [0]})),
    "meta a list": Mutation("header", put("meta", value=[])),
    "hash of another type": Mutation("digest", put("data_sha256", value=7)),
    "value of six": Mutation("value", lambda f, op: f["values"][0].pop()),
    "value twice": Mutation("value", _twice),
    "port twice": Mutation("value", more_value("frame", "i32", [1], "temp", 0, 0, 0.0)),
    "name a number": Mutation("value", in_value("temp", 0, 3)),
    "name empty": Mutation("value", in_value("temp", 0, "")),
    "name of two lines": Mutation("value", in_value("temp", 0, "a\nb")),
    "name beyond ASCII": Mutation("value", in_value("temp", 0, "a\xe9")),
    "more of two lines": Mutation("value", more_value("a\nb", "i32", [1], "temp", 1, 0, 0.0)),
    "head of two lines": Mutation("port", put("heads", value={"a\nb": [0, 1 << 40]})),
    "head without a name": Mutation("port", put("heads", value={"": [0, 1]})),
    "name a list": Mutation("value", in_value("temp", 0, [])),
    "dtype unknown": Mutation("value", in_value("temp", 1, "f32")),
    "dtype a list": Mutation("value", in_value("temp", 1, ["i8"])),
    "dtype wider": Mutation("value", in_value("temp", 1, "i64")),
    "dtype narrower": Mutation(None, in_value("const", 1, "i8")),
    "shape huge": Mutation("value", in_value("temp", 2, [1 << 31])),
    "shape huge in all": Mutation("value", in_value("temp", 2, [1 << 20, 1 << 20])),
    "shape beyond int64": Mutation("value", in_value("temp", 2, [1 << 30] * 4)),
    "shape zero": Mutation("value", in_value("temp", 2, [0])),
    "shape negative": Mutation("value", in_value("temp", 2, [-4])),
    "shape of floats": Mutation("value", in_value("temp", 2, [4.0])),
    "shape of bools": Mutation("value", in_value("temp", 2, [True])),
    "shape a number": Mutation("value", in_value("temp", 2, 4)),
    "shape of five": Mutation("value", in_value("temp", 2, [1, 1, 1, 1, 1])),
    "shape that data does not fill": Mutation("length", in_value("const", 2, [1 << 20])),
    "kind unknown": Mutation("value", in_value("temp", 3, "input")),
    "const made temp": Mutation(None, in_value("const", 3, "temp")),
    "temp made const": Mutation(None, in_value("temp", 3, "const")),
    "interval turned": Mutation("value", lambda f, op: f["values"][0].__setitem__(
        slice(4, 6), [1, 0])),
    "interval beyond the type": Mutation("value", in_value("temp", 5, 1 << 40)),
    "interval of floats": Mutation("value", in_value("temp", 4, -1.0)),
    "interval of text": Mutation("value", in_value("temp", 4, "0")),
    "state without zero": Mutation("value", in_value("state", 4, 1)),
    "scale NaN": Mutation(None, in_value("temp", 6, float("nan"))),
    "scale infinite": Mutation(None, in_value("temp", 6, float("inf"))),
    "scale beyond floats": Mutation(None, in_value("temp", 6, 10**400)),
    "scale a word": Mutation(None, in_value("temp", 6, "nan")),
    "scale a digit string": Mutation(None, in_value("temp", 6, "1")),
    "scale null": Mutation("value", in_value("temp", 6, None)),
    "scale a bool": Mutation(None, in_value("temp", 6, True)),
    "meta with NaN": Mutation(None, put("meta", value={"a": float("nan")})),
    "instruction unknown": Mutation("step", in_step(lambda s: s.__setitem__(0, "conv2"))),
    "instruction a list": Mutation("step", in_step(lambda s: s.__setitem__(0, ["conv"]))),
    "step of two": Mutation("step", in_step(lambda s: s.pop())),
    "operand missing": Mutation("step", in_step(lambda s: s[1].pop("x"))),
    "operand more": Mutation("step", in_step(lambda s: s[1].__setitem__("y", ["frame", 0, 1]))),
    "operands a list": Mutation("step", in_step(lambda s: s.__setitem__(1, list(s[1])))),
    "operand of two": Mutation("step", in_step(lambda s: s[1].__setitem__("x", ["frame", 0]))),
    "operand of an unknown value": Mutation("slice", in_operand(0, "nowhere")),
    "operand of a list": Mutation("step", in_operand(0, [])),
    "operand of another type": Mutation("slice", in_operand(0, "frame")),
    "start negative": Mutation("slice", in_operand(1, -1)),
    "start beyond": Mutation("slice", in_operand(1, 1 << 30)),
    "start a float": Mutation("step", in_operand(1, 0.0)),
    "start huge": Mutation("slice", in_operand(1, 1 << 70)),
    "count negative": Mutation("slice", in_operand(2, -1)),
    "count zero": Mutation("slice", in_operand(2, 0)),
    "count more": Mutation("slice", in_operand(2, 1 << 40)),
    "parameter missing": Mutation("step", in_step(lambda s: s[2].pop("lo"))),
    "parameter more": Mutation("step", in_parameter("future", 1)),
    "parameters a list": Mutation("step", in_step(lambda s: s.__setitem__(2, list(s[2])))),
    "parameter zero": Mutation("step", in_length(0)),
    "parameter negative": Mutation("step", in_length(-1)),
    "parameter huge": Mutation("step", in_length(1 << 64)),
    "parameter a float": Mutation("step", in_parameter("lo", 0.5)),
    "parameter a bool": Mutation("step", in_parameter("lo", True)),
    "parameter null": Mutation("step", in_length(None)),
    "clamp turned": Mutation("range", in_parameter("lo", 1 << 60)),
    "a step less": Mutation("order", lambda f, op: f["steps"].pop()),
    "no step at all": Mutation("order", put("steps", value=[])),
    "a read before its write": Mutation("order", lambda f, op: f["steps"].reverse()),
    "certificate an object": Mutation("certificate", put("certificate", value={})),
    "certificate of numbers": Mutation("certificate", put("certificate", value=[7])),
    "certificate empty": Mutation("certificate", put("certificate", value=[])),
}  # fmt: skip
