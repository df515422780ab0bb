"""Encode integer frames as inputs of the float step, with numpy alone.

Integer frames and controllers come in as `wmq.game.schema` defines them; float32 numbers and
controllers in natural units and int64 classes leave.  Scaling and embedding are part of
the model itself.
"""

from __future__ import annotations

import numpy as np

from wmq.game.schema import Q16, Schema


def float_inputs(
    schema: Schema, frames: np.ndarray, controllers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return numbers (.., 30) float32, classes (.., 17) int64, controllers (.., 26) float32.

    frames       (.., schema.frame_size) int32
    controllers  (.., 26) int32 Q15.16; those of the next frame are encoded alike
    """
    numbers = frames[..., schema.number_index].astype(np.float32) * schema.number_unit
    classes = frames[..., schema.class_index].astype(np.int64)
    return numbers, classes, controllers.astype(np.float32) / Q16
