"""How arrays of calibration lie in the user's cache, where nothing is trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from calib.errors import CalibrationError
from calib.statistics.store import LARGEST_FILE, Arrays, arrays_in
from wmq.memo.forms import Damaged, Form

Value = TypeVar("Value")


def safetensors_form(
    encode: Callable[[Value], bytes], parse: Callable[[Arrays, str], Value]
) -> Form[Value]:
    """Arrays as safetensors; parse checks them all and raises CalibrationError."""

    def decode(content: bytes, where: str) -> Value:
        try:
            return parse(arrays_in(content, where), where)
        except CalibrationError as error:
            raise Damaged(str(error)) from None

    return Form(".safetensors", encode, decode, LARGEST_FILE)
