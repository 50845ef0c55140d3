"""The loop: arrivals and events in order of time, until every job has ended.

A heap of tuples and one class of workers: what takes turns here are five kinds of events, and at
1,000 GPUs a day has millions of them, which a process library would spend in generators.

Left out: turns between an image and a running video, batches, errors and crashes, several tenants.
"""

from __future__ import annotations

import heapq
import itertools
import random
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ourvidz.engine.memory_plan import Weights, decayed, plan_evictions
from ourvidz.fleet.placement import ModelDemand, WorkerPlace, exchange, place
from ourvidz.fleet.policy import Hysteresis, PolicyKind, decide, fixed_shape, speedup
from ourvidz.fleet.queue import ARRIVALS_WITHIN_S
from ourvidz.fleet.shape import Group, Shape
from ourvidz.fleet.simulation.arrivals import Arrival
from ourvidz.fleet.simulation.queue import Rate, SimJob, SimQueue
from ourvidz.fleet.simulation.report import Outcome, Waits
from ourvidz.fleet.simulation.scenario import Foresight, Machine, ModelSpec, Scenario

# Demand is planned for so long ahead.
HORIZON_S = 1800.0
_RECENT_S = 3600.0  # as ``worker.foresight.USED_WITHIN_S``

_BUSY = -1
_FEW, _DRAWS = 16, 8  # up to so many idle workers are all looked at; of more, so many are tried

_FINISHED, _LOADED, _STARTED, _LOOK, _GIVE_BACK = range(5)


@dataclass(kw_only=True, slots=True, eq=False)
class _Worker:
    machine: _Machine
    id: str
    group: Group
    speeds: Mapping[str, float]  # by class of media
    free_bytes: int
    resident: dict[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]  # uses, as of when
    )
    is_starting: bool = True
    is_leaving: bool = False
    job: SimJob | None = None
    turn: int = 0  # events of an earlier turn are void
    ahead: tuple[str, ...] = ()
    arriving: str | None = None  # being loaded before anybody asked
    arrives_s: float = 0.0
    idle_at: int = -1  # its place among the idle ones; ``_BUSY``: it is none
    held_at: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def size(self) -> int:
        return len(self.group)


@dataclass(kw_only=True, slots=True, eq=False)
class _Machine:
    id: str
    kind: Machine
    gpus: tuple[str, ...]
    shape: Shape
    page_cache: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    workers: dict[Group, _Worker] = field(default_factory=dict[Group, _Worker])
    pending: list[Group] = field(default_factory=list[Group])
    reformed_s: float = float("-inf")


class _Idle:
    """Idle workers, any of which can be drawn at once, and who holds which model, idle or not."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._idle: list[_Worker] = []
        self._holders: dict[str, list[_Worker]] = {}

    def add(self, worker: _Worker) -> None:
        worker.idle_at = len(self._idle)
        self._idle.append(worker)

    def drop(self, worker: _Worker) -> None:
        place, last = worker.idle_at, self._idle.pop()
        if last is not worker:
            self._idle[place] = last
            last.idle_at = place
        worker.idle_at = _BUSY

    def hold(self, worker: _Worker, model: str) -> None:
        found = self._holders.setdefault(model, [])
        worker.held_at[model] = len(found)
        found.append(worker)

    def let_go(self, worker: _Worker, model: str) -> None:
        place, found = worker.held_at.pop(model), self._holders[model]
        last = found.pop()
        if last is not worker:
            found[place] = last
            last.held_at[model] = place

    def draw(self) -> _Worker | None:
        """Return any idle worker."""
        return self._any_of(self._idle)

    def draw_holder(self, model: str) -> _Worker | None:
        """Return any idle worker that holds a model; each is as likely."""
        if not self._idle:
            return None
        holders = self._holders.get(model, [])
        if len(self._idle) > _FEW:
            for _ in range(min(_DRAWS, len(holders))):
                worker = holders[int(self._rng.random() * len(holders))]
                if worker.idle_at != _BUSY:
                    return worker
        return self._any_of([worker for worker in holders if worker.idle_at != _BUSY])

    def _any_of(self, workers: Sequence[_Worker]) -> _Worker | None:
        return workers[int(self._rng.random() * len(workers))] if workers else None


def simulate(
    scenario: Scenario, arrivals: Callable[[], Iterable[Arrival]], *, seed: int
) -> Outcome:
    """Run a scenario until every job has ended.

    Args:
        scenario: the fleet and its rules.
        arrivals: makes the jobs, in order of time; the same at each call, because who is
            clairvoyant reads them twice.
        seed: of everything that is drawn here.
    """
    fleet = _Fleet(scenario, random.Random(seed))
    if scenario.foresight is Foresight.CLAIRVOYANT:
        fleet.foresee(arrivals())
    return fleet.run(arrivals())


class _Fleet:
    def __init__(self, scenario: Scenario, rng: random.Random) -> None:
        self._scenario = scenario
        self._rng = rng
        self._times = scenario.times
        self._models = {model.id: model for model in scenario.models}
        self._sizes = {model.id: model.num_bytes for model in scenario.models}
        self._classes = {each.name: each for each in scenario.classes}
        self._queue = SimQueue()
        self._idle = _Idle(rng)
        self._events: list[tuple[float, int, int, _Worker | None, int]] = []
        self._ties = itertools.count()
        self._orders = itertools.count()
        self._running = 0
        kinds = enumerate(scenario.machines)
        self._machines = [self._machine(index, kind) for index, kind in kinds]
        self._num_gpus = sum(len(machine.gpus) for machine in self._machines)
        self._minutes: deque[tuple[float, dict[str, int]]] = deque()  # arrivals by class
        self._future: dict[str, array[int]] | None = None
        self._waits: dict[str, array[float]] = {name: array("d") for name in self._classes}
        self._starts: dict[str, array[float]] = {name: array("d") for name in self._classes}
        self._responses: dict[str, array[float]] = {name: array("d") for name in self._classes}
        self._taken_s = self._run_s = self._load_wait_s = self._last_end_s = 0.0
        self._loads = self._loads_ahead = self._re_formings = self._given_back = 0
        self._num_events = 0

    # The loop

    def run(self, arrivals: Iterable[Arrival]) -> Outcome:
        coming = iter(arrivals)
        arrival = next(coming, None)
        first_s = arrival.at_s if arrival is not None else 0.0
        for machine in self._machines:
            for group in machine.shape.groups:
                self._start(machine, group, 0.0, is_ready=True)
        self._push(0.0, _LOOK, None, 0)
        events = self._events
        while True:
            if arrival is not None and (not events or arrival.at_s <= events[0][0]):
                self._num_events += 1
                self._arrive(arrival)
                arrival = next(coming, None)
                continue
            if arrival is None and not self._running and not self._queue.num_jobs:
                break
            now_s, _, kind, worker, turn = heapq.heappop(events)
            self._num_events += 1
            if worker is None:
                self._look(now_s)
            elif turn == worker.turn or kind == _LOADED:
                self._happen(kind, worker, turn, now_s)
        return self._outcome(first_s)

    def _happen(self, kind: int, worker: _Worker, turn: int, now_s: float) -> None:
        if kind == _FINISHED:
            self._finish(worker, now_s)
        elif kind == _LOADED:
            self._arrived(worker, now_s)
        elif kind == _STARTED:
            worker.is_starting = False
            self._free(worker, now_s)
        elif kind == _GIVE_BACK:
            self._give_back(worker, now_s)

    def _push(self, at_s: float, kind: int, worker: _Worker | None, turn: int) -> None:
        heapq.heappush(self._events, (at_s, next(self._ties), kind, worker, turn))

    # Jobs

    def _arrive(self, arrival: Arrival) -> None:
        job_class = self._classes[arrival.job_class]
        samples = job_class.services_s
        service_s = arrival.service_s
        if service_s is None:
            service_s = samples[int(self._rng.random() * len(samples))]
        job = SimJob(
            job_class=job_class,
            submitted_s=arrival.at_s,
            service_s=service_s,
            order=next(self._orders),
        )
        self._count(arrival)
        worker = None
        if self._scenario.follows_residency:
            worker = self._idle.draw_holder(job_class.model)
        worker = worker or self._idle.draw()
        if worker is None:
            self._queue.add(job)
            return
        self._idle.drop(worker)
        self._begin(worker, job, arrival.at_s + self._times.notice_s)

    def _begin(self, worker: _Worker, job: SimJob, now_s: float) -> None:
        model = self._models[job.job_class.model]
        load_s = 0.0
        if model.id not in worker.resident:
            load_s = self._load(worker, model, now_s)
            self._loads += 1
            self._load_wait_s += load_s
        self._use(worker, model.id, now_s)
        job.claimed_s, job.begun_s = now_s, now_s + load_s
        job.ends_s = job.begun_s + job.service_s / worker.speeds[job.job_class.media]
        worker.job = job
        worker.turn += 1
        self._running += 1
        self._push(job.ends_s + self._times.handover_s, _FINISHED, worker, worker.turn)
        if self._queue.num_jobs and self._scenario.foresight is not Foresight.NONE:
            self._bring(worker, self._queue.models(), now_s)

    def _finish(self, worker: _Worker, now_s: float) -> None:
        job = worker.job
        assert job is not None, "only a running job ends"
        name = job.job_class.name
        self._waits[name].append(job.claimed_s - job.submitted_s)
        self._starts[name].append(job.begun_s - job.submitted_s)
        self._responses[name].append(job.ends_s - job.submitted_s)
        self._last_end_s = max(self._last_end_s, job.ends_s)
        self._charge(worker, job, job.ends_s)
        worker.job = None
        self._running -= 1
        self._free(worker, now_s)

    def _free(self, worker: _Worker, now_s: float) -> None:
        """Let a worker claim, rest, or go."""
        if worker.is_leaving:
            self._retire(worker, now_s)
            return
        overdue_before = now_s - self._times.overdue_s
        job = self._queue.claim(worker.resident, overdue_before=overdue_before)
        if job is not None:
            self._begin(worker, job, now_s)
            return
        self._idle.add(worker)
        self._bring(worker, worker.ahead, now_s)

    def _give_back(self, worker: _Worker, now_s: float) -> None:
        job = worker.job
        if job is None:
            return
        self._charge(worker, job, now_s)
        self._given_back += 1
        self._running -= 1
        worker.job = None
        worker.turn += 1
        self._retire(worker, now_s)
        self._requeue(job, now_s)

    def _requeue(self, job: SimJob, now_s: float) -> None:
        self._queue.add(job)
        worker = self._idle.draw_holder(job.job_class.model) or self._idle.draw()
        if worker is not None:
            self._idle.drop(worker)
            self._free(worker, now_s)

    def _charge(self, worker: _Worker, job: SimJob, until_s: float) -> None:
        self._taken_s += worker.size * (until_s - job.claimed_s)
        self._run_s += worker.size * max(0.0, until_s - job.begun_s)

    # Weights

    def _load(self, worker: _Worker, model: ModelSpec, now_s: float) -> float:
        """Make a claimed job's model resident; return how long the job waits for it."""
        if worker.arriving == model.id:  # on its way already, and its room is taken
            worker.arriving = None
            self._hold(worker, model.id, now_s)
            return max(0.0, worker.arrives_s - now_s)
        if worker.arriving is not None:  # a request for another model stops that
            worker.free_bytes += self._models[worker.arriving].num_bytes
            worker.arriving = None
        self._make_room(worker, model.num_bytes, now_s)
        worker.free_bytes -= model.num_bytes
        self._hold(worker, model.id, now_s)
        return self._read(worker.machine, model)

    def _read(self, machine: _Machine, model: ModelSpec) -> float:
        """Return the seconds that a model's files take, which are in the page cache afterwards."""
        cache = machine.page_cache
        if model.id in cache:
            cache.move_to_end(model.id)
            return model.from_page_cache_s
        cache[model.id] = model.num_bytes
        used = sum(cache.values())
        while used > machine.kind.page_cache_bytes:
            used -= cache.popitem(last=False)[1]
        return model.from_disk_s

    def _make_room(self, worker: _Worker, needed_bytes: int, now_s: float) -> None:
        if worker.free_bytes >= needed_bytes:
            return
        waiting = self._queue.counts()
        weights = [
            Weights(
                key=(model, "all"),
                num_bytes=self._models[model].num_bytes,
                file_bytes=self._models[model].num_bytes,
                use=decayed(use, now_s - at_s) + waiting.get(model, 0),
                is_in_page_cache=model in worker.machine.page_cache,
            )
            for model, (use, at_s) in worker.resident.items()
        ]
        plan = plan_evictions(weights, needed_bytes=needed_bytes - worker.free_bytes)
        for eviction in plan.evictions:
            self._evict(worker, eviction.key[0])

    def _evict(self, worker: _Worker, model: str) -> None:
        del worker.resident[model]
        worker.free_bytes += self._models[model].num_bytes
        self._idle.let_go(worker, model)

    def _hold(self, worker: _Worker, model: str, now_s: float) -> None:
        worker.resident[model] = (0.0, now_s)
        self._idle.hold(worker, model)

    def _use(self, worker: _Worker, model: str, now_s: float) -> None:
        use, at_s = worker.resident[model]
        worker.resident[model] = (decayed(use, now_s - at_s) + 1.0, now_s)

    def _bring(self, worker: _Worker, models: Sequence[str], now_s: float) -> None:
        """Begin to load the first of some models that is not there and for which there is room."""
        if worker.arriving is not None or worker.is_leaving or worker.is_starting:
            return
        for model_id in models:
            model = self._models[model_id]
            if model_id not in worker.resident and model.num_bytes <= worker.free_bytes:
                worker.free_bytes -= model.num_bytes
                worker.arriving = model_id
                worker.arrives_s = now_s + self._read(worker.machine, model)
                self._push(worker.arrives_s, _LOADED, worker, 0)
                return

    def _arrived(self, worker: _Worker, now_s: float) -> None:
        model = worker.arriving
        if model is None or worker.arrives_s > now_s:  # stopped, or another one since
            return
        worker.arriving = None
        self._hold(worker, model, now_s)
        self._loads_ahead += 1
        if worker.idle_at != _BUSY:
            self._bring(worker, worker.ahead, now_s)
        elif self._queue.num_jobs:
            self._bring(worker, self._queue.models(), now_s)

    # What is looked at now and then

    def _look(self, now_s: float) -> None:
        self._plan_models(now_s)
        if self._scenario.policy is PolicyKind.MIXED:
            self._plan_shapes(now_s)
        self._push(now_s + self._times.look_s, _LOOK, None, 0)

    def _plan_models(self, now_s: float) -> None:
        foresight = self._scenario.foresight
        if foresight is Foresight.NONE:
            return
        waiting = self._queue.models()
        workers = [
            worker
            for machine in self._machines
            for worker in machine.workers.values()
            if not worker.is_leaving and not worker.is_starting
        ]
        if foresight is Foresight.RECENT:
            used = self._came_models(now_s, within_s=_RECENT_S)
            common = tuple(dict.fromkeys([*waiting, *sorted(used, key=lambda it: (-used[it], it))]))
            for worker in workers:
                worker.ahead = common
        else:
            plan = place(
                [
                    WorkerPlace(
                        id=worker.id,
                        room_bytes=worker.machine.kind.room_bytes,
                        resident=frozenset(worker.resident),
                    )
                    for worker in workers
                ],
                self._demand(now_s),
                horizon_s=HORIZON_S,
            )
            for worker in workers:
                worker.ahead = plan.of(worker.id)
        held = {model for worker in workers for model in worker.resident}
        held.update(worker.arriving for worker in workers if worker.arriving is not None)
        for worker in workers:
            if worker.idle_at != _BUSY:
                if foresight is not Foresight.RECENT:
                    held.update(self._exchange(worker, held))
                self._bring(worker, worker.ahead, now_s)

    def _exchange(self, worker: _Worker, held: Collection[str]) -> tuple[str, ...]:
        found = exchange(
            worker.ahead,
            resident=sorted(worker.resident, key=lambda model: worker.resident[model][1]),
            held=held,
            room_bytes=worker.machine.kind.room_bytes,
            sizes=self._sizes,
        )
        for model in found.leaving:
            self._evict(worker, model)
        if found.missing:
            rest = tuple(model for model in worker.ahead if model not in found.missing)
            worker.ahead = found.missing + rest
        return found.missing

    def _demand(self, now_s: float) -> dict[str, ModelDemand]:
        if self._future is not None:
            uses = self._coming_models(now_s)
        else:
            lately = self._came_models(now_s, within_s=_RECENT_S)
            uses = {model: each * HORIZON_S / _RECENT_S for model, each in lately.items()}
            if self._scenario.usage is not None:
                at_s = self._scenario.starts_at_s + now_s
                known = self._scenario.usage.expected(at_s, within_s=HORIZON_S)
                uses = {
                    model: max(uses.get(model, 0.0), known.get(model, 0.0))
                    for model in {*uses, *known}
                    if model in self._models
                }
        for model, count in self._queue.counts().items():
            uses[model] = uses.get(model, 0.0) + count
        return {
            model: ModelDemand(
                uses=uses[model],
                work_s=self._work_s(model),
                num_bytes=self._models[model].num_bytes,
                load_s=self._models[model].from_page_cache_s,
            )
            for model in sorted(uses)
        }

    def _work_s(self, model: str) -> float:
        own = [each.mean_s for each in self._scenario.classes if each.model == model]
        return sum(own) / len(own) if own else 0.0

    def _count(self, arrival: Arrival) -> None:
        minute = arrival.at_s // 60 * 60
        if not self._minutes or self._minutes[-1][0] != minute:
            self._minutes.append((minute, {}))
            while self._minutes[0][0] < minute - _RECENT_S:
                self._minutes.popleft()
        counts = self._minutes[-1][1]
        counts[arrival.job_class] = counts.get(arrival.job_class, 0) + 1

    def _came(self, now_s: float, *, within_s: float) -> dict[str, int]:
        found: dict[str, int] = {}
        for minute, counts in self._minutes:
            if minute >= now_s - within_s:
                for name, count in counts.items():
                    found[name] = found.get(name, 0) + count
        return found

    def _came_models(self, now_s: float, *, within_s: float) -> dict[str, float]:
        return self._by_model(self._came(now_s, within_s=within_s))

    def _by_model(self, counts: Mapping[str, int]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, count in counts.items():
            model = self._classes[name].model
            found[model] = found.get(model, 0.0) + count
        return found

    def foresee(self, arrivals: Iterable[Arrival]) -> None:
        """Note what will come, by minute."""
        future: dict[str, array[int]] = {name: array("l") for name in self._classes}
        for arrival in arrivals:
            minutes = future[arrival.job_class]
            minute = int(arrival.at_s // 60)
            if len(minutes) <= minute:
                minutes.extend([0] * (minute + 1 - len(minutes)))
            minutes[minute] += 1
        self._future = future

    def _coming_models(self, now_s: float) -> dict[str, float]:
        assert self._future is not None, "only who has foreseen asks"
        first, last = int(now_s // 60), int((now_s + HORIZON_S) // 60)
        counts = {name: sum(minutes[first:last]) for name, minutes in self._future.items()}
        return {model: uses for model, uses in self._by_model(counts).items() if uses}

    # Groups

    def _machine(self, index: int, kind: Machine) -> _Machine:
        gpus = tuple(f"{index}.{number}" for number in range(kind.num_gpus))
        made = _Machine(
            id=f"m{index:04}", kind=kind, gpus=gpus, shape=fixed_shape(self._scenario.policy, gpus)
        )
        if self._scenario.is_warm:
            made.page_cache.update({model.id: model.num_bytes for model in self._scenario.models})
        return made

    def _start(
        self, machine: _Machine, group: Group, now_s: float, *, is_ready: bool = False
    ) -> None:
        media = {each.media for each in self._scenario.classes}
        worker = _Worker(
            machine=machine,
            id=f"{machine.id}:{group[0]}-{len(group)}",
            group=group,
            speeds={each: speedup(self._scenario.speedups, each, len(group)) for each in media},
            free_bytes=machine.kind.room_bytes,
        )
        machine.workers[group] = worker
        if is_ready:
            worker.is_starting = False
            self._idle.add(worker)
        else:
            self._push(now_s + self._times.start_s, _STARTED, worker, worker.turn)

    def _retire(self, worker: _Worker, now_s: float) -> None:
        if worker.idle_at != _BUSY:
            self._idle.drop(worker)
        for model in worker.resident:
            self._idle.let_go(worker, model)
        worker.turn += 1
        del worker.machine.workers[worker.group]
        self._start_pending(worker.machine, now_s)

    def _start_pending(self, machine: _Machine, now_s: float) -> None:
        taken = {gpu for group in machine.workers for gpu in group}
        for group in tuple(machine.pending):
            if taken.isdisjoint(group):
                machine.pending.remove(group)
                self._start(machine, group, now_s)

    def _plan_shapes(self, now_s: float) -> None:
        summary = self._queue.summary(
            now_s=now_s, overdue_s=self._times.overdue_s, rates=self._rates(now_s)
        )
        for machine in self._machines:
            decision = decide(
                PolicyKind.MIXED,
                gpus=machine.gpus,
                current=machine.shape,
                queue=summary,
                since_reform_s=now_s - machine.reformed_s,
                speedups=self._scenario.speedups,
                share=len(machine.gpus) / self._num_gpus,
                hysteresis=Hysteresis(),
            )
            if decision.is_change:
                self._reform(machine, decision.shape, now_s)

    def _rates(self, now_s: float) -> dict[str, Rate]:
        within_s = min(ARRIVALS_WITHIN_S, max(60.0, now_s))
        jobs: dict[str, int] = {}
        work_s: dict[str, float] = {}
        for name, count in self._came(now_s, within_s=within_s).items():
            each = self._classes[name]
            jobs[each.media] = jobs.get(each.media, 0) + count
            work_s[each.media] = work_s.get(each.media, 0.0) + count * each.mean_s
        return {
            media: Rate(per_s=count / within_s, mean_s=work_s[media] / count)
            for media, count in jobs.items()
        }

    def _reform(self, machine: _Machine, shape: Shape, now_s: float) -> None:
        self._re_formings += 1
        machine.reformed_s = now_s
        machine.pending = list(shape.changed(machine.shape))
        leaving = machine.shape.changed(shape)
        machine.shape = shape
        for group in leaving:
            worker = machine.workers.get(group)
            if worker is None:
                continue
            worker.is_leaving = True
            if worker.job is None:  # idle, or not even started
                self._retire(worker, now_s)
            elif worker.job.ends_s > now_s + self._times.drain_s:
                self._push(now_s + self._times.drain_s, _GIVE_BACK, worker, worker.turn)
        self._start_pending(machine, now_s)

    # The end

    def _outcome(self, first_s: float) -> Outcome:
        makespan_s = max(0.0, self._last_end_s - first_s)
        gpu_s = makespan_s * self._num_gpus

        def everything(found: Mapping[str, array[float]]) -> Waits:
            return Waits.of(array("d", itertools.chain.from_iterable(found.values())))

        def by_class(found: Mapping[str, array[float]]) -> dict[str, Waits]:
            return {name: Waits.of(np.asarray(each)) for name, each in found.items()}

        return Outcome(
            num_jobs=sum(len(each) for each in self._responses.values()),
            makespan_s=makespan_s,
            waits=everything(self._waits),
            starts=everything(self._starts),
            responses=everything(self._responses),
            starts_by_class=by_class(self._starts),
            responses_by_class=by_class(self._responses),
            utilisation=self._taken_s / gpu_s if gpu_s else 0.0,
            goodput=self._run_s / gpu_s if gpu_s else 0.0,
            loads=self._loads,
            loads_ahead=self._loads_ahead,
            load_wait_s=self._load_wait_s,
            re_formings=self._re_formings,
            given_back=self._given_back,
            num_events=self._num_events,
        )
