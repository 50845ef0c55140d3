"""The first rank's side: starts the other processes, tells them what to do, notices who ends.

Everything that decides stays with the leader: schedulers, guidance, cancelling, turns. The others
hold weights and work out their part of whatever they are told, one message after another, so that
exchanges between ranks come in one order everywhere. Only the thread that drives jobs may send.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from ourvidz.core.errors import OurVidzError, OutOfMemory, RankLost
from ourvidz.engine.group import ranks as group_ranks
from ourvidz.engine.group.messages import Failed, FollowerSettings, Measure, Message, Ready, Reply
from ourvidz.engine.group.plan import LinkFigures
from ourvidz.engine.group.ranks import Ranks

_log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "ourvidz.engine.group.follower")
_END_S = 5.0  # for the others to end by themselves
_NOTICE_S = 5.0  # for the socket of a process that ended to say so
_AGAIN = "The attempt is run again, by a new group."


@dataclass(kw_only=True, slots=True, eq=False)
class _Team:
    """One generation of processes: once one of them is lost, all are replaced."""

    folder: Path  # where ranks find each other
    processes: dict[int, subprocess.Popen[bytes]] = field(
        default_factory=dict[int, "subprocess.Popen[bytes]"]
    )
    connections: dict[int, Connection] = field(default_factory=dict[int, "Connection"])
    joined: Future[Ranks] = field(default_factory=Future[Ranks])
    ready: dict[int, dict[int, Future[None]]] = field(  # by job and rank
        default_factory=dict[int, "dict[int, Future[None]]"]
    )
    figures: LinkFigures | None = None
    lost: str | None = None
    is_lost: threading.Event = field(default_factory=threading.Event)
    is_closing: bool = False


class Group:
    """The processes of one worker. The first of them, this one, leads."""

    def __init__(self, *, size: int, device: torch.device, settings: FollowerSettings) -> None:
        """Take what the others need; ``start`` begins.

        Args:
            size: processes, this one counted; on GPUs rank ``r`` has the device ``r`` after ours.
            device: ours.
            settings: as the leader's engine has them.
        """
        assert size > 1, size
        self.size = size
        self.device = device
        self._settings = settings
        self._lock = threading.Lock()
        self._team: _Team | None = None
        self._num_jobs = 0

    def start(self) -> Future[Ranks]:
        """Start the others if they are not there; return what is done once all have met."""
        with self._lock:
            team = self._team
            if team is not None and team.lost is None:
                return team.joined
            if team is not None:
                _log.warning("the group starts again: %s", team.lost)
                _end(team)
            self._team = team = _Team(folder=Path(tempfile.mkdtemp(prefix="ourvidz-group-")))
            for rank in range(1, self.size):
                _spawn(team, rank, size=self.size, device=self.device, settings=self._settings)
        for rank in team.connections:
            threading.Thread(
                target=self._listen, args=(team, rank), name=f"rank-{rank}", daemon=True
            ).start()
        threading.Thread(target=self._join, args=(team,), name="join", daemon=True).start()
        return team.joined

    @property
    def ranks(self) -> Ranks:
        """Ourselves among the others, once ``start``'s future is done."""
        self.raise_if_lost()
        assert self._team is not None, "start() comes first"
        return self._team.joined.result()

    @property
    def figures(self) -> LinkFigures:
        """How fast the ranks are; measured when first asked for, by the thread that drives jobs.

        Raises:
            RankLost: one of the others is gone.
        """
        ranks, team = self.ranks, self._team
        assert team is not None, "start() comes first"
        if team.figures is None:
            with self.together():
                self.send(Measure())
                team.figures = group_ranks.measure_link(ranks)
            _log.info("group of %d on %s: %s", self.size, self.device, team.figures)
        return team.figures

    def new_job(self) -> int:
        """Return a number for a job."""
        with self._lock:
            self._num_jobs += 1
            return self._num_jobs

    def expect(self, job: int) -> list[Future[None]]:
        """Return what is done once each of the others has loaded what the job needs."""
        self.raise_if_lost()
        assert self._team is not None, "start() comes first"
        found = {rank: Future[None]() for rank in self._team.connections}
        self._team.ready[job] = found
        return list(found.values())

    def forget(self, job: int) -> None:
        """Forget what ``expect`` keeps of a job that is over."""
        if self._team is not None:
            self._team.ready.pop(job, None)

    def send(self, message: Message) -> None:
        """Tell all the others; the thread that drives jobs only.

        Raises:
            RankLost: one of them is gone.
        """
        self.raise_if_lost()
        assert self._team is not None, "start() comes first"
        for rank, connection in self._team.connections.items():
            try:
                connection.send(message)
            except OSError:
                self._lose(self._team, rank)
                self.raise_if_lost()

    def raise_if_lost(self) -> None:
        """Raise ``RankLost`` where one of the present processes is gone."""
        team = self._team
        if team is not None and team.lost is not None:
            raise RankLost(team.lost, hint=_AGAIN)

    @contextmanager
    def together(self) -> Generator[None]:
        """Say that all ranks work on one message inside the block.

        What fails there leaves the others waiting, so the next job gets a new group.

        Raises:
            RankLost: it failed because one of the others is gone.
        """
        try:
            yield
        except Exception as error:
            team = self._team
            if team is None or isinstance(error, RankLost):
                raise
            # The exchange may say it before the socket does; a failure here is told by nobody.
            is_told = not isinstance(error, torch.OutOfMemoryError) and team.is_lost.wait(_NOTICE_S)
            self._fail(team, team.lost or f"The leader failed: {type(error).__name__}.")
            if is_told:
                raise RankLost(team.lost, hint=_AGAIN) from error
            raise

    def facts(self) -> Mapping[str, Any]:
        """Return how the group is: its size, its processes, whether they have met."""
        team = self._team
        pids = [] if team is None else [process.pid for process in team.processes.values()]
        return {
            "size": self.size,
            "pids": [os.getpid(), *pids],
            "is_ready": team is not None and team.joined.done() and team.lost is None,
        }

    def close(self) -> None:
        """End the other processes. Idempotent."""
        with self._lock:
            if self._team is not None:
                _end(self._team)
                self._team = None

    def _join(self, team: _Team) -> None:
        try:
            store = group_ranks.meeting_place(team.folder / "store", self.size)
            found = group_ranks.join(rank=0, size=self.size, device=self.device, store=store)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            _set_error(team.joined, _as_lost(team, error))
            return
        if not team.joined.done():
            team.joined.set_result(found)

    def _listen(self, team: _Team, rank: int) -> None:
        connection = team.connections[rank]
        while True:
            try:
                reply: Reply = connection.recv()
            except (EOFError, OSError):
                self._lose(team, rank)
                return
            future = team.ready.get(reply.job, {}).get(rank)
            if future is None or future.done():
                continue
            if isinstance(reply, Ready):
                future.set_result(None)
            else:
                future.set_exception(_error_of(reply, rank))

    def _lose(self, team: _Team, rank: int) -> None:
        if team.is_closing or team.lost is not None:
            return
        status = team.processes[rank].poll()
        _log.error("rank %d of %d ended (exit status %s)", rank, self.size, status)
        self._fail(team, f"Rank {rank} of {self.size} ended (exit status {status}).")

    def _fail(self, team: _Team, reason: str) -> None:
        """End what waits for the team; the next job gets another."""
        if team.lost is not None:
            return
        team.lost = reason
        group_ranks.abort()
        error = RankLost(reason, hint=_AGAIN)
        _set_error(team.joined, error)
        for futures in team.ready.values():
            for future in futures.values():
                _set_error(future, error)
        team.is_lost.set()


def _spawn(
    team: _Team, rank: int, *, size: int, device: torch.device, settings: FollowerSettings
) -> None:
    ours, theirs = socket.socketpair()
    arguments = (str(rank), str(size), _device_of(device, rank), str(theirs.fileno()))
    with theirs:
        team.processes[rank] = subprocess.Popen(
            [*_COMMAND, *arguments, str(team.folder / "store")],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
    team.connections[rank] = Connection(ours.detach())
    team.connections[rank].send(settings)


def _device_of(device: torch.device, rank: int) -> str:
    return f"cuda:{(device.index or 0) + rank}" if device.type == "cuda" else "cpu"


def _end(team: _Team) -> None:
    """End a team's processes; they end when nobody listens to them."""
    team.is_closing = True
    for connection in team.connections.values():
        _hang_up(connection)
    for process in team.processes.values():
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    group_ranks.leave()
    shutil.rmtree(team.folder, ignore_errors=True)


def _hang_up(connection: Connection) -> None:
    """Close it at once; ``close`` alone leaves it open for as long as a thread reads from it."""
    with (
        socket.socket(fileno=os.dup(connection.fileno())) as whole,
        suppress(OSError),  # the other side was faster
    ):
        whole.shutdown(socket.SHUT_RDWR)
    connection.close()


def _error_of(reply: Failed, rank: int) -> OurVidzError:
    if reply.code == OutOfMemory.code:
        return OutOfMemory(f"Rank {rank}: {reply.message}", hint=reply.hint)
    return RankLost(f"Rank {rank} could not begin: {reply.message}", hint=reply.hint)


def _as_lost(team: _Team, error: Exception) -> OurVidzError:
    return RankLost(team.lost or f"The group did not meet: {error}")


def _set_error(future: Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
