"""The page of `wmq report` in headless Chromium: it loads, plays, and tells nobody."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.browser import ARROW_RIGHT, Browser, browser, obstacle
from tests.support.made_up import write_results
from tests.support.rollout_models import RANDOM, SCHEMA, a_start, wmq
from wmq.inference.float_predictor import OnnxPredictor
from wmq.report.compare import Comparison, compare, open_pair
from wmq.report.load import Results
from wmq.report.page import make_page
from wmq.rollout.rollout import both_controllers

pytest_plugins = ("tests.support.rollout_models",)
pytestmark = pytest.mark.needs("a browser", obstacle() or "")
FRAMES = 600
PHONE = 360  # pixels


@pytest.fixture(scope="module")
def written(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, dict]:
    """The page, the viewer's document of the same worlds, and what the command printed."""
    folder = tmp_path_factory.mktemp("page")
    pair = models / "small.onnx", models / "small.wmq"
    floats, int8 = open_pair(*map(str, pair))
    results = write_results(folder / "results", floats.sha256, int8.sha256)
    made = wmq("report", results, "-o", folder / "report.html", "--viewer", folder / "both.json",
               "--float", pair[0], "--int8", pair[1], "--frames", FRAMES, "--json")  # fmt: skip
    assert made.exit_code == 0, made.output
    document = json.loads((folder / "both.json").read_text())
    return folder / "report.html", document, json.loads(made.output)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def same(models: Path) -> Comparison:
    """A model beside itself."""
    model, start = OnnxPredictor(models / "small.onnx"), a_start()
    pads = both_controllers(RANDOM, start, FRAMES, 0)
    return compare((model, model), start, pads, 0, ("random", "random"), 1, lambda *done: None)


@pytest.fixture
def page(chromium: Browser, written: tuple[Path, dict, dict]) -> Browser:
    chromium.resize(1280, 1000)
    chromium.open(written[0])
    chromium.log()
    return chromium


def places(document: dict, frame: int) -> dict:
    return {name: [[player["x"], player["y"]] for player in track[frame]["players"]]
            for name, track in document["tracks"].items()}  # fmt: skip


def test_it_loads_without_a_complaint(chromium: Browser, written: tuple[Path, dict, dict]) -> None:
    chromium.open(written[0])
    assert chromium.log() == []
    assert chromium.run("return wmq.frames") == FRAMES + 1
    assert chromium.run("return window.hacked === undefined && !document.querySelector('img')")


def test_playing_moves_and_pausing_stops(page: Browser, written: tuple[Path, dict, dict]) -> None:
    document = written[1]
    assert page.run("return wmq.positions()") == places(document, 0)
    page.run("document.getElementById('play').click()")
    page.wait("return wmq.frame >= 20")
    page.run("document.getElementById('play').click()")
    frame, drawn = page.run("return [wmq.frame, wmq.positions()]")
    assert 20 <= frame < FRAMES and drawn == places(document, frame) != places(document, 0)
    assert not page.run("return wmq.playing")
    assert page.run("return new Promise((r) => setTimeout(() => r(wmq.frame), 150))") == frame


def test_it_plays_faster_at_four_times_and_stops_at_the_end(page: Browser) -> None:
    taken = page.run("""
        wmq.seek(0);
        document.getElementById("speed").value = "4";
        const began = performance.now();
        document.getElementById("play").click();
        return new Promise((done) => {
          const look = () => wmq.playing ? setTimeout(look, 10) : done(performance.now() - began);
          look();
        });""")
    seconds = FRAMES / 60 / 4
    assert page.run("return wmq.frame") == FRAMES
    assert seconds * 0.95 < taken / 1000 < seconds * 2 + 2  # a busy machine skips frames


@pytest.mark.parametrize("frame", [1, 137, FRAMES])
def test_a_scrubbed_frame_is_the_viewers(
    page: Browser, written: tuple[Path, dict, dict], frame: int
) -> None:
    document = written[1]
    page.run("""const scrub = document.getElementById("scrub");
                scrub.value = arguments[0];
                scrub.dispatchEvent(new Event("input"));""", frame)  # fmt: skip
    assert page.run("return wmq.frame") == frame
    assert page.run("return wmq.at(wmq.frame)") == {
        name: track[frame] for name, track in document["tracks"].items()
    }
    assert page.run("return wmq.positions()") == places(document, frame)
    for name, track in document["tracks"].items():
        for number, player in enumerate(track[frame]["players"]):
            cells = page.run(
                "return [...document.querySelectorAll("
                "`[data-track=${arguments[0]}] [data-player='${arguments[1]}'] td`)]"
                ".map((cell) => cell.textContent)", name, number)  # fmt: skip
            assert float(cells[0]) == pytest.approx(player["percent"], abs=0.0501)
            assert int(cells[1]) == player["stocks"]
            assert int(cells[2].split()[0]) == player["action_state"]
            assert page.run("return document.getElementById('scrub').ariaValueText || "
                            "document.getElementById('scrub').getAttribute('aria-valuetext')"
                            ).startswith(f"frame {frame} of {FRAMES}")  # fmt: skip


def test_the_first_other_action_is_marked_where_the_data_says(
    page: Browser, same: Comparison, tmp_path: Path
) -> None:
    """A world that is the float one until an action of player 2 changes in frame 450."""
    frames = same.rollouts["int8"].worlds[0].frames.copy()
    at = SCHEMA.index("action", 1)
    frames[449:, at] = (frames[449:, at] + 1) % 400
    world = replace(same.rollouts["int8"].worlds[0], frames=frames)
    int8 = replace(same.rollouts["int8"], worlds=(world,))
    parted = replace(same, rollouts=same.rollouts | {"int8": int8})
    (tmp_path / "parted.html").write_bytes(make_page(Results(), parted))
    page.open(tmp_path / "parted.html")
    assert page.run("return wmq.first") == 450
    mark = page.run("""const mark = document.querySelector(".distance .first");
                       const box = document.querySelector(".distance").getBoundingClientRect();
                       const found = mark.getBoundingClientRect();
                       return [mark.dataset.frame,
                               (found.left + found.width / 2 - box.left) / box.width];""")
    assert int(mark[0]) == 450
    assert mark[1] == pytest.approx(450 / FRAMES, abs=0.002)
    page.run("document.getElementById('jump').click()")
    for frame, cells in ((450, 2), (449, 0)):  # player 2, in both worlds
        assert page.run("return wmq.frame") == frame
        assert page.run("return document.querySelectorAll('.state .other').length") == cells
        page.run("document.getElementById('back').click()")


def test_worlds_that_never_part_have_no_mark(
    page: Browser, same: Comparison, tmp_path: Path
) -> None:
    (tmp_path / "same.html").write_bytes(make_page(Results(), same))
    page.open(tmp_path / "same.html")
    assert page.log() == [] and page.run("return wmq.first") is None
    assert page.run("return document.querySelector('.distance .first')") is None
    assert page.run("return document.getElementById('jump').disabled")
    assert "the same actions in every frame" in page.run("return document.body.innerText")


def test_the_keyboard_plays_and_steps(page: Browser) -> None:
    page.run("wmq.seek(10); document.getElementById('player').focus()")
    page.press(ARROW_RIGHT)
    assert page.run("return wmq.frame") == 11
    page.press(" ")
    page.wait("return wmq.playing && wmq.frame > 12")
    page.press(" ")
    assert not page.run("return wmq.playing")
    page.run("wmq.seek(10); document.getElementById('scrub').focus()")
    page.press(ARROW_RIGHT)
    assert page.run("return wmq.frame") == 11
    page.run("document.getElementById('play').focus()")
    page.press(" ")  # the button's own, once and not twice
    page.wait("return wmq.playing")
    page.press(" ")
    assert not page.run("return wmq.playing")
    page.run("wmq.seek(10); document.getElementById('forth').focus()")
    page.press(" ")
    assert page.run("return [wmq.frame, wmq.playing]") == [11, False]


class Server(ThreadingHTTPServer):
    """Counts the requests that reach it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


TRY = """const at = arguments[0];
const tried = [
  fetch(at + "/fetch", { mode: "no-cors" }).then(() => "fetched", () => "refused"),
  new Promise((done) => {
    const image = new Image();
    image.onload = image.onerror = () => done("image");
    image.src = at + "/image";
  }),
  new Promise((done) => {
    const script = document.createElement("script");
    script.onload = () => done("ran");
    script.onerror = () => done("refused");
    script.src = at + "/script";
    document.head.append(script);
  }),
];
return Promise.all(tried);"""


def test_no_request_can_leave_the_page(page: Browser, tmp_path: Path) -> None:
    """The same attempts reach the server from a page without the policy."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert page.run(TRY, address)[0] == "refused"
        assert server.asked == []
        assert any("Content Security Policy" in line for line in page.log())
        plain = tmp_path / "plain.html"
        plain.write_text("<!doctype html><title>plain</title>")
        page.open(plain)
        page.run(TRY, address)
        assert {"/fetch", "/image", "/script"} <= set(server.asked)
    finally:
        server.shutdown()
        server.server_close()


def test_a_heading_sorts_its_table_both_ways(page: Browser) -> None:
    sort = """const table = document.querySelector("#table table.sortable");
              const heads = [...table.tHead.rows[0].cells];
              const column = heads.findIndex((h) => h.textContent.trim() === "val_loss");
              heads[column].querySelector("button").click();
              return [heads[column].getAttribute("aria-sort"),
                      [...table.tBodies[0].rows]
                        .map((row) => parseFloat(row.cells[column].textContent))];"""
    up, down = page.run(sort), page.run(sort)
    assert up[0] == "ascending" and down[0] == "descending"
    assert up[1] == sorted(up[1]) and down[1] == up[1][::-1] and len(set(up[1])) == 4


def test_it_fits_a_phone(page: Browser) -> None:
    page.resize(PHONE, 700)
    page.run("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.run("return document.documentElement.scrollWidth") <= PHONE
    assert (
        page.run("return document.querySelector('svg.stage').getBoundingClientRect().width") > 250
    )


def test_dark_and_light_have_readable_contrast(page: Browser) -> None:
    """At least 4.5 to 1 between text and page (WCAG 2.1, 1.4.3)."""
    backgrounds = []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        colours = page.run("""const style = getComputedStyle(document.body);
            const soft = getComputedStyle(document.querySelector("small"));
            return [style.backgroundColor, style.color, soft.color];""")
        back, *texts = [luminance(colour) for colour in colours]
        backgrounds.append(back)
        for text in texts:
            assert (max(back, text) + 0.05) / (min(back, text) + 0.05) >= 4.5
    assert backgrounds[0] > 0.8 and backgrounds[1] < 0.05
    page.prefer("light")


def luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)` by WCAG 2.1."""
    parts = [int(part) / 255 for part in colour.strip("rgb()").split(",")]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
