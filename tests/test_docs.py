"""What the pages say exists: files they link to, make targets, commands and their options."""

import functools
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from ourvidz.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "benchmarks/README.md",
        ROOT / "training/README.md",
        ROOT / "src/ourvidz/models/README.md",
    ]
)
MAKE_TARGETS = set(
    re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
)


def code_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    return [line.split("   #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_exist(page):
    for line in code_lines(page):
        match = re.match(r"make ([a-z-]+)", line)
        if match:
            assert match.group(1) in MAKE_TARGETS


@functools.cache  # built anew, it takes a tenth of a second
def all_commands():
    return get_command(app)


def options_of(command) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page):
    for line in code_lines(page):
        words = shlex.split(line, comments=True) if line.startswith("ourvidz ") else []
        command = all_commands()
        while len(words) > 1 and words[1] in getattr(command, "commands", {}):
            command = command.commands[words[1]]
            words = words[1:]
        for word in words[1:]:
            if word.startswith("-"):
                assert word.partition("=")[0] in options_of(command), line


def test_the_changelog_names_the_version():
    import ourvidz

    assert f"## {ourvidz.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
