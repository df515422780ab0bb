"""Compute with 512-bit vectors of integers in compiled kernels, as LLVM vector values.

numba has no vector type, and no plain loop was found that LLVM turns into vpdpbusd or
into products of the low halves of 64-bit lanes.  Here a vector is a numba type of its
own, and each operation an intrinsic that emits one or a few LLVM instructions; LLVM
allocates registers and schedules.  All but `vpdpbusd` exists on every processor, but
only AVX-512 has registers of this width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

INT8, INT16, INT32, INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
I16X8 = ir.VectorType(INT16, 8)


class Lanes(types.Type):
    """A vector of `count` integers of `bits` bits."""

    def __init__(self, bits: int, count: int):
        self.llvm = ir.VectorType(ir.IntType(bits), count)
        super().__init__(name=f"i{bits}x{count}")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes):
        super().__init__(manager, lanes, lanes.llvm)


I16X16, I32X16, I64X8 = Lanes(16, 16), Lanes(32, 16), Lanes(64, 8)


def _address(context: Any, builder: Any, array: Any, operands: Sequence[Any], pointee: Any) -> Any:
    """Of the element at operands[1] of the array operands[0], as a pointer to `pointee`."""
    data = context.make_array(array)(context, builder, operands[0]).data
    return builder.bitcast(builder.gep(data, [operands[1]]), pointee.as_pointer())


def _load(lanes: Lanes) -> Any:
    @intrinsic
    def load(typing: Any, array: Any, at: Any) -> Any:
        """The elements from place `at` on."""

        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _address(context, builder, array, arguments, lanes.llvm)
            loaded = builder.load(place)
            loaded.align = array.dtype.bitwidth // 8
            return loaded

        return lanes(array, types.int64), emit

    return load


def _store(lanes: Lanes) -> Any:
    @intrinsic
    def store(typing: Any, array: Any, at: Any, value: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = _address(context, builder, array, arguments, lanes.llvm)
            builder.store(arguments[2], place).align = array.dtype.bitwidth // 8
            return context.get_dummy_value()

        return types.none(array, types.int64, lanes), emit

    return store


@intrinsic
def load_widened(typing: Any, array: Any, at: Any) -> Any:
    """Eight int16 from place `at` on as int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, array, arguments, I16X8)
        loaded = builder.load(place)
        loaded.align = array.dtype.bitwidth // 8
        return builder.sext(loaded, I64X8.llvm)

    return I64X8(array, types.int64), emit


@intrinsic
def store_narrowed(typing: Any, array: Any, at: Any, value: Any) -> Any:
    """The low int16 of eight lanes from place `at` on."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, array, arguments, I16X8)
        narrowed = builder.trunc(arguments[2], I16X8)
        builder.store(narrowed, place).align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.none(array, types.int64, I64X8), emit


@intrinsic
def pair_at(typing: Any, array: Any, at: Any) -> Any:
    """The int32 at places `at` and `at` + 1, in the low and the high half of an int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = builder.load(_address(context, builder, array, arguments, INT64))
        loaded.align = array.dtype.bitwidth // 8
        return loaded

    return types.int64(array, types.int64), emit


load16, load32, load64 = _load(I16X16), _load(I32X16), _load(I64X8)
store16, store32, store64 = _store(I16X16), _store(I32X16), _store(I64X8)


@intrinsic
def prefetch(typing: Any, array: Any, at: Any) -> Any:
    """Ask for the cache line of the element at place `at`, which need not be in the array."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _address(context, builder, array, arguments, INT8)
        kind = ir.FunctionType(ir.VoidType(), [INT8.as_pointer(), INT32, INT32, INT32])
        name = "llvm.prefetch"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(function, [place, INT32(0), INT32(3), INT32(1)])
        return context.get_dummy_value()

    return types.none(array, types.int64), emit


def _splat(builder: Any, scalar: Any, lanes: Lanes) -> Any:
    empty = ir.Constant(lanes.llvm, ir.Undefined)
    first = builder.insert_element(empty, scalar, INT32(0))
    return _shuffled(builder, first, empty, [0] * lanes.llvm.count)


def _shuffled(builder: Any, a: Any, b: Any, places: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(INT32, len(places)), list(places))
    return builder.shuffle_vector(a, b, mask)


def _constant(lanes: Lanes, number: int) -> Any:
    return ir.Constant(lanes.llvm, [number] * lanes.llvm.count)


@intrinsic
def word_everywhere(typing: Any, array: Any, at: Any) -> Any:
    """Four int8 from place `at` on, or one int32, in each of 16 lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.load(_address(context, builder, array, arguments, INT32))
        word.align = array.dtype.bitwidth // 8
        return _splat(builder, word, I32X16)

    return I32X16(array, types.int64), emit


@intrinsic
def everywhere32(typing: Any, number: Any) -> Any:
    """An integer, modulo 2^32, in each of 16 lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, builder.trunc(arguments[0], INT32), I32X16)

    return I32X16(types.int64), emit


def _operation(result: Lanes, operands: Sequence[Lanes], emitted: Callable[..., Any]) -> Any:
    """An intrinsic of vectors; `emitted(builder, *vectors)` gives the result."""
    signature = result(*operands)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emitted(builder, *arguments)

    if len(operands) == 1:

        @intrinsic
        def unary(typing: Any, a: Any) -> Any:
            return signature, emit

        return unary
    if len(operands) == 2:

        @intrinsic
        def binary(typing: Any, a: Any, b: Any) -> Any:
            return signature, emit

        return binary

    @intrinsic
    def ternary(typing: Any, a: Any, b: Any, c: Any) -> Any:
        return signature, emit

    return ternary


def _low_product(builder: Any, a: Any, b: Any) -> Any:
    half = _constant(I64X8, 32)
    a = builder.ashr(builder.shl(a, half), half)
    b = builder.ashr(builder.shl(b, half), half)
    return builder.mul(a, b)


def _vpdpbusd(builder: Any, acc: Any, unsigned: Any, signed: Any) -> Any:
    kind = ir.FunctionType(I32X16.llvm, [I32X16.llvm] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(function, [acc, unsigned, signed])


def _with_odd(builder: Any, a: Any, b: Any) -> Any:
    a, b = builder.bitcast(a, I32X16.llvm), builder.bitcast(b, I32X16.llvm)
    return _shuffled(builder, a, b, [lane + 16 * (lane % 2) for lane in range(16)])


def _carry_at(odd: int) -> Callable[..., Any]:
    def emitted(builder: Any, carry: Any) -> Any:
        biased = builder.xor(carry, _constant(I16X16, -(1 << 15)))
        places = [(16, 2 * lane + odd, 16, 16) for lane in range(8)]
        flat = [place for four in places for place in four]
        spread = _shuffled(builder, biased, _constant(I16X16, 0), flat)
        return builder.bitcast(spread, I64X8.llvm)

    return emitted


def _carry_of(builder: Any, even: Any, odd: Any) -> Any:
    words = ir.VectorType(INT16, 32)
    places = [place for lane in range(8) for place in (4 * lane + 1, 4 * lane + 33)]
    even, odd = builder.bitcast(even, words), builder.bitcast(odd, words)
    return builder.xor(_shuffled(builder, even, odd, places), _constant(I16X16, -(1 << 15)))


@intrinsic
def everywhere64(typing: Any, number: Any) -> Any:
    """An integer in each of 8 lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0], I64X8)

    return I64X8(types.int64), emit


@intrinsic
def total_of(typing: Any, a: Any) -> Any:
    """The sum of 8 lanes, modulo 2^64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = [builder.extract_element(arguments[0], INT32(lane)) for lane in range(8)]
        return reduce(builder.add, lanes)

    return types.int64(I64X8), emit


def _smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def _where_negative(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, _constant(I64X8, 0)), b, c)


def _differ(builder: Any, a: Any, b: Any) -> Any:
    return builder.zext(builder.icmp_signed("!=", a, b), I64X8.llvm)


def _picked(places: Sequence[int]) -> Callable[..., Any]:
    return lambda builder, a, b: _shuffled(builder, a, b, places)


def _as(lanes: Lanes) -> Callable[..., Any]:
    return lambda builder, a: builder.bitcast(a, lanes.llvm)


PAIR32, PAIR64 = [I32X16] * 2, [I64X8] * 2
# unsigned bytes of b times signed bytes of c, four products added to each lane of a, mod 2^32
vpdpbusd = _operation(I32X16, [I32X16] * 3, _vpdpbusd)
add32 = _operation(I32X16, PAIR32, lambda builder, a, b: builder.add(a, b))
shift32 = _operation(I32X16, PAIR32, lambda builder, a, b: builder.shl(a, b))
add64 = _operation(I64X8, PAIR64, lambda builder, a, b: builder.add(a, b))
# the low halves of the lanes, as int32, multiplied
low_product = _operation(I64X8, PAIR64, _low_product)
high = _operation(I64X8, [I64X8], lambda builder, a: builder.lshr(a, _constant(I64X8, 32)))
as64 = _operation(I64X8, [I32X16], _as(I64X8))
# int32 lanes: the even ones of a, the odd ones of b
with_odd = _operation(I32X16, PAIR64, _with_odd)
# int16 carries 0, 2, 4.. or 1, 3, 5.. as (carry + 2^15) * 2^16 in int64 lanes, and back
carry_even = _operation(I64X8, [I16X16], _carry_at(0))
carry_odd = _operation(I64X8, [I16X16], _carry_at(1))
carry_of = _operation(I16X16, PAIR64, _carry_of)
# lanes 0, 2, 4.. or 1, 3, 5.. of two vectors one after the other; and the two in turn again
evens = _operation(I64X8, PAIR64, _picked(range(0, 16, 2)))
odds = _operation(I64X8, PAIR64, _picked(range(1, 16, 2)))
in_turn_low = _operation(I64X8, PAIR64, _picked([lane // 2 + lane % 2 * 8 for lane in range(8)]))
in_turn_high = _operation(
    I64X8, PAIR64, _picked([lane // 2 + lane % 2 * 8 + 4 for lane in range(8)])
)
sub64 = _operation(I64X8, PAIR64, lambda builder, a, b: builder.sub(a, b))
mul64 = _operation(I64X8, PAIR64, lambda builder, a, b: builder.mul(a, b))
left64 = _operation(I64X8, PAIR64, lambda builder, a, b: builder.shl(a, b))
right64 = _operation(I64X8, PAIR64, lambda builder, a, b: builder.ashr(a, b))
min64, max64 = _operation(I64X8, PAIR64, _smaller), _operation(I64X8, PAIR64, _larger)
differ = _operation(I64X8, PAIR64, _differ)  # 1 where lanes differ, else 0
where_negative = _operation(
    I64X8, [I64X8] * 3, _where_negative
)  # lanes of b where a < 0, else of c
