"""`.wmq` files: what was encoded comes back, and a bad file is refused in one way only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wmq_kernels.conformance.recipes import draw
from wmq_kernels.conformance.refusals.hostile import HOSTILE, base, file_of, step_of, with_text
from wmq_kernels.decoding import decode
from wmq_kernels.engine import Engine
from wmq_kernels.errors import ProgramError
from wmq_kernels.isa import ROWS
from wmq_kernels.program import ALIGN, FORMAT_VERSION, Program, encode, model_sha256
from wmq_kernels.rangecheck import prove

NAMES = [row.name for row in ROWS]
PROGRAM, FRAMES = draw("conv", 3)
BASE = base("conv", 3)
CONTENT, HEADER_END, DATA = BASE.content, BASE.header_end, BASE.data
header = BASE.fields


def refused(content: bytes) -> str:
    """The message with which decode or the range proof refuses a file: one line."""
    with pytest.raises(ProgramError) as caught:
        prove(decode(content))
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def refused_header(text: bytes) -> str:
    return refused(with_text(text, DATA))


# --- round trips ------------------------------------------------------------------------


@pytest.mark.parametrize("op", NAMES)
def test_decode_gives_back_what_was_encoded(op: str) -> None:
    program, frames = draw(op, 7)
    content = encode(program)
    back = decode(content)
    assert encode(back) == content
    assert dict(back.values) == dict(program.values)
    assert back.steps == program.steps
    assert dict(back.heads) == dict(program.heads)
    assert back.meta == program.meta
    for name, array in program.data.items():
        np.testing.assert_array_equal(back.data[name], array)
        assert back.data[name].dtype == array.dtype


def test_the_file_has_the_layout_of_the_spec() -> None:
    assert CONTENT[:8] == b"\x89WMQ\r\n\x1a\n"
    assert CONTENT[8:12] == b"\3\0\0\0"
    text = BASE.text
    assert text == json.dumps(header(), sort_keys=True, separators=(",", ":")).encode()
    assert header()["data_sha256"] == hashlib.sha256(DATA).hexdigest()
    at = 0
    for name, dtype, shape, kind, *_ in header()["values"]:
        if kind == "const":
            assert at % 64 == 0
            bytes_each = int(dtype[1:]) // 8
            array = np.frombuffer(DATA, f"<i{bytes_each}", shape[0], at)
            np.testing.assert_array_equal(array, PROGRAM.data[name])
            at += shape[0] * bytes_each
            at += -at % 64
    assert at == len(DATA)
    assert model_sha256(CONTENT) == hashlib.sha256(CONTENT).hexdigest()


def test_the_order_of_mappings_does_not_change_the_bytes() -> None:
    reordered = [
        type(step)(step.op, dict(reversed(step.operands.items())), dict(step.parameters))
        for step in PROGRAM.steps
    ]
    heads = dict(reversed(PROGRAM.heads.items()))
    again = Program(PROGRAM.values, tuple(reordered), PROGRAM.data, heads, PROGRAM.meta,
                    PROGRAM.certificate)  # fmt: skip
    assert encode(again) == CONTENT


# --- damaged files ----------------------------------------------------------------------


def test_a_file_cut_anywhere_is_refused() -> None:
    cuts = {*range(0, 80), *range(HEADER_END - 70, HEADER_END + 130), len(CONTENT) - 1}
    cuts |= set(range(80, len(CONTENT), 37))
    for cut in sorted(cuts):
        refused(CONTENT[:cut])


def test_bytes_after_the_end_are_refused() -> None:
    refused(CONTENT + b"\0")
    refused(CONTENT + bytes(64))
    assert "after the last constant" in refused(file_of(header(), DATA + bytes(64)))


@pytest.mark.parametrize("at", [0, 1, 4, 7])
def test_another_magic_is_refused(at: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[at] ^= 1
    assert "not a .wmq file" in refused(bytes(damaged))


def test_another_version_is_refused_with_both_numbers() -> None:
    message = refused(CONTENT[:8] + (7).to_bytes(4, "little") + CONTENT[12:])
    assert "version 7" in message and f"reads {FORMAT_VERSION}" in message


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**32 - 1])
def test_a_wrong_header_length_is_refused(length: int) -> None:
    refused(CONTENT[:12] + length.to_bytes(4, "little") + CONTENT[16:])


def test_any_changed_data_byte_is_refused() -> None:
    start = len(CONTENT) - len(DATA)
    for at in range(start, len(CONTENT), 13):
        damaged = bytearray(CONTENT)
        damaged[at] ^= 0x10
        assert "SHA-256" in refused(bytes(damaged))


def test_padding_that_is_not_zero_is_refused() -> None:
    """Else two files with equal programs would have two names."""
    if HEADER_END % ALIGN:
        damaged = bytearray(CONTENT)
        damaged[HEADER_END] = 1
        assert "zeros" in refused(bytes(damaged))
    size = next(v.size for v in PROGRAM.values.values() if v.kind == "const")
    first = next(v for v in PROGRAM.values.values() if v.kind == "const")
    end = size * int(first.dtype[1:]) // 8
    assert end % ALIGN
    refused(file_of(header(), DATA[:end] + b"\1" + DATA[end + 1 :]))


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"null", b"[]", b"1", b'"x"', b"{", b"{}", b"\xc3\xa9", b"[" * 100_000,
     b'{"a":' * 100_000, b"1" * 5000, b'{"values":' + b"9" * 5000 + b"}"],
    ids=range(13),
)  # fmt: skip
def test_a_header_that_is_no_object_is_refused(text: bytes) -> None:
    refused_header(text)


@pytest.mark.parametrize("depth", [100, 500, *range(850, 1000, 5)])
def test_nesting_of_any_depth_is_refused_alike(depth: int) -> None:
    """A little below the JSON reader's own limit too, where messages quote the input."""
    deep: Any = 0
    text = "[" * depth + "0" + "]" * depth
    for field in ("values", "steps", "heads", "meta", "data_sha256"):
        fields = header()
        fields[field] = "DEEP"
        refused_header(json.dumps(fields).replace('"DEEP"', text).encode())
    for place in range(7):
        fields = header()
        fields["values"][0][place] = "DEEP"
        refused_header(json.dumps(fields).replace('"DEEP"', text).encode())
    fields = header()
    fields["steps"][0][0] = "DEEP"
    refused_header(json.dumps(fields).replace('"DEEP"', text).encode())
    del deep


# --- hostile headers --------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_header_is_refused(name: str) -> None:
    fields = header()
    HOSTILE[name].change(fields, "conv")
    refused(file_of(fields, DATA))


@pytest.mark.parametrize("port", ["frame", "controllers", "next_controllers", "heads"])
def test_a_program_without_a_port_is_refused(port: str) -> None:
    text = BASE.text.replace(f'"{port}"'.encode(), b'"elsewhere"')
    assert port in refused_header(text)


def test_what_is_written_may_overlap_nothing_else_of_the_step() -> None:
    sound = base("add", 5)
    fields = sound.fields()
    operands = fields["steps"][step_of(fields, "add")][1]
    operands["out"] = list(operands["a"])
    assert "overlaps" in refused(file_of(fields, sound.data))


def test_a_key_given_twice_is_refused() -> None:
    """The last would win here and the first elsewhere."""
    text = BASE.text
    refused_header(text[:-1] + b',"steps":[]}')


def test_only_the_canonical_spelling_is_read() -> None:
    """Spaces or another order of keys would give one program two hashes."""
    refused_header(BASE.text.replace(b'"meta":', b'"meta": '))
    refused_header(json.dumps(dict(reversed(header().items())), separators=(",", ":")).encode())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_bytes_are_refused_or_run(data: st.DataObject) -> None:
    """Whatever a byte becomes: ProgramError, or a program that the engine can run."""
    content = bytearray(CONTENT)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, HEADER_END - 1))
        content[at] = data.draw(st.sampled_from(b'0123456789-,:[]{}"einstx \x00\xff'))
    attempt(bytes(content))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
    | st.sampled_from([0, 1, -1, 2**31, 2**63, 2**64, "frame", "i8", "i32", "const", "temp"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_fields_are_refused_or_run(data: st.DataObject) -> None:
    """Any JSON value in any place of the header."""
    fields = header()
    place: Any = fields
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
        inner = place[key]
        if not isinstance(inner, list | dict) or not inner or data.draw(st.integers(0, 9)) == 0:
            break
        place = inner
    place[key] = data.draw(VALUES)
    attempt(file_of(fields, DATA))


def attempt(content: bytes) -> None:
    try:
        program = decode(content)
        prove(program)
    except ProgramError as error:
        assert "\n" not in str(error)
        return
    if program.values["frame"].size > 10_000 or program.values["controllers"].size > 10_000:
        return
    engine = Engine(program)
    frame = np.zeros((1, program.values["frame"].size), np.int32)
    pads = np.zeros((3, program.values["controllers"].size), np.int32)
    try:
        engine.run(engine.zero_state(), frame, pads, 2)
    except ProgramError:
        pass  # zero is not in the declared interval of a port
