"""The first rank's side: starts the other processes, tells them what to do, notices who ends.

Everything that decides stays with the leader: schedulers, guidance, cancelling, turns. The others
hold weights and work out their part of whatever they are told, one message after another, so that
exchanges between ranks come in one order everywhere. Only the thread that drives jobs may send what
needs one.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch

from ourvidz.core.errors import OurVidzError, OutOfMemory, RankLost
from ourvidz.engine.group import ranks as group_ranks
from ourvidz.engine.group.folder import MeetingFolder
from ourvidz.engine.group.messages import (
    Broken,
    Failed,
    FollowerSettings,
    Hello,
    JobMessage,
    Measure,
    Message,
    Ready,
    Reply,
    Unload,
)
from ourvidz.engine.group.plan import LinkFigures
from ourvidz.engine.group.ranks import Ranks

_log = logging.getLogger(__name__)

_COMMAND = (sys.executable, "-m", "ourvidz.engine.group.follower")
_END_S = 5.0  # for the others to end by themselves
_STATUS_S = 1.0  # for a process that hung up to have ended
_NOTICE_S = 5.0  # for the socket of a process that ended to say so
_AGAIN = "The attempt is run again, by a new group."


@dataclass(kw_only=True, slots=True, eq=False)
class _Team:
    """One generation of processes: once one of them is lost, all are replaced."""

    folder: MeetingFolder
    processes: dict[int, subprocess.Popen[bytes]] = field(
        default_factory=dict[int, "subprocess.Popen[bytes]"]
    )
    connections: dict[int, Connection] = field(default_factory=dict[int, "Connection"])
    hellos: dict[int, Future[None]] = field(default_factory=dict[int, "Future[None]"])
    joined: Future[Ranks] = field(default_factory=Future[Ranks])
    ready: dict[int, dict[int, Future[None]]] = field(  # by job and rank, of jobs begun with it
        default_factory=dict[int, "dict[int, Future[None]]"]
    )
    figures: LinkFigures | None = None
    broken: dict[int, str] = field(default_factory=dict[int, str])  # why, by rank
    lost: str | None = None
    is_lost: threading.Event = field(default_factory=threading.Event)  # and all are told
    is_closing: bool = False
    sending: threading.Lock = field(default_factory=threading.Lock)  # one message at a time
    lock: threading.Lock = field(default_factory=threading.Lock)  # of ``lost`` and ``ready``

    def settle(self, error: Exception) -> None:
        """End with ``error`` what still waits for the team."""
        with self.lock:
            waiting = [future for each in self.ready.values() for future in each.values()]
        for future in (self.joined, *self.hellos.values(), *waiting):
            with suppress(InvalidStateError):  # it was done
                future.set_exception(error)


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
        """Start the others if they are not there; return what is done once all have met.

        Raises:
            OSError: a process could not be started; the next call tries again.
        """
        with self._lock:
            team = self._team
            if team is not None and team.lost is None:
                return team.joined
            self._team = None
            if team is not None:
                _log.warning("the group starts again: %s", team.lost)
                team.is_lost.wait(_NOTICE_S)  # until then exchanges of its are being aborted
                _end(team)
            self._team = team = self._spawn_all()
        for rank in team.connections:
            threading.Thread(
                target=self._listen, args=(team, rank), name=f"rank-{rank}", daemon=True
            ).start()
        threading.Thread(target=self._join, args=(team,), name="join", daemon=True).start()
        return team.joined

    def _spawn_all(self) -> _Team:
        team = _Team(folder=MeetingFolder())
        try:
            for rank in range(1, self.size):
                _spawn(team, rank, size=self.size, device=self.device, settings=self._settings)
        except BaseException:
            _end(team)
            raise
        return team

    @property
    def present(self) -> Future[Ranks] | None:
        """What is done once the present processes have met; None where there are none."""
        team = self._team
        return None if team is None or team.lost is not None else team.joined

    def unload(self, model_id: str) -> None:
        """Have the others forget a model's networks. Any thread; those that are lost have."""
        team = self._team
        if team is not None:
            with suppress(RankLost):
                self._tell(team, Unload(model_id=model_id))

    def ranks(self, job: int) -> Ranks:
        """Return ourselves among the others that a job was begun with.

        Raises:
            RankLost: one of them is gone.
        """
        return self._team_of(job).joined.result()

    def figures(self, job: int) -> LinkFigures:
        """Return how fast the ranks are; measured when first asked for, by the driving thread.

        Raises:
            RankLost: one of those that the job was begun with is gone.
        """
        team = self._team_of(job)
        if team.figures is None:
            with self.together(job) as ranks:
                self._tell(team, Measure())
                team.figures = group_ranks.measure_link(ranks)
            _log.info("group of %d on %s: %s", self.size, self.device, team.figures)
        return team.figures

    def new_job(self) -> int:
        """Return a number for a job."""
        with self._lock:
            self._num_jobs += 1
            return self._num_jobs

    def expect(self, job: int) -> list[Future[None]]:
        """Return what is done once each of the others has loaded what the job needs.

        From here to ``forget`` the job belongs to the present processes, and fails with them.

        Raises:
            RankLost: one of them is gone, or new ones have not met yet.
        """
        team = self._team
        if team is None or not team.joined.done():
            raise RankLost("The group is not there.", hint=_AGAIN)
        found = {rank: Future[None]() for rank in team.connections}
        with team.lock:
            _raise_if_lost(team)
            team.ready[job] = found
        return list(found.values())

    def forget(self, job: int) -> None:
        """Forget what ``expect`` keeps of a job that is over."""
        team = self._team
        if team is not None:
            with team.lock:
                team.ready.pop(job, None)

    def send(self, message: JobMessage) -> None:
        """Tell all the others.

        The thread that drives jobs only, but for what needs no exchange: loading and its end.

        Raises:
            RankLost: one of those that the job was begun with is gone.
        """
        self._tell(self._team_of(message.job), message)

    def raise_if_lost(self, job: int) -> None:
        """Raise ``RankLost`` where one of the processes that a job was begun with is gone."""
        self._team_of(job)

    @contextmanager
    def together(self, job: int) -> Generator[Ranks]:
        """Say that all ranks work on one message inside the block; yield them.

        What fails there leaves the others waiting, so the next job gets a new group.

        Raises:
            RankLost: one of those that the job was begun with is gone.
        """
        team = self._team_of(job)
        try:
            yield team.joined.result()
        except Exception as error:
            if isinstance(error, RankLost):
                raise
            # The exchange may say it before the socket does; a failure here is told by nobody.
            is_told = not isinstance(error, torch.OutOfMemoryError) and team.is_lost.wait(_NOTICE_S)
            self._fail(team, f"The leader failed: {type(error).__name__}.")
            if is_told:
                _raise_if_lost(team, error)
            raise

    def _team_of(self, job: int) -> _Team:
        """Return the processes that a job was begun with. Raises RankLost where they are gone."""
        team = self._team
        if team is None or job not in team.ready:
            raise RankLost("The group that the attempt began with is gone.", hint=_AGAIN)
        _raise_if_lost(team)
        return team

    def _tell(self, team: _Team, message: Message) -> None:
        with team.sending:
            for rank, connection in team.connections.items():
                try:
                    connection.send(message)
                except OSError:
                    self._lose(team, rank)
                    _raise_if_lost(team)

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
            team, self._team = self._team, None
            if team is not None:
                _end(team)

    def _join(self, team: _Team) -> None:
        try:
            # One that ends while it starts must not leave this process waiting for it.
            for hello in team.hellos.values():
                hello.result()
            store = group_ranks.meeting_place(team.folder.path / "store", self.size)
            found = group_ranks.join(rank=0, size=self.size, device=self.device, store=store)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            self._fail(team, f"The group did not meet: {error}")
            return
        with suppress(InvalidStateError):  # it is lost meanwhile
            team.joined.set_result(found)

    def _listen(self, team: _Team, rank: int) -> None:
        connection = team.connections[rank]
        while True:
            try:
                reply: Reply = connection.recv()
            except (EOFError, OSError):
                self._lose(team, rank)
                return
            with suppress(InvalidStateError):  # it is lost meanwhile
                self._take(team, rank, reply)

    def _take(self, team: _Team, rank: int, reply: Reply) -> None:
        if isinstance(reply, Hello):
            team.hellos[rank].set_result(None)
            return
        if isinstance(reply, Broken):
            team.broken[rank] = reply.reason
            return
        with team.lock:
            future = team.ready.get(reply.job, {}).get(rank)
        if future is None:
            return
        if isinstance(reply, Ready):
            future.set_result(None)
        else:
            future.set_exception(_error_of(reply, rank))

    def _lose(self, team: _Team, rank: int) -> None:
        if team.is_closing or team.lost is not None:
            return
        status: int | None = None
        with suppress(subprocess.TimeoutExpired):  # its socket is closed a moment before it ends
            status = team.processes[rank].wait(_STATUS_S)
        reason = f": {team.broken[rank]}" if rank in team.broken else "."
        self._fail(team, f"Rank {rank} of {self.size} ended (exit status {status}){reason}")

    def _fail(self, team: _Team, reason: str) -> None:
        """End what waits for the team, and its processes; the next job gets another."""
        with team.lock:
            if team.is_closing or team.lost is not None:
                return
            team.lost = reason
        _log.error("%s", reason)
        try:
            group_ranks.abort()
        finally:
            team.settle(RankLost(reason, hint=_AGAIN))
            for connection in team.connections.values():
                _hang_up(connection)
            team.is_lost.set()


def _spawn(
    team: _Team, rank: int, *, size: int, device: torch.device, settings: FollowerSettings
) -> None:
    ours, theirs = socket.socketpair()
    team.connections[rank], team.hellos[rank] = Connection(ours.detach()), Future()
    arguments = (str(rank), str(size), _device_of(device, rank), str(theirs.fileno()))
    with theirs:
        team.processes[rank] = subprocess.Popen(
            [*_COMMAND, *arguments, str(team.folder.path / "store")],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is the leader's alone
        )
    team.connections[rank].send(settings)


def _device_of(device: torch.device, rank: int) -> str:
    return f"cuda:{(device.index or 0) + rank}" if device.type == "cuda" else "cpu"


def _end(team: _Team) -> None:
    """End a team's processes; they end when nobody listens to them."""
    with team.lock:
        team.is_closing = True
    team.settle(RankLost(team.lost or "The group is closed."))
    for connection in team.connections.values():
        _hang_up(connection)
    until_s = time.monotonic() + _END_S
    for process in team.processes.values():
        try:
            process.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for connection in team.connections.values():
        connection.close()
    try:
        group_ranks.leave()
    except Exception:  # noqa: BLE001 - the next team's join leaves it again
        _log.exception("the process group could not be left")
    team.folder.remove()


def _hang_up(connection: Connection) -> None:
    """Have both sides read an end; ``close`` alone leaves it open while a thread reads from it."""
    with (
        suppress(OSError),  # the other side was faster, or it is closed
        socket.socket(fileno=os.dup(connection.fileno())) as whole,
    ):
        whole.shutdown(socket.SHUT_RDWR)


def _raise_if_lost(team: _Team, cause: Exception | None = None) -> None:
    if team.lost is not None:
        raise RankLost(team.lost, hint=_AGAIN) from cause


def _error_of(reply: Failed, rank: int) -> OurVidzError:
    if reply.code == OutOfMemory.code:
        return OutOfMemory(f"Rank {rank}: {reply.message}", hint=reply.hint)
    return RankLost(f"Rank {rank} could not begin: {reply.message}", hint=reply.hint)
