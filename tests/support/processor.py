"""What this processor does to the int8 of other libraries."""

from __future__ import annotations

import platform

from llvmlite import binding


def onnxruntime_saturates() -> bool:
    """May products of unsigned and signed bytes be clipped?

    x86 without VNNI adds pairs of them in 16 bits (VPMADDUBSW), as onnxruntime's page on
    quantization says; a layer of a model may then be far from what its weights say.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    features = binding.get_host_cpu_features()
    return not (features.get("avx512vnni") or features.get("avxvnni"))
