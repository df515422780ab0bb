"""Completion as shells ask for it: each line is a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from calib.recipe import names
from tests.support.replay_files import ROOT
from tests.support.rollout_models import wmq
from wmq.cli import COMMANDS
from wmq.game.names import CHARACTERS, STAGES

MAIN = "import sys; sys.argv[0] = 'wmq'; from wmq.cli import main; main()"


def completed(folder: Path, *words: str) -> list[str]:
    """What bash is told when the last word is to be completed: "type,value" each."""
    asked = {"_WMQ_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("wmq", *words)),
             "COMP_CWORD": str(len(words)), "PYTHONPATH": str(ROOT)}  # fmt: skip
    done = subprocess.run([sys.executable, "-c", MAIN], cwd=folder, env=os.environ | asked,
                          text=True, capture_output=True, check=True)  # fmt: skip
    assert not done.stderr
    return done.stdout.split()


def plain(folder: Path, *words: str) -> set[str]:
    found = [line.split(",") for line in completed(folder, *words)]
    assert all(item[0] == "plain" for item in found)
    return {item[1] for item in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.wmq", "a.onnx", "a.npz", "notes.txt", ".hidden.wmq", "mine.toml"):
        (tmp_path / name).touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "deep.wmq").touch()
    return tmp_path


def test_commands_and_options_are_completed(folder: Path) -> None:
    assert plain(folder, "") == set(COMMANDS)
    assert plain(folder, "conformance", "") == {"build", "run"}
    assert {"--stage", "--start"} <= plain(folder, "rollout", "--sta")


def test_stages_and_characters_are_completed(folder: Path) -> None:
    assert plain(folder, "rollout", "--stage", "") == set(STAGES)
    expected = {name for name in CHARACTERS if name.startswith("f")}
    assert plain(folder, "report", "--p2-character", "f") == expected


def test_models_are_completed_by_their_endings_and_folders_lead_on(folder: Path) -> None:
    assert plain(folder, "rollout", "") == {"a.wmq", "a.onnx", "models/"}
    assert plain(folder, "calibrate", "") == {"a.onnx", "models/"}
    assert plain(folder, "verify", "a") == {"a.wmq", "a.npz"}
    assert plain(folder, "info", "models/") == {"models/deep.wmq"}
    assert completed(folder, "info", "mo") == ["file,mo"]  # the shell adds a slash and no space
    assert completed(folder, "info", "nowhere/x") == []


def test_recipes_are_completed_by_name_and_as_files(folder: Path) -> None:
    assert plain(folder, "calibrate", "--recipe", "") == {*names(), "mine.toml", "models/"}


@pytest.mark.parametrize(("words", "kind"), [(("prepare", "n"), "file,n"),
                                             (("evaluate", "--data", "m"), "dir,m")])  # fmt: skip
def test_other_files_and_folders_are_left_to_the_shell(
    folder: Path, words: tuple[str, ...], kind: str
) -> None:
    assert completed(folder, *words) == [kind]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script_that_is_printed(folder: Path) -> None:
    (folder / "wmq").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{MAIN}" "$@"\n')
    (folder / "wmq").chmod(0o755)
    lines = (
        'eval "$(wmq completion bash)"',
        "complete -p wmq",
        "COMP_WORDS=(wmq rollout --stage d) COMP_CWORD=3",
        '_wmq_completion wmq; echo "${COMPREPLY[@]}"',
    )
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "--norc", "-c", "\n".join(lines)], cwd=folder, env=env,
                          text=True, capture_output=True, check=True)  # fmt: skip
    assert not done.stderr
    assert done.stdout.splitlines() == ["complete -o nosort -F _wmq_completion wmq", "dream-land"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    script = wmq("completion", shell).stdout
    assert f"_WMQ_COMPLETE={shell}_complete" in script and "%(" not in script


def test_another_shell_is_one_line() -> None:
    result = wmq("completion", "tcsh")
    assert result.exit_code == 2 and "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr
