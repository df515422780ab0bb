"""The packages that only some commands need, and the extras of wmq that bring them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from wmq.errors import WmqError

# Module -> the extras that bring it, the smallest first.
EXTRAS = {
    "peppi_py": ("replays",),
    "torch": ("train",),
    "onnx": ("quantize",),
    "onnxruntime": ("quantize",),
    "matplotlib": ("report",),
    "torchao": ("bench",),
    "gymnasium": ("rl",),
    "pettingzoo": ("rl",),
    "pyarrow": ("replays", "quantize", "train"),
}


def require(what: str, modules: Iterable[str], otherwise: str = "") -> None:
    """Raise WmqError if a module of EXTRAS is not installed; none of them is imported.

    what       that needs them, for the message
    otherwise  another way out, as ", or .."
    """
    wanted = set(modules)
    missing = [name for name in EXTRAS if name in wanted and find_spec(name) is None]
    if missing:
        listed = " and ".join(filter(None, (", ".join(missing[:-1]), missing[-1])))
        raise WmqError(f"{what} needs {listed}: {pip_command(missing)}{otherwise}")


def pip_command(modules: Iterable[str]) -> str:
    """Return the command that installs modules of EXTRAS, by as few extras as will do."""
    found: list[str] = []
    for name in sorted(modules, key=list(EXTRAS).index):
        if not set(found) & set(EXTRAS[name]):
            found.append(EXTRAS[name][0])
    return f"pip install 'wmq[{','.join(found)}]'"
