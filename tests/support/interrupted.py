"""Ctrl-C during a step of an integer model: it shows when the engine returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wmq.inference.integer_predictor import IntegerWorlds


def interrupted(step: Any, *given: Any) -> None:
    """Call `step(*given)`; states are then a frame ahead of what its caller knows of them."""
    advance = IntegerWorlds.advance

    def stopped(*rest: Any) -> np.ndarray:
        advance(*rest)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IntegerWorlds, "advance", stopped)
        with pytest.raises(KeyboardInterrupt):
            step(*given)
