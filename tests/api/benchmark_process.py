"""Plays `ourvidz bench run`: writes what it writes, as far as the test lets it.

``python benchmark_process.py FOLDER PLAN``: it prints the run's id, ends each planned run for which
there is a file ``go-1``, ``go-2``, ... in the folder, and stops at SIGTERM as the command does.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ourvidz.perf.protocol.plan import plan_from
from ourvidz.perf.protocol.results import (
    COMPLETE,
    INTERRUPTED,
    FinishedRun,
    RunFolder,
    empty_report,
)


def main() -> None:
    folder, plan_file = Path(sys.argv[1]), Path(sys.argv[2])
    if (folder / "refuse").exists():
        error = {"code": "illegal_state", "message": "pre-flight refuses", "param": None}
        print(json.dumps({"error": error}))  # noqa: T201
        sys.exit(1)
    plan = plan_from(json.loads(plan_file.read_text(encoding="utf-8")))
    run = RunFolder(path=folder / plan.id)
    run.begin(plan)
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    print(f"{plan.id}  {run.path}", file=sys.stderr, flush=True)  # noqa: T201
    (folder / "key").write_text(os.environ.get("OURVIDZ_API_KEY", ""), encoding="utf-8")
    done = 0
    for number, planned in enumerate([*plan.warm_ups(), *plan.runs()], start=1):
        while not (folder / f"go-{number}").exists() and not stopped:
            time.sleep(0.01)
        if stopped:
            break
        if (folder / "crash").exists():
            os._exit(9)
        run.add(
            FinishedRun(
                key=planned.key,
                case=planned.case.name,
                job_type=planned.case.job_type,
                repeat=planned.repeat,
                is_warm_up=planned.is_warm_up,
                seed=planned.seed,
                job_id=f"job_{number}",
                at=1e9 + number,
                wall_s=1.5,
                body={"state": "resident"},
            )
        )
        done += not planned.is_warm_up
    from dataclasses import replace

    status = INTERRUPTED if stopped else COMPLETE
    report = replace(empty_report(plan), status=status, num_done=done, outcome="no_change")
    run.write_report(report, text="# Report\n")


if __name__ == "__main__":
    main()
