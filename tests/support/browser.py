"""Headless Chromium by the WebDriver protocol (W3C), with the standard library alone."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
CHROMEDRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,1000",
)  # fmt: skip
ARROW_RIGHT = "\ue014"  # as the protocol spells keys
PATIENCE = 60.0  # seconds


def obstacle() -> str | None:
    """Why there is no browser here; None: there is one."""
    missing = [name for name, found in (("chromium", CHROMIUM), ("chromium-driver", CHROMEDRIVER))
               if found is None]  # fmt: skip
    return f"Debian's package {' and '.join(missing)} not installed" if missing else None


class Browser:
    """One session; each call is one request of the protocol."""

    def __init__(self, address: str, capabilities: dict):
        self.address = address
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        self.session = f"/session/{made['sessionId']}"

    def _ask(self, method: str, path: str, body: dict | None = None) -> Any:
        content = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, content, method=method,
                                         headers={"Content-Type": "application/json"})  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def open(self, page: Path) -> None:
        self._ask("POST", f"{self.session}/url", {"url": page.resolve().as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a function body returns."""
        body = {"script": script, "args": list(arguments)}
        return self._ask("POST", f"{self.session}/execute/sync", body)

    def wait(self, script: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"never came true: {script}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key, to the element that has the focus."""
        strokes = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        keyboard = {"type": "key", "id": "keyboard", "actions": strokes}
        self._ask("POST", f"{self.session}/actions", {"actions": [keyboard]})

    def log(self) -> list[str]:
        """What the page complained of since the last call."""
        entries = self._ask("POST", f"{self.session}/se/log", {"type": "browser"})
        return [f"{entry['level']} {entry['message']}" for entry in entries]

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        body = {"cmd": command, "params": parameters}
        return self._ask("POST", f"{self.session}/goog/cdp/execute", body)

    def resize(self, width: int, height: int) -> None:
        """The page's own size, however small, whatever the window has."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height,
                      deviceScaleFactor=1, mobile=False)  # fmt: skip

    def prefer(self, scheme: str) -> None:
        """Say that the reader prefers "dark" or "light"."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.devtools("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._ask("GET", f"{self.session}/screenshot")))

    def close(self) -> None:
        self._ask("DELETE", self.session)


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[Browser]:
    """Chromium with an empty profile, ended with its driver."""
    assert CHROMIUM and CHROMEDRIVER
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        _wait_for(port, driver)
        options = {"binary": CHROMIUM, "args": [*FLAGS, *flags, f"--user-data-dir={profile}"]}
        found = Browser(f"http://127.0.0.1:{port}", {
            "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
        })  # fmt: skip
        try:
            yield found
        finally:
            found.close()
    finally:
        driver.terminate()
        driver.wait(PATIENCE)


def _wait_for(port: int, driver: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert driver.poll() is None and time.monotonic() < end, "chromedriver did not start"
            time.sleep(0.05)
