"""Ours beside the library: the same weights, seeds and latents, in turns, in one process.

A case has lanes: our worker at each fidelity, the library as documented, the library at its best.
Every lane is warmed up, then they run in turns (A B C, A B C, ...) until the repeats or the budget
are used up, so that a machine that slows down slows all of them. Ratios are made within a round;
values are medians, low and high the smallest and the largest.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ourvidz.bench.cases import (
    LIBRARY,
    LIBRARY_BEST,
    OURS,
    SEED,
    Case,
    configs_of,
    request_of,
    work_of,
)
from ourvidz.bench.floors import Ceilings, Work, floor_s
from ourvidz.bench.ours import EngineRun, Ours, loaded_from, run_process
from ourvidz.bench.records import (
    BenchmarkResult,
    environment,
    git_commit,
    new_record,
    read_record,
    write_record,
)
from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Model, Role
from ourvidz.checkpoints.manifest import SyntheticSource, read_manifest
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import InvalidRequest, ModelMissing, OurVidzError
from ourvidz.core.phase import LoadState, Phase
from ourvidz.core.request import Fidelity, GenerationRequest
from ourvidz.perf.ledger import median_step_s
from ourvidz.worker.assemble import model_locator, require_engine_packages

if TYPE_CHECKING:
    import torch

    from ourvidz.bench.library import LibraryQwen, LibrarySdxl, LibraryWan

SUITE = "peers"

SECONDS, TOKENS_PER_S, SHARE, GIB = "seconds", "tokens_per_s", "share_of_bandwidth", "gib"
RATIO, RATIO_BEST, RATIO_FLOOR = "ratio_to_diffusers", "ratio_to_diffusers_best", "ratio_to_floor"
FIRST_STEP = "first_step_s"
PHASE = "phase."  # before a phase's name: its exclusive seconds, for nobody's bar
UNITS = {
    SECONDS: "s",
    TOKENS_PER_S: "tokens/s",
    SHARE: "share",
    GIB: "GiB",
    RATIO: "1",
    RATIO_BEST: "1",
    RATIO_FLOOR: "1",
    FIRST_STEP: "s",
}
LIBRARY_FIDELITY = "library"  # a peer's own word: it makes no promise of ours

_WARM_UP_STEPS = 2
_DISK_BYTES = 4 * 2**30

Sample = Mapping[str, float]  # by metric


@dataclass(kw_only=True, slots=True, eq=False)
class Lane:
    """One system in one case."""

    system: str
    fidelity: str
    run: Callable[[], Sample]
    warm_up: Callable[[], object]
    work: Callable[[], Work | None] = lambda: None  # of one run, for the floor
    remarks: list[str] = field(default_factory=list[str])  # what is seen while it runs

    @property
    def title(self) -> str:
        """As messages name it."""
        return f"{self.system} {self.fidelity}" if self.system == OURS else self.system

    def remark(self, text: str) -> None:
        """Note something once."""
        if text not in self.remarks:
            self.remarks.append(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How a comparison is run."""

    repeats: int = 3
    budget_s: float = 400.0  # no round begins that would probably end later, but one always runs
    fidelities: tuple[Fidelity, ...] | None = None  # None: all of a case on CUDA, exact on a CPU
    has_library: bool = True
    has_best: bool | None = None  # None: on CUDA only, since elsewhere it is as documented
    compile_unet: bool = False
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])  # smaller runs
    ceilings: Ceilings | None = None  # None: measured when first needed


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a case brought."""

    results: list[BenchmarkResult]
    failures: list[str]  # lanes that did not run to their end, and why


@dataclass(kw_only=True, slots=True)
class Bench:
    """Runs cases on one machine. ``close`` frees what stays loaded between cases."""

    settings: Settings
    catalogue: Catalogue
    folder: Path  # for files of jobs; the caller removes it
    options: Options = field(default_factory=Options)
    tell: Callable[[str], None] = lambda text: None
    ours: Ours = field(init=False)
    token: str = field(init=False, default_factory=lambda: f"{secrets.randbelow(9000) + 1000}")
    _library: dict[str, Any] = field(init=False, default_factory=dict[str, Any])
    _ceilings: Ceilings | None = field(init=False, default=None)
    _last_roles: tuple[Role, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        require_engine_packages()
        # Jobs go to a store of their own, models stay where they are.
        self.settings = self.settings.model_copy(
            update={
                "models_dir": self.settings.resolved_models_dir,
                "data_dir": self.folder / "data",
                "database_url": None,
            }
        )
        self._ceilings = self.options.ceilings
        self.ours = self._new_ours()

    def close(self) -> None:
        """Unload ours and the library's. Idempotent."""
        self.ours.close()
        for pipeline in self._library.values():
            pipeline.close()
        self._library.clear()

    @property
    def device(self) -> torch.device:
        """Where everything runs."""
        from ourvidz.engine.device import select_device

        return select_device(self.settings.device)

    def ceilings(self) -> Ceilings:
        """Return this machine's rates; measured now if nobody gave them."""
        if self._ceilings is None:
            from ourvidz.bench.limits import ceilings_of, measure_limits
            from ourvidz.engine.device import release_unused

            self.tell("measuring this machine's ceilings")
            self._ceilings = ceilings_of(list(measure_limits(self.device)))
            release_unused(self.device)
        return self._ceilings

    def run(self, case: Case) -> Outcome:
        """Measure one case.

        Raises:
            ModelMissing: of the pocket profile, whose models ship with the package.
            OurVidzError: our side failed at ``exact``.
        """
        started_s = time.perf_counter()
        if not case.has_peers or case.roles != self._last_roles:
            self.close()
        self._last_roles = case.roles
        for role in case.roles:
            self._ensure(self._model(role))
        if self.work(case, self.request(case)) is not None:
            self.ceilings()  # before the memory is full of models
        lanes, failures = _warmed_up(_LANES[case.name](self, case), self.tell)
        failed, rounds = take_turns(
            lanes,
            repeats=1 if case.name == "peak_memory" else self.options.repeats,
            end_s=started_s + self.options.budget_s,
            tell=self.tell,
        )
        kept = [lane for lane in lanes if lane not in failed]
        floors = {id(lane): floor for lane in kept if (floor := self._floor_s(lane)) is not None}
        results = results_of(case, kept, rounds, floors=floors, notes=self._notes(case))
        return Outcome(
            results=results,
            failures=failures + [f"{lane.title}: {why}" for lane, why in failed.items()],
        )

    def _floor_s(self, lane: Lane) -> float | None:
        work = lane.work()
        if work is None:
            return None
        try:
            return floor_s(work, self.ceilings(), _promise(lane))
        except InvalidRequest as error:  # a ceiling that this machine could not measure
            self.tell(f"no floor of {lane.title}: {error.message}")
            return None

    # What lanes are made of ----------------------------------------------------------------------

    def fidelities(self, case: Case) -> tuple[Fidelity, ...]:
        """Return those of ours that are measured."""
        chosen = self.options.fidelities
        if chosen is None:
            chosen = tuple(Fidelity) if self.device.type == "cuda" else (Fidelity.EXACT,)
        return tuple(fidelity for fidelity in case.fidelities if fidelity in chosen)

    def request(
        self,
        case: Case,
        fidelity: Fidelity = Fidelity.EXACT,
        *,
        prompt: str | None = None,
        job_type: str | None = None,
    ) -> GenerationRequest:
        """Return what a case runs."""
        return request_of(
            case,
            catalogue=self.catalogue,
            settings=self.settings,
            fidelity=fidelity,
            values=self.options.values,
            prompt=prompt,
            job_type=job_type,
        )

    def peers(self) -> tuple[tuple[str, bool], ...]:
        """Return the library's systems that are measured, and whether each is its best."""
        has_best = self.options.has_best
        if has_best is None:
            has_best = self.device.type == "cuda"
        if not self.options.has_library:
            return ()
        return ((LIBRARY, False), (LIBRARY_BEST, True)) if has_best else ((LIBRARY, False),)

    def work(self, case: Case, request: GenerationRequest) -> Work | None:
        """Return the arithmetic of one run."""
        model = self._model(Role.ENHANCER if case.name == "qwen_256" else case.roles[0])
        return work_of(
            case,
            request,
            configs_of(model, self.locate(model.id)),
            text_tokens=self.catalogue.models[request.model].prompt_token_limit,
        )

    def locate(self, model_id: str) -> Path:
        """Return a model's folder."""
        return model_locator(self.settings)(model_id)

    def library_wan(self, *, is_best: bool) -> LibraryWan:
        """Return the library's video pipeline, loaded once."""
        from ourvidz.bench.library import LibraryWan

        model = self._model(Role.VIDEO)
        make = partial(
            LibraryWan,
            self.locate(model.id),
            device=self.device,
            text_tokens=model.prompt_token_limit,
            is_best=is_best,
            share=self._library.get("wan") if is_best else None,
        )
        return self._kept("wan", make, is_best=is_best)

    def library_sdxl(self, *, is_best: bool) -> LibrarySdxl:
        """Return the library's image pipeline, loaded once."""
        from ourvidz.bench.library import LibrarySdxl

        make = partial(
            LibrarySdxl,
            self.locate(self._model(Role.IMAGE).id),
            device=self.device,
            is_best=is_best,
            compile_unet=self.options.compile_unet,
            share=self._library.get("sdxl") if is_best else None,
        )
        return self._kept("sdxl", make, is_best=is_best)

    def library_qwen(self) -> LibraryQwen:
        """Return the library's language model, loaded once."""
        from ourvidz.bench.library import LibraryQwen

        make = partial(LibraryQwen, self.locate(self._model(Role.ENHANCER).id), device=self.device)
        return self._kept("qwen", make, is_best=False)

    def _kept(self, family: str, make: Callable[[], Any], *, is_best: bool) -> Any:
        key = f"{family}-best" if is_best else family
        if key not in self._library:
            self.tell(f"loading the library's {key}")
            self._library[key] = make()
        return self._library[key]

    def _new_ours(self) -> Ours:
        return Ours(settings=self.settings, catalogue=self.catalogue, folder=self.folder)

    def _model(self, role: Role) -> Model:
        return self.catalogue.model_for(self.settings.profile, role)

    def _ensure(self, model: Model) -> None:
        """Make up a full-size model of random values where its files are not here."""
        try:
            self.locate(model.id)
        except ModelMissing:
            if model.profile != "full":
                raise
            from ourvidz.checkpoints.synth import write_synth

            self.tell(f"{model.id} is not here: writing one of random values")
            out = self.settings.resolved_models_dir / model.id
            write_synth(family=model.family, size="full", out=out, seed=SEED)  # type: ignore[arg-type]

    def _notes(self, case: Case) -> str:
        models = [self._model(role).id for role in case.roles]
        manifests = [read_manifest(self.locate(model)) for model in models]
        is_random = any(
            manifest is not None and isinstance(manifest.source, SyntheticSource)
            for manifest in manifests
        )
        parts = [case.text, f"Models: {', '.join(models)}."]
        if is_random:
            parts.append("Random weights.")
        if self.options.values:
            changed = ", ".join(f"{name} {value}" for name, value in self.options.values.items())
            parts.append(f"Smaller than the case: {changed}.")
        parts.append(f"Seed {SEED}; lanes in turns after a warm-up; low and high are min and max.")
        return " ".join(parts)


def _promise(lane: Lane) -> Fidelity:
    return Fidelity(lane.fidelity) if lane.system == OURS else Fidelity.EXACT


# ------------------------------------------------------------------------------------------- turns


def _warmed_up(lanes: Sequence[Lane], tell: Callable[[str], None]) -> tuple[list[Lane], list[str]]:
    """Warm every lane up; one that can't run is left out, ours at ``exact`` excepted."""
    ready: list[Lane] = []
    failures: list[str] = []
    for lane in lanes:
        tell(f"warming up {lane.title}")
        try:
            lane.warm_up()
        except Exception as error:  # one system's failure is no reason to lose the others' figures
            if _must_run(lane):
                raise
            failures.append(f"{lane.title}: {_reason(error)}")
            tell(f"left out: {failures[-1]}")
        else:
            ready.append(lane)
    return ready, failures


def take_turns(
    lanes: Sequence[Lane],
    *,
    repeats: int,
    end_s: float,
    tell: Callable[[str], None] = lambda text: None,
    now_s: Callable[[], float] = time.perf_counter,
) -> tuple[dict[Lane, str], list[dict[Lane, Sample]]]:
    """Run the lanes in turns; return those that failed, with why, and the samples by round.

    Args:
        lanes: warmed up.
        repeats: rounds, 1 or more.
        end_s: on the clock of ``now_s``: a round begins only if one as long as the longest so far
            would end before it. The first begins in any case.
        tell: hears of every sample.
        now_s: the clock.

    Raises:
        Exception: whatever our lane at ``exact`` raised.
    """
    failed: dict[Lane, str] = {}
    rounds: list[dict[Lane, Sample]] = []
    longest_s = 0.0
    for number in range(1, repeats + 1):
        begun_s = now_s()
        if rounds and begun_s + longest_s > end_s:
            tell(f"the budget is used up after {len(rounds)} of {repeats} rounds")
            break
        samples: dict[Lane, Sample] = {}
        for lane in (lane for lane in lanes if lane not in failed):
            try:
                samples[lane] = lane.run()
            except Exception as error:  # as above
                if _must_run(lane):
                    raise
                failed[lane] = _reason(error)
                tell(f"left out: {lane.title}: {failed[lane]}")
                continue
            shown = ", ".join(f"{name} {value:.4g}" for name, value in samples[lane].items())
            tell(f"round {number}: {lane.title}: {shown}")
        rounds.append(samples)
        longest_s = max(longest_s, now_s() - begun_s)
    return failed, rounds


def _must_run(lane: Lane) -> bool:
    return lane.system == OURS and lane.fidelity == Fidelity.EXACT.value


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# ----------------------------------------------------------------------------------------- figures


def results_of(
    case: Case,
    lanes: Sequence[Lane],
    rounds: Sequence[Mapping[Lane, Sample]],
    *,
    floors: Mapping[int, float],
    notes: str,
) -> list[BenchmarkResult]:
    """Return a case's figures: what was sampled, and each lane over the others and its floor.

    Args:
        case: what was run.
        lanes: that ran in every round.
        rounds: samples by lane.
        floors: seconds, by ``id`` of the lane.
        notes: for every figure.
    """
    peers = {lane.system: lane for lane in lanes if lane.system != OURS}
    results: list[BenchmarkResult] = []
    for lane in lanes:
        samples = [samples[lane] for samples in rounds]
        names = dict.fromkeys(name for sample in samples for name in sample)
        # A phase that a run did not have took it no time.
        figures = {name: [sample.get(name, 0.0) for sample in samples] for name in names}
        if lane.system == OURS:
            for system, metric in ((LIBRARY, RATIO), (LIBRARY_BEST, RATIO_BEST)):
                if system in peers:
                    theirs = [samples[peers[system]] for samples in rounds]
                    figures[metric] = list(map(_ratio, samples, theirs))
        if id(lane) in floors:
            figures[RATIO_FLOOR] = [sample[SECONDS] / floors[id(lane)] for sample in samples]
        said = "; ".join([notes, *lane.remarks])
        results += [_figure(case, lane, metric, values, said) for metric, values in figures.items()]
    return results


def _ratio(ours: Sample, theirs: Sample) -> float:
    """Return our time over theirs; of tokens, a token's, since answers differ in length."""
    if TOKENS_PER_S in ours:
        return theirs[TOKENS_PER_S] / ours[TOKENS_PER_S]
    return ours[SECONDS] / theirs[SECONDS]


def _figure(
    case: Case, lane: Lane, metric: str, values: Sequence[float], notes: str
) -> BenchmarkResult:
    rounded = [float(f"{value:.6g}") for value in values]
    return BenchmarkResult(
        case=case.name,
        system=lane.system,
        fidelity=lane.fidelity,
        metric=metric,
        value=min(max(statistics.median(rounded), min(rounded)), max(rounded)),
        unit="s" if metric.startswith(PHASE) else UNITS[metric],
        n=len(rounded),
        low=min(rounded),
        high=max(rounded),
        notes=notes,
    )


def check_record(path: Path) -> None:
    """Refuse a record that this machine and commit can't be added to, before anything is run.

    Raises:
        InvalidRequest: it is of another suite, commit or environment.
    """
    if not path.exists():
        return
    there = read_record(path)
    facts = json.dumps(environment(), sort_keys=True)
    same_machine = json.dumps(dict(there.environment), sort_keys=True) == facts
    if there.suite != SUITE or there.commit != git_commit() or not same_machine:
        raise InvalidRequest(
            f"{path.name!r} was measured by another suite, commit or machine",
            param="record",
            hint="name another file, or begin it anew with `--fresh`",
        )


def append(path: Path, results: Sequence[BenchmarkResult], *, is_fresh: bool = False) -> None:
    """Add results to a record; see ``write_record``."""
    if is_fresh:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, new_record(SUITE, results, now=datetime.now(UTC)))


# ------------------------------------------------------------------------------------------- lanes


def _quick(request: GenerationRequest) -> GenerationRequest:
    """Return the request with as few steps as warm everything up: shapes stay as they are."""
    steps = min(_WARM_UP_STEPS, request.num_inference_steps)
    return dataclasses.replace(request, num_inference_steps=steps)


def _ours_lane(
    bench: Bench,
    case: Case,
    fidelity: Fidelity,
    run: Callable[[GenerationRequest], Sample],
    warm_up: Callable[[GenerationRequest], object],
) -> Lane:
    request = bench.request(case, fidelity)
    lane = Lane(
        system=OURS,
        fidelity=fidelity.value,
        run=partial(run, request),
        warm_up=partial(warm_up, _quick(request)),
        work=partial(bench.work, case, request),
    )
    if fidelity not in bench.catalogue.models[request.model].fidelities:
        lane.remark(f"fidelity {fidelity.value} is not yet offered for this model")
    return lane


def _library_lane(
    bench: Bench, case: Case, system: str, run: Callable[[], Sample], warm_up: Callable[[], object]
) -> Lane:
    request = bench.request(case)
    return Lane(
        system=system,
        fidelity=LIBRARY_FIDELITY,
        run=run,
        warm_up=warm_up,
        work=partial(bench.work, case, request),
    )


def _file_lanes(bench: Bench, case: Case) -> list[Lane]:
    """``video_fast``, ``distilled_4_step`` and ``sdxl_image_fast``: a job to its files."""

    lanes: list[Lane] = []
    for fidelity in bench.fidelities(case):
        is_exact = fidelity is Fidelity.EXACT
        takes = _Takes(bench.token if is_exact else f"{bench.token} {fidelity.value}")

        def job(request: GenerationRequest, takes: _Takes = takes) -> Sample:
            driven = bench.ours.run(takes.next(request))
            return {SECONDS: driven.wall_s, **_named(driven.result.timing.phases_s)}

        lanes.append(_ours_lane(bench, case, fidelity, job, job))
    request = bench.request(case)
    pipeline = _their_images if case.roles == (Role.IMAGE,) else _their_video
    for system, is_best in bench.peers():
        theirs = partial(pipeline, bench, _Takes(bench.token), is_best=is_best)
        run, warm_up = partial(theirs, request), partial(theirs, _quick(request))
        lanes.append(_library_lane(bench, case, system, run, warm_up))
        if pipeline is _their_video:
            lanes[-1].remark(_exporter())
    return lanes


def _named(phases_s: Mapping[str, float]) -> Sample:
    return {f"{PHASE}{name}": seconds for name, seconds in phases_s.items()}


@dataclass(slots=True)
class _Takes:
    """Makes every prompt of a lane new, so that no embeddings are found kept.

    The lanes of one token have the same prompts in the same rounds.
    """

    token: str
    count: int = 0

    def next(self, request: GenerationRequest) -> GenerationRequest:
        self.count += 1
        prompt = f"{request.prompt}, take {self.token} {self.count}"
        return dataclasses.replace(request, prompt=prompt)


def _their_video(
    bench: Bench, takes: _Takes, request: GenerationRequest, *, is_best: bool
) -> Sample:
    path = bench.folder / ("library-best.mp4" if is_best else "library.mp4")
    return {SECONDS: bench.library_wan(is_best=is_best).video(takes.next(request), path)}


def _their_images(
    bench: Bench, takes: _Takes, request: GenerationRequest, *, is_best: bool
) -> Sample:
    stem = "library-best" if is_best else "library"
    pipeline = bench.library_sdxl(is_best=is_best)
    return {SECONDS: pipeline.images(takes.next(request), bench.folder, stem)}


def _exporter() -> str:
    from ourvidz.bench.library import has_exporter

    how = "its export_to_video" if has_exporter() else "our writer (imageio-ffmpeg is not here)"
    return f"MP4 by {how}"


def _forward_lanes(bench: Bench, case: Case) -> list[Lane]:
    def passes(request: GenerationRequest) -> Sample:
        run = bench.ours.run_engine(request)
        step_s = median_step_s(run.result.step_times_s)
        assert step_s is not None, "a job has steps"
        return {SECONDS: step_s / (2 if request.uses_guidance else 1)}

    lanes = [
        _ours_lane(bench, case, each, passes, bench.ours.run_engine)
        for each in bench.fidelities(case)
    ]
    request = bench.request(case)
    for system, is_best in bench.peers():
        run = partial(_their_passes, bench, request, is_best=is_best)
        warm_up = partial(_their_passes, bench, _quick(request), is_best=is_best)
        lanes.append(_library_lane(bench, case, system, run, warm_up))
    return lanes


def _their_passes(bench: Bench, request: GenerationRequest, *, is_best: bool) -> Sample:
    times_s = bench.library_wan(is_best=is_best).forward_times_s(request)
    return {SECONDS: statistics.median(times_s)}


def _decode_lanes(bench: Bench, case: Case) -> list[Lane]:
    def decode(request: GenerationRequest) -> Sample:
        return {SECONDS: bench.ours.run_engine(request).device_s(Phase.DECODE)}

    lanes = [_ours_lane(bench, case, each, decode, decode) for each in bench.fidelities(case)]
    request = bench.request(case)
    for system, is_best in bench.peers():
        run = partial(_their_decode, bench, request, is_best=is_best)
        lanes.append(_library_lane(bench, case, system, run, run))
    return lanes


def _their_decode(bench: Bench, request: GenerationRequest, *, is_best: bool) -> Sample:
    return {SECONDS: bench.library_wan(is_best=is_best).decode_s(request)}


def _enhancer_lanes(bench: Bench, case: Case) -> list[Lane]:
    num_tokens: list[int] = []  # of our answer at exact: theirs shall be as long

    def answer(request: GenerationRequest) -> Sample:
        run = bench.ours.run_enhancer(request)
        count, seconds = _num_tokens(run), run.device_s(Phase.ENHANCE_RUN)
        if not num_tokens:
            num_tokens.append(count)
        return {SECONDS: seconds, TOKENS_PER_S: count / seconds}

    def theirs(*, is_best: bool) -> Sample:
        count = num_tokens[0]
        seconds = bench.library_qwen().seconds(_input_ids(bench, case), count, is_best=is_best)
        return {SECONDS: seconds, TOKENS_PER_S: count / seconds}

    def work(request: GenerationRequest) -> Work | None:
        plan = request.enhancement
        assert plan is not None, case.job_type
        as_long = dataclasses.replace(plan, max_new_tokens=num_tokens[0])
        return bench.work(case, dataclasses.replace(request, enhancement=as_long))

    lanes = [_ours_lane(bench, case, each, answer, answer) for each in bench.fidelities(case)]
    for system, is_best in bench.peers():
        run = partial(theirs, is_best=is_best)
        lanes.append(_library_lane(bench, case, system, run, run))
    for lane in lanes:
        lane.work = partial(work, bench.request(case, _promise(lane)))
    return lanes


def _num_tokens(run: EngineRun) -> int:
    enhancement = run.result.enhancement
    assert enhancement is not None, "the enhancer was asked"
    return max(1, enhancement.num_tokens_out)


def _input_ids(bench: Bench, case: Case) -> torch.Tensor:
    from ourvidz.models.qwen.encode import encode
    from ourvidz.models.qwen.load import load_tokenizer

    request = bench.request(case)
    plan = request.enhancement
    assert plan is not None, case.job_type
    messages = [
        {"role": "system", "content": plan.template},
        {"role": "user", "content": request.prompt},
    ]
    tokenizer = load_tokenizer(bench.locate(plan.model))
    return encode(messages, tokenizer=tokenizer, device=bench.device)


def _next_lanes(bench: Bench, case: Case) -> list[Lane]:
    request, takes = bench.request(case), _Takes(bench.token)

    def job() -> Sample:
        driven = bench.ours.run_stored(takes.next(request))
        assert driven.to_first_step_s is not None, "a job denoises"
        lane.remark(f"models {driven.result.timing.state.value}")
        return {SECONDS: driven.to_first_step_s}

    def warm_up() -> None:
        job()
        lane.remarks.clear()

    lane = Lane(system=OURS, fidelity=Fidelity.EXACT.value, run=job, warm_up=warm_up)
    return [lane]


def _first_lanes(bench: Bench, case: Case) -> list[Lane]:
    request = bench.request(case)
    numbers = iter(range(1, 10_000))

    def process() -> Sample:
        run = run_process(
            request,
            folder=bench.folder,
            stem=f"process-{next(numbers)}",
            settings=bench.settings,
        )
        lane.remark(f"models {run.state.value}")
        return {
            SECONDS: run.to_first_step_s,
            FIRST_STEP: run.first_step_s,
            **_named(run.phases_s),
        }

    def warm_up() -> None:  # fills the page cache and the compile cache
        process()
        lane.remarks.clear()

    lane = Lane(system=OURS, fidelity=Fidelity.EXACT.value, run=process, warm_up=warm_up)
    return [lane]


def _load_lanes(bench: Bench, case: Case) -> list[Lane]:
    from ourvidz.bench.limits import Limit, drop_from_page_cache, read_rate

    model = bench.catalogue.model_for(bench.settings.profile, case.roles[0])
    folder = bench.locate(model.id)
    files = sorted(folder.rglob("*.safetensors"))
    num_bytes = sum(path.stat().st_size for path in files)

    def load_s() -> float:
        ours = Ours(settings=bench.settings, catalogue=bench.catalogue, folder=bench.folder)
        engine = ours.worker.engine
        start_s = time.perf_counter()
        engine.load(model.id, family=model.family, cancel=CancelToken())
        seconds = time.perf_counter() - start_s
        ours.close()
        return seconds

    def load() -> Sample:
        rates = [
            found.rate
            for is_direct in (False, True)
            if isinstance(
                found := read_rate(folder, max_bytes=_DISK_BYTES, samples=1, is_direct=is_direct),
                Limit,
            )
        ]
        is_cold = drop_from_page_cache(files)
        lane.remark("cold" if is_cold else "the page cache could not be emptied")
        lane.remark(f"{num_bytes / 1e9:.2f} GB")
        seconds = load_s()
        return {SECONDS: seconds, SHARE: num_bytes / seconds / max(rates)}

    lane = Lane(system=OURS, fidelity=Fidelity.EXACT.value, run=load, warm_up=load_s)
    return [lane]


def _memory_lanes(bench: Bench, case: Case) -> list[Lane]:
    job_types = ("video_fast", "sdxl_image_fast", "video7b_fast_enhanced")
    requests = [_quick(bench.request(case, job_type=name)) for name in job_types]
    field_name = "device_peak_reserved_bytes" if bench.device.type == "cuda" else "host_peak_bytes"

    def rounds() -> Sample:
        first = [bench.ours.run(request).result for request in requests]
        second = [bench.ours.run(request).result for request in requests]
        states = [state for job in second for state in loaded_from(job.timing.spans)]
        if LoadState.COLD in states:
            raise OurVidzError(
                "a model was read from disk again in the second round",
                hint="the memory is too small for all three families beside each other",
            )
        lane.remark(
            f"second round: {len(states)} components loaded from memory"
            if states
            else "second round: all resident"
        )
        peaks = [float(job.memory[field_name]) for job in (*first, *second)]
        return {GIB: max(peaks) / 2**30}

    lane = Lane(system=OURS, fidelity=Fidelity.EXACT.value, run=rounds, warm_up=lambda: None)
    return [lane]


_LANES: Mapping[str, Callable[[Bench, Case], list[Lane]]] = {
    "video_fast": _file_lanes,
    "wan_forward": _forward_lanes,
    "vae_decode": _decode_lanes,
    "distilled_4_step": _file_lanes,
    "next_job": _next_lanes,
    "sdxl_image_fast": _file_lanes,
    "qwen_256": _enhancer_lanes,
    "load": _load_lanes,
    "first_job": _first_lanes,
    "peak_memory": _memory_lanes,
}
