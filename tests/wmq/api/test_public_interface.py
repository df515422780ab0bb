"""`import wmq`: quick, listed, documented, typed, and with one class of errors."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import wmq

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("numpy", "numba", "torch", "onnx", "onnxruntime", "pyarrow", "pandas", "click", "msgspec")

USER = """
import numpy as np

import wmq

model: wmq.Model = wmq.load("model.wmq", kernels="portable", threads=2)
heads: dict[str, int] = model.heads
world: wmq.World = model.start(stage="battlefield", players=("fox", "falco"))
other: wmq.World = model.start_at("game.slp", 1200)
frame = world.step({"p1": {"main": (1, 0), "A": 1}})
frame = world.copy().step(np.zeros((2, 13), np.int32))
percent = float(frame["p1"]["percent"])
run: wmq.Trajectory = model.rollout(60, start=("game.slp", 3), controllers=("idle", "replay"))
run = model.rollout(controllers=[{"p1": {"A": 1}}, {}], worlds=None)
x: np.ndarray = run.frames["p1"]["x"]
run.save("run.npz")
same: bool = wmq.verify(run).same
result = wmq.calibrate("model.onnx", "model.wmq", data="dataset")
sha256: str = result.model_sha256
report = wmq.evaluate("dataset", [model, "frozen"], horizon=20)
loss: float = report.models[0].figures["val_loss"]
try:
    wmq.load("nothing.wmq")
except wmq.WmqError as error:
    print(error)
"""
WRONG = (
    ("world.step(4.5, 3)", "Too many arguments"),
    ("wmq.load(threads='2')", "incompatible type"),
    ("model.rollout(stage=31)", "incompatible type"),
    ("wmq.verify(model)", "incompatible type"),
    ("wmq.nothing", "has no attribute"),
)


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, wmq; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done


def test_completion_offers_the_public_names_alone() -> None:
    assert [name for name in dir(wmq) if not name.startswith("__")] == sorted(wmq.__all__)


def public(owner: object) -> list[tuple[str, object]]:
    """Public functions, methods and properties that a class defines itself."""
    return [(name, member) for name, member in vars(owner).items() if not name.startswith("_")]


def test_every_public_name_is_documented_and_annotated() -> None:
    assert wmq.__all__ == sorted(wmq.__all__) and set(wmq.__all__) <= set(dir(wmq))
    for name in wmq.__all__:
        found = getattr(wmq, name)
        members = [(name, found), *(public(found) if inspect.isclass(found) else ())]
        for at, member in members:
            function = getattr(member, "fget", getattr(member, "func", member))
            assert (getattr(function, "__doc__", None) or "").strip(), f"{name}.{at}"
            if inspect.isfunction(function):
                signature = inspect.signature(function)
                assert signature.return_annotation is not inspect.Signature.empty, at
                assert all(p.annotation is not p.empty for p in signature.parameters.values()
                           if p.name != "self"), at  # fmt: skip
    with pytest.raises(AttributeError, match="module 'wmq' has no attribute 'nothing'"):
        wmq.nothing  # noqa: B018


def raised() -> set[tuple[str, str]]:
    """(module, name) of every class that a `raise` below wmq, calib or wmq_kernels names."""
    found = set()
    for package in ("wmq", "calib", "wmq_kernels"):
        for path in (ROOT / package).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                    found.add((module, node.name))
    return found


INSIDE = {
    ("wmq.rollout.controllers", "_ScriptError"),  # becomes a WmqError that names file and line
    ("wmq.replays.refusals", "UnusableError"),  # becomes the reason in a dataset's index
    ("wmq_kernels.conformance.pack", "PackError"),  # of `wmq conformance`, which says it itself
}


def test_every_error_class_is_a_wmq_error() -> None:
    classes = raised()
    assert INSIDE < classes
    for module, name in classes - INSIDE:
        assert issubclass(getattr(importlib.import_module(module), name), wmq.WmqError), name


def mypy(script: Path) -> str:
    """What mypy says of a user's script, with the types that wmq brings along."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-site-packages",
               "--ignore-missing-imports", "--follow-imports=silent", "--cache-dir", script.parent,
               script]  # fmt: skip
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True,
                          env={"MYPYPATH": str(ROOT), "HOME": str(script.parent)})  # fmt: skip
    return done.stdout + done.stderr


def test_a_users_script_is_checked_by_mypy(tmp_path: Path) -> None:
    assert (ROOT / "wmq" / "py.typed").is_file()
    script = tmp_path / "user.py"
    script.write_text(USER)
    assert mypy(script).startswith("Success: ")
    lines = USER.count("\n")
    script.write_text(USER + "".join(f"{line}\n" for line, _ in WRONG))
    said = mypy(script).splitlines()
    for number, (line, what) in enumerate(WRONG, lines + 1):
        assert any(text.startswith(f"user.py:{number}: error: ") and what in text
                   for text in said), (line, said)  # fmt: skip
