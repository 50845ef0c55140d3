"""The command line in this process, in an empty folder, without any model."""

import sys

from ourvidz.cli.main import main
from tests.cli.conftest import Outcome


def quick_cli(tmp_path, monkeypatch, capsys):
    """Return what runs ``ourvidz`` with arguments and gives its outcome."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ourvidz", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run
