"""Whatever a page names exists: files and folders in backticks, and targets of links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("wmq/**/*.md")])
# A changelog speaks of its time, and keeps the names of it.
PAGES.remove(ROOT / "CHANGELOG.md")
FOLDERS = "wmq|wmq_kernels|calib|engines|tests|benchmarks|docs"
FILES = [{file.name for file in (ROOT / folder).rglob("*.*")} for folder in FOLDERS.split("|")]


ENVIRONMENTS = {"wmq/Melee-v0"}  # names in Gymnasium's registry


def ids(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_paths_in_backticks_exist(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[^\s`*]*)`", page.read_text("utf-8"))
    missing = [path for path in named if path not in ENVIRONMENTS and not (ROOT / path).exists()]
    assert not missing, f"{ids(page)} names {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_modules_in_backticks_exist(page: Path) -> None:
    """Dotted names such as `wmq.evaluation.bootstrap`, or a name inside such a module."""
    names = re.findall(r"`((?:wmq|wmq_kernels|calib)(?:\.\w+)+)`", page.read_text("utf-8"))
    missing = [name for name in names if not (is_module(name) or is_inside(name))]
    assert not missing, f"{ids(page)} names {', '.join(missing)}"


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def is_inside(name: str) -> bool:
    """Whether the last part is a word of the module that the rest names."""
    module, _, inside = name.rpartition(".")
    path = ROOT / module.replace(".", "/")
    files = [file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()]
    return any(re.search(rf"\b{inside}\b", file.read_text("utf-8")) for file in files)


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_bare_file_names_are_those_of_files(page: Path) -> None:
    """Names without a folder, such as `rangecheck.py`."""
    named = set(re.findall(r"`(\w+\.(?:py|mjs|js|css))`", page.read_text("utf-8")))
    missing = [name for name in sorted(named) if not any(name in names for names in FILES)]
    assert not missing, f"{ids(page)} names {', '.join(missing)}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    """To a file, and to a heading of it if the link names one."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if re.match(r"\w+:", target):
            continue
        name, _, heading = target.partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (heading and heading not in headings(file)):
            broken.append(target)
    assert not broken, f"{ids(page)} links to {', '.join(broken)}"


def headings(file: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    titles = re.findall(r"(?m)^#+ (.*)$", file.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
