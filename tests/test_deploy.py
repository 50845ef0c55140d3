"""Container files: they lint, and what they name exists. Building them needs Docker."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml
from typer.main import get_command

from ourvidz.catalog.config import Settings
from ourvidz.cli.main import app

ROOT = Path(__file__).parents[1]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_dockerfile_lints():
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_dockerfile_installs_extras_that_exist_and_copies_files_that_do():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r'"\.\[(.+?)\]"', DOCKERFILE)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M):
        for name in names.split():
            assert (ROOT / name).exists(), name
            assert f"!{name}" in (ROOT / ".dockerignore").read_text(encoding="utf-8"), name


def test_containers_run_commands_that_exist():
    commands = get_command(app).commands
    (cmd,) = re.findall(r"^CMD \[(.+)\]$", DOCKERFILE, re.M)
    words = [word.strip(' "') for word in cmd.split(",")]
    options = {option for parameter in commands[words[0]].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    for service in COMPOSE["services"].values():
        if service.get("image") == "ourvidz" and "command" in service:
            assert service["command"][0] in commands


def test_compose_sets_settings_that_exist():
    for name in COMPOSE["services"]["ourvidz"]["environment"]:
        assert name.removeprefix("OURVIDZ_").lower() in Settings.model_fields, name


def test_a_stopping_container_has_time_to_drain():
    drain_s = Settings.model_fields["queue"].default_factory().drain_s
    for name in ("ourvidz", "worker"):
        assert int(COMPOSE["services"][name]["stop_grace_period"].removesuffix("s")) > drain_s
