"""The lock of a folder: one holder at a time, and none needed where there are no locks."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wmq.errors import WmqError
from wmq.files.folder_lock import folder_lock

HOLD = """
import sys, time
from pathlib import Path
from wmq.files.folder_lock import folder_lock
with folder_lock(Path(sys.argv[1]), "busy", print):
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], text=True,
                          stdout=subprocess.PIPE) as holder:  # fmt: skip
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(WmqError, match="someone is here"):
            with folder_lock(tmp_path, "someone is here", pytest.fail):
                pass
        holder.kill()
    deadline = time.monotonic() + 10
    while True:
        try:
            with folder_lock(tmp_path, "someone is here", pytest.fail):
                return
        except WmqError:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_file_system_without_locks_is_named_once_and_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    said: list[str] = []
    with folder_lock(tmp_path, "busy", said.append):
        pass
    assert len(said) == 1 and str(tmp_path) in said[0]


def test_system_without_fcntl_is_named_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    said: list[str] = []
    with folder_lock(tmp_path, "busy", said.append):
        pass
    assert len(said) == 1


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc/self/fd")
def test_no_handle_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with folder_lock(tmp_path, "busy", pytest.fail):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
