"""Damage files so that a reader must refuse them, each with its class (docs/SPEC.md F6).

A family makes files of one sort from sound ones: damaged bytes, other spellings, hostile
headers, wrong slices and parameters, data out of bounds, steps out of order; ranges that
could overflow and changed certificates are in `tampering`, ports in `ports`.  The class is
written beside each; `made` checks that the reader finds the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from wmq_kernels.conformance.recipes import RECIPES
from wmq_kernels.conformance.refusals.hostile import (
    HOSTILE,
    Base,
    Fields,
    Refused,
    base,
    changed,
    file_of,
    step_of,
    value_of,
    with_text,
)
from wmq_kernels.conformance.refusals.ports import ports
from wmq_kernels.conformance.refusals.tampering import certificates, ranges
from wmq_kernels.decoding import decode
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import TABLE
from wmq_kernels.rangecheck import prove

STATEFUL = [(op, seed) for op in ("conv", "scan", "scan_carry") for seed in (3, 8)]


def made(refused: Refused) -> bytes:
    """The file, which the reader refuses with that class, or the plan is wrong."""
    content = refused.make()
    try:
        prove(decode(content))
    except ProgramError as error:
        if error.reason == refused.reason:
            return content
        raise AssertionError(f"{refused.name}: refused as {error.reason} ({error}), "
                             f"planned {refused.reason}") from None  # fmt: skip
    raise AssertionError(f"{refused.name}: accepted, planned {refused.reason}")


def refusals() -> list[Refused]:
    """All of them, in order."""
    families = (_bytes, _spellings, _headers, _parameters, _slices, _constants, ports, _orders,
                ranges, certificates)  # fmt: skip
    return [refused for family in families for refused in family()]


# --- bytes and spellings ------------------------------------------------------------------


def _edited(op: str, seed: int, change: Callable[[Base], bytes]) -> bytes:
    return change(base(op, seed))


def _bytes() -> Iterator[Refused]:
    """Magic, version, lengths, cuts, and data that do not have their hash."""
    changes: dict[str, tuple[str, Callable[[Base], bytes]]] = {}
    for at in range(8):
        for bit in (0, 5, 7):
            changes[f"byte {at}, bit {bit}"] = ("magic", partial(_flip, at=at, bit=bit))
    for version in (0, 1, 2, 7, 255, 1 << 24, 1 << 25, (1 << 32) - 1):
        changes[f"version {version}"] = ("version", partial(_u32, at=8, value=version))
    for length in (1 << 31, (1 << 32) - 1, 1 << 24):
        changes[f"header of {length} bytes"] = ("length", partial(_u32, at=12, value=length))
    for length in (0, 1, 2, 100):
        changes[f"header of {length} bytes"] = ("header", partial(_u32, at=12, value=length))
    for size in (*range(8, 16), 16, 17, 63, 64, 65, 200, 500, 800):
        changes[f"first {size} bytes"] = ("length", partial(_cut, size=size))
    for k in range(24):
        changes[f"data bit {k}"] = ("digest", partial(_flip_data, k=k))
    for rest in (64, 65, 100, 128):  # less would only cut the padding of the last constant
        changes[f"{rest} bytes less, hash remade"] = ("length", partial(_cut_data, rest=rest))
    for more in (1, 8, 63, 64):
        changes[f"{more} bytes more, hash remade"] = ("length", partial(_longer_data, more=more))
    for op, seed in STATEFUL[::2]:
        for name, (reason, change) in changes.items():
            yield Refused(f"{op}: {name}", reason, partial(_edited, op, seed, change))


def _cut(b: Base, size: int) -> bytes:
    return b.content[:size]


def _flip(b: Base, at: int, bit: int) -> bytes:
    content = bytearray(b.content)
    content[at] ^= 1 << bit
    return bytes(content)


def _flip_data(b: Base, k: int) -> bytes:
    start = len(b.content) - len(b.data)
    return _flip(b, start + k * 37 % len(b.data), k % 8)


def _u32(b: Base, at: int, value: int) -> bytes:
    return b.content[:at] + value.to_bytes(4, "little") + b.content[at + 4 :]


def _cut_data(b: Base, rest: int) -> bytes:
    return file_of(b.fields(), b.data[:-rest])


def _longer_data(b: Base, more: int) -> bytes:
    return file_of(b.fields(), b.data + bytes(more))


def _respelt(op: str, seed: int, change: Callable[[bytes], bytes]) -> bytes:
    b = base(op, seed)
    return with_text(change(b.text), b.data)


def _with_header(op: str, seed: int, text: bytes) -> bytes:
    return with_text(text, base(op, seed).data)


def _spellings() -> Iterator[Refused]:
    """Headers that JSON reads as the same, or does not read at all."""
    again: dict[str, Callable[[bytes], bytes]] = {
        "space after a colon": lambda t: t.replace(b'"meta":', b'"meta": '),
        "space after a comma": lambda t: t.replace(b'],"', b'], "', 1),
        "space before the end": lambda t: t[:-1] + b" }",
        "space after the end": lambda t: t + b" ",
        "line break after the end": lambda t: t + b"\n",
        "space before the beginning": lambda t: b" " + t,
        "tab within": lambda t: t.replace(b":[", b":\t[", 1),
        "keys backwards": lambda t: json.dumps(
            dict(reversed(json.loads(t).items())), separators=(",", ":")).encode(),
        "keys of a step backwards": _operands_backwards,
        "indented": lambda t: json.dumps(json.loads(t), sort_keys=True, indent=1).encode(),
        "a letter escaped": lambda t: t.replace(b'"meta"', b'"met\\u0061"'),
        "a letter of a name escaped": lambda t: t.replace(b'"frame"', b'"fr\\u0061me"', 1),
        "a scale of 1e999": lambda t: t.replace(b",0.0]", b",1e999]", 1),
        "a scale without a point": lambda t: t.replace(b",0.0]", b",0]", 1),
        "minus zero": lambda t: t.replace(b",0,", b",-0,", 1),
        "a key twice": lambda t: t[:-1] + b',"steps":[]}',
    }  # fmt: skip
    bad = {
        "empty": b"", "bytes beyond ASCII": b"\xff\xfe", "null": b"null", "a list": b"[]",
        "a number": b"1", "a string": b'"x"', "half an object": b"{", "no key": b"{}",
        "text beyond ASCII": b"\xc3\xa9", "deep lists": b"[" * 5000, "deep objects": b'{"a":' * 999,
        "a comma too many": b'{"values":[],}', "single quotes": b"{'values':[]}",
        "plus sign": b'{"values":+1}', "leading zero": b'{"values":01}',
    }  # fmt: skip
    for op, seed in STATEFUL[::2]:
        for name, change in again.items():
            yield Refused(f"{op}: {name}", "canonical", partial(_respelt, op, seed, change))
        for name, text in bad.items():
            yield Refused(f"{op}: header {name}", "header",
                          partial(_with_header, op, seed, text))  # fmt: skip
        yield Refused(f"{op}: padding of the header", "canonical",
                      partial(_edited, op, seed, _pad_header))  # fmt: skip
        yield Refused(f"{op}: padding of the data", "canonical",
                      partial(_edited, op, seed, _pad_data))  # fmt: skip


def _operands_backwards(text: bytes) -> bytes:
    fields = json.loads(text)
    for step in fields["steps"]:
        step[1] = dict(reversed(step[1].items()))
    return json.dumps(fields, separators=(",", ":")).encode()


def _pad_header(b: Base) -> bytes:
    """A byte that is not zero in the padding, which a longer `meta` makes if there is none."""
    fields = b.fields()
    while True:
        content = file_of(fields, b.data)
        end = 16 + int.from_bytes(content[12:16], "little")
        if end % 64:
            return content[:end] + b"\1" + content[end + 1 :]
        fields["meta"] = {"more": True, **fields["meta"]}


def _pad_data(b: Base) -> bytes:
    fields, at = b.fields(), 0
    for _, dtype, (size,), kind, *_ in fields["values"]:
        if kind != "const":
            continue
        at += size * int(dtype[1:]) // 8
        if at % 64:
            break
    return file_of(fields, b.data[:at] + b"\1" + b.data[at + 1 :])


# --- fields of the header -----------------------------------------------------------------


def _headers() -> Iterator[Refused]:
    for op, seed in STATEFUL:
        for name, (reason, change) in HOSTILE.items():
            if reason is not None:
                yield changed(op, seed, f"{name} ({seed})", reason, change)


def _operand(fields: Fields, op: str, name: str) -> list:
    """[value, start, count] of the step under test."""
    return fields["steps"][step_of(fields, op)][1][name]


def _parameters() -> Iterator[Refused]:
    """Each parameter of each instruction a unit beyond either end of its range."""

    def change(fields: Fields, op: str, name: str, value: int) -> None:
        fields["steps"][step_of(fields, op)][2][name] = value

    for op in RECIPES:
        for p in TABLE[op].parameters:
            for end in (p.lo - 1, p.hi + 1):
                yield changed(op, 7, f"{p.name} = {end}", "step", change, name=p.name, value=end)


def _slices() -> Iterator[Refused]:
    """Each operand of each instruction: too long, beyond its value, of the wrong kind."""

    def longer(fields: Fields, op: str, name: str) -> None:
        _operand(fields, op, name)[2] += 1

    def beyond(fields: Fields, op: str, name: str) -> None:
        operand = _operand(fields, op, name)
        operand[1] = value_of(fields, operand[0])[2][0] - operand[2] + 1

    def no_constant(fields: Fields, op: str, name: str) -> None:
        operand = _operand(fields, op, name)
        dtype = value_of(fields, operand[0])[1]
        fields["values"].append(["more", dtype, [operand[2]], "state", 0, 0, 0.0])
        operand[:2] = ["more", 0]

    def overlapping(fields: Fields, op: str, name: str, other: str) -> None:
        _operand(fields, op, name)[:2] = _operand(fields, op, other)[:2]

    for op in RECIPES:
        operands = TABLE[op].operands
        for o in operands:
            yield changed(op, 7, f"{o.name} too long", "slice", longer, name=o.name)
            yield changed(op, 7, f"{o.name} beyond its value", "slice", beyond, name=o.name)
            if o.access == "const" and o.dtype != "i64":  # nothing else may be i64
                yield changed(op, 7, f"{o.name} no constant", "slice", no_constant, name=o.name)
            for other in operands:
                same = other is not o and (other.dtype, other.shape) == (o.dtype, o.shape)
                if o.access in ("write", "update") and other.access != "const" and same:
                    yield changed(op, 7, f"{o.name} over {other.name}", "slice", overlapping,
                                  name=o.name, other=other.name)  # fmt: skip


def _constants() -> Iterator[Refused]:
    """Each constant operand with a declared interval that its data leave."""

    def narrow(fields: Fields, op: str, name: str, end: int) -> None:
        row = value_of(fields, _operand(fields, op, name)[0])
        lo, hi = row[4:6]
        least, most = (lo, hi - 1) if end else (lo + 1, hi)
        if least > most:  # one number: elsewhere
            least = most = lo - 1 if lo > 0 else lo + 1
        row[4:6] = least, most

    for op in RECIPES:
        for o in TABLE[op].operands:
            if o.access == "const":
                for end in (0, 1):
                    yield changed(op, 7, f"{o.name} leaves its interval, end {end}", "constant",
                                  narrow, name=o.name, end=end)  # fmt: skip


def _orders() -> Iterator[Refused]:
    """A step left out, so that what it writes is read unset; the first step at the end; an
    update of what is not set."""

    def without(fields: Fields, op: str, back: int) -> None:
        number = step_of(fields, op) if back == 0 else -back
        fields["steps"].pop(number)
        fields["certificate"].pop(number)

    def last(fields: Fields, op: str) -> None:
        for key in ("steps", "certificate"):
            fields[key].append(fields[key].pop(0))

    def unwritten(fields: Fields, op: str, name: str) -> None:
        value_of(fields, _operand(fields, op, name)[0])[3] = "temp"

    for op in RECIPES:
        for o in TABLE[op].operands:
            if o.access == "update":
                yield changed(op, 7, f"{o.name} a temp that nothing writes", "order", unwritten,
                              name=o.name)  # fmt: skip
        for back in range(3):
            what = f"step {-back}" if back else "itself"
            yield changed(op, 7, f"without {what}", "order", without, back=back)
        yield changed(op, 7, "the first step last", "order", last)
