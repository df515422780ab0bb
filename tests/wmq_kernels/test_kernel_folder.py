"""Where compiled functions are kept: in a folder that is the user's own, or nowhere.

Each test runs a process that compiles one kernel, in an environment that lacks something,
or in a folder that somebody else could have written to.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wmq_kernels.a_kernel import TOTALS

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")
ROOT_ONLY = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="needs root")
FOLDER = "from wmq_kernels.engine.compiling import folder\nprint(folder())\n"
NOBODY = """
import pwd
def unknown(uid):
    raise KeyError(uid)
pwd.getpwuid = unknown
"""


class Code:
    """What unpickling turns into a call: the sign that a file was loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (os.fspath(self.path),)


def compiled(cwd: Path, before: str = "", /, **variables: str) -> tuple[str, Path | None, str]:
    """What a process prints: the kernel's result and its folder; and its stderr.

    Of this process's environment it has PATH alone.
    """
    script = cwd / "total.py"
    script.write_text(before + TOTALS + FOLDER)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.fspath(ROOT), **variables}
    done = subprocess.run([sys.executable, script], env=env, cwd=cwd, text=True,
                          capture_output=True, timeout=120)  # fmt: skip
    assert done.returncode == 0, done.stderr
    result, _, _, folder = done.stdout.split()
    return result, None if folder == "None" else Path(folder), done.stderr


def assert_told(stderr: str, *words: str) -> None:
    """One line, which has these words."""
    assert stderr.count("\n") == 1 and stderr.startswith("wmq: compiled kernels can't be kept")
    assert all(word in stderr for word in words), stderr


@POSIX
def test_a_user_without_a_home_compiles_in_memory(tmp_path: Path) -> None:
    """As in a container that runs with a number for a user."""
    result, folder, stderr = compiled(tmp_path, NOBODY)
    assert (result, folder) == ("-15", None)
    assert_told(stderr, "home", "NUMBA_CACHE_DIR")


@pytest.mark.parametrize("home", ["nowhere", "{}/nowhere"])
def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, home: str) -> None:
    result, folder, stderr = compiled(tmp_path, HOME=home.format(tmp_path))
    assert (result, folder) == ("-15", None)
    assert_told(stderr, "nowhere")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG's variables are for Linux")
def test_a_relative_xdg_cache_home_is_ignored(tmp_path: Path) -> None:
    """As its specification asks: else the cache would depend on the present folder."""
    _, folder, stderr = compiled(tmp_path, HOME=os.fspath(tmp_path), XDG_CACHE_HOME="cache")
    assert folder is not None and folder.parent == tmp_path / ".cache" / "wmq"
    assert not (tmp_path / "cache").exists() and not stderr


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    result, folder, stderr = compiled(tmp_path, NUMBA_CACHE_DIR=os.fspath(tmp_path / "cache"))
    assert (result, folder) == ("-15", None)
    assert_told(stderr, os.fspath(tmp_path / "cache"))


@POSIX
def test_what_is_made_is_the_users_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Else the next process would refuse it."""
    place = os.fspath(tmp_path / "cache")
    for _ in range(2):
        _, folder, stderr = compiled(tmp_path, "import os\nos.umask(0)\n", NUMBA_CACHE_DIR=place)
        assert folder is not None and not stderr
        for made in (folder, folder.parent):
            assert made.stat().st_mode & 0o077 == 0


@POSIX
@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_code_in_a_folder_that_others_can_write_to_is_not_run(tmp_path: Path, mode: int) -> None:
    place = os.fspath(tmp_path / "cache")
    _, folder, _ = compiled(tmp_path, NUMBA_CACHE_DIR=place)
    assert folder is not None
    planted = pickle.dumps(Code(tmp_path / "was run"))
    for file in folder.rglob("*.nbi"):
        file.write_bytes(planted)
    folder.chmod(mode)
    result, used, stderr = compiled(tmp_path, NUMBA_CACHE_DIR=place)
    assert not (tmp_path / "was run").exists()
    assert (result, used) == ("-15", None)
    assert_told(stderr, "other users", os.fspath(folder))


@POSIX
def test_a_folder_in_one_that_others_can_write_to_is_not_used(tmp_path: Path) -> None:
    """They could put another in its place; not so in one like /tmp, with the sticky bit."""
    place = tmp_path / "cache"
    place.mkdir()
    place.chmod(0o777)
    _, folder, stderr = compiled(tmp_path, NUMBA_CACHE_DIR=os.fspath(place))
    assert folder is None
    assert_told(stderr, "other users", os.fspath(place))
    place.chmod(0o1777)
    _, folder, stderr = compiled(tmp_path, NUMBA_CACHE_DIR=os.fspath(place))
    assert folder is not None and not stderr


@ROOT_ONLY
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    """As of a user whose HOME root kept with sudo."""
    place = tmp_path / "cache"
    place.mkdir()
    os.chown(place, 12345, 12345)
    _, folder, stderr = compiled(tmp_path, NUMBA_CACHE_DIR=os.fspath(place))
    assert folder is None and not list(place.iterdir())
    assert_told(stderr, "another user", os.fspath(place))


def test_other_locators_of_numba_do_not_move_it(tmp_path: Path) -> None:
    """NUMBA_CACHE_LOCATOR_CLASSES would name a place that is not checked."""
    place = os.fspath(tmp_path / "cache")
    locators = {"NUMBA_CACHE_DIR": place, "NUMBA_CACHE_LOCATOR_CLASSES": "NoSuchLocator"}
    result, folder, _ = compiled(tmp_path, **locators)
    assert result == "-15" and folder is not None and list(folder.rglob("*.nbi"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("NUMBA_OPT", "9"), ("NUMBA_NUM_THREADS", "many"), ("NUMBA_NUM_THREADS", "0"),
     ("NUMBA_CPU_FEATURES", "sse2"), ("NUMBA_DISABLE_JIT", "yes")],
)  # fmt: skip
def test_a_setting_that_numba_cannot_read_is_named_in_a_line(
    tmp_path: Path, name: str, value: str
) -> None:
    command = [sys.executable, "-c", "from wmq.cli import main; main()", "rollout", "--int8"]
    env = {**os.environ, "PYTHONPATH": os.fspath(ROOT), name: value}
    done = subprocess.run(command, env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and name in done.stderr and repr(value) in done.stderr
