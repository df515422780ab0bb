"""The embedded models replaced by others, for tests of what is done where none is named."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from wmq.inference import model_files

FILES = ("world.onnx", "world.wmq", "agent.wmq")


def embed(
    monkeypatch: pytest.MonkeyPatch, source: Path, folder: Path, files: Sequence[str] = FILES
) -> None:
    """Let copies in `folder` be the embedded models: of `source`, which `match_models` may be."""
    for name in files:
        shutil.copy(source / name, folder)
    monkeypatch.setattr(model_files, "EMBEDDED", folder)
    monkeypatch.setattr(model_files, "EMBEDDED_NAMES", {"world": "world", "agent": "agent"})
