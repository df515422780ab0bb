"""The product: from replays to an integer program, its rollouts, and what int8 costs them.

    import wmq

    model = wmq.load()                              # the embedded model, or a .wmq or .onnx file
    world = model.start()                           # Battlefield, fox against falco
    frame = world.step({"p1": {"main": (1, 0)}})    # player 1 holds the stick to the right
    print(frame["p1"]["x"], frame["p1"]["percent"])

`__all__` is the public interface (docs/python.md); each name is imported when it is first used.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

import calib  # noqa: F401  (turns onnxruntime's telemetry off before anything here imports it)
from wmq.errors import WmqError

if TYPE_CHECKING:
    from wmq.api.commands import calibrate, evaluate, verify
    from wmq.api.model import Model, load
    from wmq.api.trajectory import Trajectory
    from wmq.api.world import World
    from wmq.game.natural import frame_dtype

__all__ = [
    "Model",
    "Trajectory",
    "WmqError",
    "World",
    "calibrate",
    "evaluate",
    "frame_dtype",
    "load",
    "verify",
]

_MODULES = {
    "Model": "wmq.api.model",
    "Trajectory": "wmq.api.trajectory",
    "World": "wmq.api.world",
    "calibrate": "wmq.api.commands",
    "evaluate": "wmq.api.commands",
    "frame_dtype": "wmq.game.natural",
    "load": "wmq.api.model",
    "verify": "wmq.api.commands",
}

logging.getLogger("wmq").addHandler(logging.NullHandler())


if not TYPE_CHECKING:  # which knows the names above, and would take any other for Any

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used: `import wmq` alone takes no time."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(_MODULES[name]), name)
        return found


def __dir__() -> list[str]:
    """Name what is public, for completion in a notebook."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
