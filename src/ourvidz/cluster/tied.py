"""Run a program that ends with its starter: ``python -m ourvidz.cluster.tied PID PROGRAM ...``.

For programs of others, which can't be told to. The kernel's promise outlives the change of program.
"""

from __future__ import annotations

import os
import sys

from ourvidz.worker.supervisor import end_with_parent

if __name__ == "__main__":
    if not end_with_parent(int(sys.argv[1])):
        sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])
