"""A cluster loses actors, a node and its head under load: ``python -m benchmarks.cluster_faults``.

Everything real runs on this machine's loopback: Postgres, an S3 server, the API (which reaps), a
supervised Ray head with its controller, two Ray nodes with GPUs that are not there
(``ray.cluster_utils.Cluster``), and worker groups as actors on them. One pool's workers have the
engine without models, the other one's make pictures with the pocket model. At the end every job's
history and files are checked: nothing accepted is lost, one published output a job.

The nodes' own supervisor is this program: it asks what ``ourvidz cluster node`` asks, and joins
them anew in the same way; Ray's command line refuses to join a node on loopback. With
``--own-network`` (Linux, as root) everything runs in a network of its own that leads nowhere, and
the nodes are kept by ``ourvidz cluster node`` itself.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from ourvidz.bench.records import BenchmarkResult, new_record, write_record
from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.cluster.launch import session_of
from ourvidz.cluster.wishes import Seen, Wishes
from ourvidz.core.errors import OurVidzError
from ourvidz.jobs.open import open_store
from ourvidz.jobs.store import JobStore
from ourvidz.jobs.submission import Draft, Submitter
from ourvidz.policy.build import build_policy
from ourvidz.storage.open import open_storage
from tests.jobs.checker import check_store
from tests.jobs.servers import postgres_server
from tests.storage.servers import MotoS3

CLI = (sys.executable, "-m", "ourvidz.cli")
OBJECT_STORE_BYTES = 100_000_000
GPUS_A_NODE = 8
LIMIT_S = 60.0  # in which capacity must be back
_GIVE_UP_S = 180.0
_LOOK_S = 0.25
# Two things that a person does, and four that happen.
FAULTS = ("roll", "drain", "actors", "controller", "node", "head")
LOOPBACK = {
    # Ray keeps to loopback only where it is told that there are no other machines.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "120",  # as ``ourvidz cluster node`` sets it
}
OWN_HOST = "10.77.0.1"
_IN_OWN_NETWORK = "OURVIDZ_BENCHMARK_OWN_NETWORK"


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What is to be done meanwhile."""

    test_jobs: int = 200
    pocket_jobs: int = 20
    test_groups: int = 4
    step_ms: int = 100
    steps: int = 60


def main() -> None:
    """Run it, print a table, write the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test-jobs", type=int, default=200)
    parser.add_argument("--pocket-jobs", type=int, default=20)
    parser.add_argument("--test-groups", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60, help="of 0.1 s, of a test job")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--record", type=Path)
    parser.add_argument("--own-network", action="store_true")
    arguments = parser.parse_args()
    if arguments.own_network and os.environ.get(_IN_OWN_NETWORK) is None:
        run_in_own_network()
    host = OWN_HOST if arguments.own_network else "127.0.0.1"
    load = Load(
        test_jobs=arguments.test_jobs,
        pocket_jobs=arguments.pocket_jobs,
        test_groups=arguments.test_groups,
        steps=arguments.steps,
    )
    with site(host) as (settings, folder):
        results = Trial(settings, folder, load, host=host).run(arguments.faults.split(","))
    for result in results:
        print(f"{result.case:16} {result.metric:20} {result.value:10.2f} {result.unit}")
    if arguments.record:
        made = new_record("cluster-faults", results, now=datetime.now(UTC))
        write_record(arguments.record, made, replaces_others=True)


@contextlib.contextmanager
def site(host: str) -> Iterator[tuple[Settings, Path]]:
    """Start Postgres and S3; everything that this process starts finds them in its environment."""
    folder = Path(tempfile.mkdtemp(prefix="ovz-c-"))
    try:
        with postgres_server() as url, MotoS3() as s3:
            os.environ |= environment(folder, url, s3.url)
            if host == "127.0.0.1":
                os.environ |= LOOPBACK
            yield load_settings(), folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(folder: Path, database_url: str, s3_url: str) -> dict[str, str]:
    """Return what makes a process part of the site and of its Ray cluster."""
    storage = {
        "kind": "s3",
        "endpoint": s3_url,
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": secrets.token_hex(8),
    }
    return {
        "OURVIDZ_DATA_DIR": str(folder / "data"),
        "OURVIDZ_DATABASE_URL": database_url,
        "OURVIDZ_STORAGE": json.dumps(storage),
        "OURVIDZ_QUEUE": json.dumps({"drain_s": 10.0}),
        "OURVIDZ_DEVICE": "cpu",
        "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(16),
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def run_in_own_network() -> None:
    """Become this program in a network namespace with nothing but one address of its own."""
    words = ["-m", "benchmarks.cluster_faults", *sys.argv[1:]]
    prepare = (
        f"ip link set lo up && ip addr add {OWN_HOST}/32 dev lo && ip route add default dev lo"
        ' && exec "$@"'
    )
    command = ["unshare", "--net", "sh", "-c", prepare, "sh", sys.executable, *words]
    os.execvpe(command[0], command, {**os.environ, _IN_OWN_NETWORK: "1"})


class KeptNodes:
    """Two nodes, each kept by ``ourvidz cluster node``."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._count = 0
        self.nodes: list[subprocess.Popen[bytes]] = []

    def join(self, count: int) -> None:
        """Start nodes."""
        for _ in range(count):
            name = f"n{self._count}"
            self._count += 1
            with (self._folder / f"{name}.log").open("wb") as log:
                self.nodes.append(
                    subprocess.Popen(
                        [
                            *CLI, "cluster", "node", "--address", self._address,
                            "--num-gpus", str(GPUS_A_NODE), "--label", f"place={name}",
                            "--ray-folder", str(self._folder / name),
                            "--object-store-memory", str(OBJECT_STORE_BYTES),
                        ],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    )
                )  # fmt: skip

    def kill(self, index: int, *, with_workers: bool) -> str:
        """Kill a node, its keeper first, as if its power failed; return the label of its place."""
        assert with_workers
        keeper = self.nodes.pop(index)
        tree = psutil.Process(keeper.pid).children(recursive=True)
        for victim in [psutil.Process(keeper.pid), *tree]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        keeper.wait()
        return f"n{index}"

    def session(self, index: int) -> None:
        """They look themselves."""

    def close(self) -> None:
        """End all."""
        for keeper in self.nodes:
            keeper.terminate()
        for keeper in self.nodes:
            keeper.wait(120)
        self.nodes.clear()


class Nodes:
    """Two nodes of Ray's test cluster, joined to a head that another program keeps."""

    def __init__(self, address: str, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._cluster: Any = None
        self.nodes: list[Any] = []

    def join(self, count: int) -> None:
        """Start nodes and have them join the head that there is."""
        from ray.cluster_utils import Cluster

        options: Any = importlib.import_module("ray._raylet").GcsClientOptions
        cluster = Cluster(initialize_head=False)
        cluster.head_node = SimpleNamespace(gcs_address=self._address)
        cluster.global_state._initialize_global_state(
            options.create(
                self._address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )
        self._cluster = cluster
        for _ in range(count):
            node = cluster.add_node(
                num_cpus=1,
                num_gpus=GPUS_A_NODE,
                object_store_memory=OBJECT_STORE_BYTES,
                node_ip_address="127.0.0.1",
                temp_dir=str(self._folder / "n"),
            )
            self.nodes.append(node)

    def kill(self, index: int, *, with_workers: bool) -> str:
        """Kill a node's processes, as if its power failed, or Ray's alone; return its id."""
        node = self.nodes.pop(index)
        tree = [
            child
            for process in node.all_processes["raylet"]
            for child in psutil.Process(process.process.pid).children(recursive=True)
        ]
        victims = [child for child in tree if with_workers or _is_of_ray(child)]
        node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        for victim in victims:  # its agents outlive it
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        self._cluster.worker_nodes.discard(node)
        return node.node_id

    def session(self, index: int) -> str | None:
        """Return the session that a node is of."""
        return session_of([self.nodes[index].get_session_dir_path()])

    def close(self) -> None:
        """Kill all of Ray's processes; the kernel tells the workers."""
        while self.nodes:
            self.kill(0, with_workers=False)


@dataclass(kw_only=True, slots=True)
class _Watcher:
    """Counts workers that report, all the time."""

    store: JobStore
    lowest: int = 10**6
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stopping.wait(_LOOK_S):
            with contextlib.suppress(OurVidzError):
                self.lowest = min(self.lowest, len(self.store.workers(seen_within_s=15.0)))


class Trial:
    """One run."""

    def __init__(self, settings: Settings, folder: Path, load: Load, *, host: str) -> None:
        self._host = host
        self._settings = settings
        self._folder = folder
        self._load = load
        self._store = open_store(settings)
        self._store.migrate()
        assert settings.database_url is not None
        self._wishes = Wishes(settings.database_url, name="main")
        self._port = _free_port()
        make_nodes = Nodes if host == "127.0.0.1" else KeptNodes
        self._nodes: Nodes | KeptNodes = make_nodes(f"{host}:{self._port}", folder)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._results: list[BenchmarkResult] = []
        self._start_s = self._lost_s = time.monotonic()

    def run(self, faults: Sequence[str]) -> list[BenchmarkResult]:
        """Start everything, break it, wait for the jobs, check them."""
        try:
            self._start()
            ids = self._submit()
            self._wait(lambda: self._num_ended() >= 3, "the first jobs")
            for fault in faults:
                self._break(fault)
            self._say(f"{self._num_ended()} of {len(ids)} jobs have ended")
            self._wait(lambda: self._num_ended() >= len(ids), "all jobs", limit_s=900.0)
            self._check(ids)
        except BaseException:
            self._tell_logs()
            raise
        finally:
            self._close()
        return self._results

    def _start(self) -> None:
        self._spawn("api", "serve", "--no-worker", "--port", "0")
        head = self._spawn(
            "head", "cluster", "head", "--host", self._host, "--port", str(self._port),
            "--ray-folder", str(self._folder / "h"),
            "--object-store-memory", str(OBJECT_STORE_BYTES),
        )  # fmt: skip
        self._head_pid = head.pid
        self._wait(lambda: _seen(self._wishes) is not None, "a controller")
        self._nodes.join(2)
        _cli("cluster", "up", "steps", "--floor", str(self._load.test_groups), "--model",
             "pocket-video", "--test-engine", "--timeout", "0")  # fmt: skip
        _cli("cluster", "up", "pictures", "--gpus", "2", "--model", "pocket-image",
             "--timeout", "0")  # fmt: skip
        start_s = time.monotonic()
        self._wait(self._is_whole, "all groups")
        self._say(f"{self._load.test_groups + 1} groups after {time.monotonic() - start_s:.1f} s")

    def _submit(self) -> list[str]:
        submitter = Submitter(
            store=self._store,
            catalogue=catalogue_of(self._settings),
            settings=self._settings,
            policy=build_policy(self._settings.policy),
        )
        prompt = f"steps={self._load.steps} step_ms={self._load.step_ms}"
        drafts = [Draft(prompt=prompt, job_type="image_fast")] * self._load.test_jobs
        drafts += [
            Draft(
                prompt="a large blue star on a black background",
                job_type="sdxl_image_fast",
                values={"num_images": 1},
            )
        ] * self._load.pocket_jobs
        return [job.id for job in submitter.submit(drafts).jobs]

    def _break(self, fault: str) -> None:
        watcher = _Watcher(store=self._store)
        thread = threading.Thread(target=watcher.run, daemon=True)
        thread.start()
        ended = self._num_ended()
        self._say(fault)
        self._lost_s = time.monotonic()
        is_back: Callable[[], bool] = getattr(self, f"_do_{fault}")()
        self._wait(is_back, f"capacity after {fault}")
        back_s = time.monotonic() - self._lost_s
        watcher.stopping.set()
        thread.join()
        meanwhile = self._num_ended() - ended
        self._say(f"back after {back_s:.1f} s; {meanwhile} jobs ended meanwhile")
        load = f"load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
        notes = f"limit {LIMIT_S:.0f} s; from the kill to every group's worker reporting; {load}"
        self._add(fault, "capacity_back_s", back_s, "s", notes)
        self._add(fault, "jobs_meanwhile", meanwhile, "jobs", "ended between loss and recovery")
        self._add(fault, "fewest_workers", watcher.lowest, "workers", "that reported within 15 s")
        if len(self._nodes.nodes) < 2:
            self._nodes.join(1)  # a node comes back

    def _do_roll(self) -> Callable[[], bool]:
        """Replace every group of a pool by one of another version."""
        old = {group["name"] for group in self._wishes.seen().report["groups"]}
        kept = {name for name in old if name.startswith("pictures/")}
        _cli("cluster", "up", "steps", "--version", "2", "--timeout", f"{_GIVE_UP_S:.0f}")

        def is_done() -> bool:
            names = {group["name"] for group in self._wishes.seen().report["groups"]}
            return self._is_whole() and names & old == kept

        return is_done

    def _do_drain(self) -> Callable[[], bool]:
        """Empty a node before it leaves, and let it come back."""
        (node, *_) = [n for n in self._wishes.seen().report["nodes"] if n["num_gpus"]]
        _cli("cluster", "drain", node["id"], "--timeout", f"{_GIVE_UP_S:.0f}")
        self._wait(lambda: self._is_whole(not_on=node["id"]), "groups elsewhere")
        _cli("cluster", "drain", node["id"], "--undo")
        return self._is_whole

    def _do_actors(self) -> Callable[[], bool]:
        groups = self._wishes.seen().report["groups"]
        victims = [next(g for g in groups if g["name"].startswith(p)) for p in ("steps", "pict")]
        for group in victims:
            os.kill(group["actor_pid"], signal.SIGKILL)
        dead = {group["pid"] for group in victims}
        return lambda: self._is_whole(without=dead)

    def _do_controller(self) -> Callable[[], bool]:
        for process, is_controller in _children(self._head_pid):
            if is_controller:
                process.kill()
        return self._is_whole  # which wants a report: nobody else makes one

    def _do_node(self) -> Callable[[], bool]:
        lost = self._nodes.kill(0, with_workers=True)
        return lambda: self._is_whole(not_on=lost)

    def _do_head(self) -> Callable[[], bool]:
        old = self._wishes.seen().session
        for process, is_controller in _children(self._head_pid):
            if not is_controller:
                process.kill()

        def is_back() -> bool:
            self._rejoin()
            return self._is_whole() and self._wishes.seen().session != old

        return is_back

    def _rejoin(self) -> None:
        """Do what ``ourvidz cluster node`` does, for both nodes."""
        seen = self._wishes.seen()
        own = {self._nodes.session(index) for index in range(len(self._nodes.nodes))}
        is_known = seen.has_controller and seen.session is not None and own and None not in own
        if is_known and own != {seen.session}:
            self._say("the nodes are of a head that is gone")
            count = len(self._nodes.nodes)
            self._nodes.close()
            self._nodes.join(count)
            self._say("they have joined the new one")

    def _is_whole(self, *, without: set[int] | None = None, not_on: str | None = None) -> bool:
        """Whether every group is ready, in a report that is younger than the loss."""
        seen = self._wishes.seen()
        if seen.age_s is None or seen.age_s > min(3.0, time.monotonic() - self._lost_s):
            return False
        groups = [group for group in seen.report["groups"] if group["state"] == "ready"]
        alive = {(worker.host, worker.pid) for worker in self._store.workers(seen_within_s=15.0)}
        return (
            len(groups) == self._load.test_groups + 1
            and all((group["host"], group["pid"]) in alive for group in groups)
            and all(psutil.pid_exists(group["pid"]) for group in groups)
            and not any(group["pid"] in (without or ()) for group in groups)
            and not any(self._is_on(group, not_on, seen) for group in groups)
        )

    def _is_on(self, group: Mapping[str, Any], place: str | None, seen: Seen) -> bool:
        labels = {node["id"]: node["labels"] for node in seen.report["nodes"]}
        return place is not None and place in {
            group["node_id"],
            labels.get(group["node_id"], {}).get("place"),
        }

    def _check(self, ids: Sequence[str]) -> None:
        faults = check_store(self._store, ids)
        storage = open_storage(self._settings)
        published = Counter[str]()
        for job_id in ids:
            for asset in self._store.assets(job_id):
                content = b"".join(storage.open(asset.bucket, asset.key).chunks)
                published[job_id] += 1
                if not content.startswith(b"\x89PNG") or len(content) != asset.num_bytes:
                    faults.append(f"{job_id}: {asset.key} is damaged")
        for fault in faults[:20]:
            print(fault)
        jobs = self._store.jobs_of(ids)
        attempts = [len(self._store.attempts(job_id)) for job_id in ids]
        count = len(ids)
        self._add("all", "accepted", count, "jobs", "test jobs and pocket jobs")
        self._add(
            "all", "succeeded", sum(j.state == "succeeded" for j in jobs.values()), "jobs", ""
        )
        self._add("all", "lost_or_illegal", len(faults), "faults", "histories and files")
        self._add("all", "one_output", sum(published[i] == 1 for i in ids), "jobs", "one file each")
        self._add("all", "attempts", sum(attempts), "attempts", "more than jobs: ran again")
        self._add("all", "wall_s", time.monotonic() - self._start_s, "s", "with every start")

    def _add(self, case: str, metric: str, value: float, unit: str, notes: str) -> None:
        self._results.append(
            BenchmarkResult(
                case=case,
                system="ray",
                fidelity="exact",
                metric=metric,
                value=round(float(value), 2),
                unit=unit,
                n=1,
                notes=notes,
            )
        )

    def _num_ended(self) -> int:
        found = self._store.counts().by_state
        return sum(found.get(state, 0) for state in ("succeeded", "failed", "cancelled"))

    def _wait(self, is_so: Callable[[], bool], what: str, *, limit_s: float = _GIVE_UP_S) -> None:
        deadline_s = time.monotonic() + limit_s
        while not is_so():
            dead = [p.args for p in self._processes if p.poll() is not None]
            if time.monotonic() > deadline_s or dead:
                raise SystemExit(f"{what}: not within {limit_s:.0f} s; ended: {dead}")
            time.sleep(_LOOK_S)

    def _spawn(self, name: str, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*CLI, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes.append(process)
        return process

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._start_s:6.1f} s  {text}", flush=True)

    def _tell_logs(self) -> None:
        with contextlib.suppress(OurVidzError):
            print(json.dumps(_without_labels(self._wishes.seen().report), indent=1))
        for path in sorted(self._folder.glob("*.log")):
            print(path.name, path.read_text(errors="replace")[-4000:], sep="\n")

    def _close(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        self._nodes.close()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            if process.poll() is None:
                process.kill()
        self._store.close()
        for process in psutil.process_iter():  # workers that still finish a job
            with contextlib.suppress(psutil.Error, OSError):
                is_ours = process.environ().get("OURVIDZ_DATA_DIR") == str(self._folder / "data")
                if is_ours and process.pid != os.getpid():
                    process.kill()


def _without_labels(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**report, "nodes": [{**n, "labels": {}} for n in report.get("nodes", ())]}


def _seen(wishes: Wishes) -> Seen | None:
    with contextlib.suppress(OurVidzError):
        seen = wishes.seen()
        return seen if seen.age_s is not None else None
    return None


def _children(pid: int) -> list[tuple[psutil.Process, bool]]:
    """Return what the head's keeper has started, and whether each is the controller."""
    found: list[tuple[psutil.Process, bool]] = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end just now
            found.append((process, "--watch" in process.cmdline()))
    return found


def _is_of_ray(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()[0].startswith("ray::")
    return False


def _cli(*words: str) -> None:
    subprocess.run([*CLI, *words], check=True, stdin=subprocess.DEVNULL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    main()
