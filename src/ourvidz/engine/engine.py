"""One engine a device: keeps components loaded and turns requests into frames."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch

from ourvidz.catalog.techniques import techniques_of
from ourvidz.core.cancel import CancelToken
from ourvidz.core.clock import Clock
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import (
    ConfigInvalid,
    InvalidRequest,
    ModelMissing,
    OurVidzError,
    OutOfMemory,
)
from ourvidz.core.event import FramesReady, JobEvent, PhaseEnded, PhaseStarted, PromptEnhanced
from ourvidz.core.phase import CompileState, LoadState, Phase
from ourvidz.core.prompts import check_token_count
from ourvidz.core.recorder import SpanRecorder
from ourvidz.core.request import EnhancementPlan, Fidelity, GenerationRequest
from ourvidz.engine import enhance, sdxl, wan
from ourvidz.engine.batch import Batch, BatchMember, BatchReport, Running
from ourvidz.engine.chat import ChatEndpoint
from ourvidz.engine.context import JobContext, Patience, wait_for, workload_of
from ourvidz.engine.device import device_memory, release_unused, reset_peaks, select_device
from ourvidz.engine.draft import calibration_of
from ourvidz.engine.embed_files import EmbedFiles
from ourvidz.engine.embeds import TextEmbedCache, TextKey
from ourvidz.engine.fit import MemoryNeed, tried_bytes, what_fits
from ourvidz.engine.group.job import load_on_others
from ourvidz.engine.group.leader import Group
from ourvidz.engine.group.messages import FollowerSettings
from ourvidz.engine.memory_plan import MemoryPressure
from ourvidz.engine.residency import Component, ComponentSpec, Placed, Residency
from ourvidz.engine.result import EngineResult
from ourvidz.engine.variants import Variant, base_of

_COLDEST_FIRST = (LoadState.COLD, LoadState.WARM, LoadState.RESIDENT)

# Images in one batch where nothing is known of the memory that one takes.
DEFAULT_BATCH_ITEMS = 8
_USABLE_SHARE = 0.85  # of the device: a batch must not fill it to the brim

# torch's CPU allocator has no error class of its own (c10/core/impl/alloc_cpu.cpp).
_CPU_OOM_TEXT = ("can't allocate memory", "not enough memory", "Cannot allocate memory")


class _Family(Protocol):
    """What the engine asks of any family's driver."""

    def import_libraries(self) -> None: ...

    def component_specs(self, context: JobContext, model_id: str) -> Sequence[ComponentSpec]: ...


_ENCODERS = {"wan": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}
_FAMILIES: dict[str, _Family] = {"wan": wan, "sdxl": sdxl, "qwen": enhance}


class Engine:
    """Runs jobs whose generators one thread drives, one after another or in turns.

    One engine a device. ``resident``, ``load``, ``unload`` and ``encode_ahead`` may be called from
    other threads meanwhile.
    """

    def __init__(
        self,
        *,
        locate: Callable[[str], Path],
        token_limits: Mapping[str, int],
        clock: Clock,
        device: str = "auto",
        dtype: str = "auto",
        techniques_off: Collection[str] = (),
        cache_dir: Path | None = None,
        vram_gib: float | None = None,
        host_cache_gib: float | None = None,
        embed_files: EmbedFiles | None = None,
        variants: Mapping[str, Variant] | None = None,
        endpoint: ChatEndpoint | None = None,
        high_models: Collection[str] = (),
        group_size: int = 1,
    ) -> None:
        """Choose the device; nothing is loaded before the first job.

        Args:
            locate: catalogue id to the checkpoint's folder; raises ``ModelMissing``.
            token_limits: tokens that each model's text encoder reads, by catalogue id.
            clock: times everything.
            device: auto, cpu, cuda or cuda:N.
            dtype: auto, float32, bfloat16 or float16.
            techniques_off: names of ``catalog.techniques`` that no job may use.
            cache_dir: remembers between processes what this machine does fastest.
            vram_gib: pretend that the device has so much memory.
            host_cache_gib: host memory for copies of weights; see ``Residency``.
            embed_files: where embeddings of prompts outlive the process; None: nowhere.
            variants: models made of another one's files, by catalogue id.
            endpoint: enhances prompts in place of a model on the device.
            high_models: catalogue ids of the models whose `draft` may use 8 bits, since they
                offer `high`.
            group_size: processes that share a job, one a GPU from ``device`` on, this one
                counted; the others start at once.

        Raises:
            ConfigInvalid: no such device.
            UnknownName: ``techniques_off`` names no technique.
        """
        self._techniques = {
            (fidelity, has_high): techniques_of(fidelity, off=techniques_off, has_high=has_high)
            for fidelity in Fidelity
            for has_high in (False, True)
        }
        self._high_models = frozenset(high_models)
        self._cache_dir = cache_dir
        self.device = select_device(device)
        self._clock = clock
        self._locate = locate
        self._token_limits = token_limits
        self._residency = Residency(
            device=self.device,
            dtype=dtype,
            vram_bytes=_bytes_of(vram_gib),
            host_cache_bytes=_bytes_of(host_cache_gib),
            clock=clock,
        )
        self._tokenizers: dict[tuple[str, str], Any] = {}
        self._embeds = TextEmbedCache(files=embed_files)
        self._dtype = dtype
        self._variants = dict(variants or {})
        self._endpoint = endpoint
        self._imported: set[str] = set()
        self._specs: dict[str, Sequence[ComponentSpec]] = {}  # of hinted models
        self._num_running = 0
        self._unmeasured = 0  # of those: jobs of shapes whose memory is not known yet
        self._item_bytes: dict[str, int] = {}  # activations an image, by batch shape
        self._group = _make_group(
            group_size,
            device=self.device,
            settings=FollowerSettings(
                dtype=dtype,
                vram_bytes=_bytes_of(vram_gib),
                host_cache_bytes=0,  # the leader's copies are one machine's share already
                cache_dir=cache_dir,
                num_threads=max(1, torch.get_num_threads() // group_size),
            ),
        )

    def close(self) -> None:
        """Unload everything. Idempotent."""
        if self._group is not None:
            self._group.close()
        self._residency.close()
        self._tokenizers.clear()
        self._embeds.clear()

    def forget_prompts(self) -> None:
        """Forget what text encoders made of prompts, so that the next job encodes its own.

        Files of it stay.
        """
        self._embeds.clear()

    def generate(
        self,
        request: GenerationRequest,
        *,
        recorder: SpanRecorder,
        cancel: CancelToken,
        enhancement: Enhancement | None = None,
        patience: Patience | None = None,
    ) -> Generator[JobEvent, None, EngineResult]:
        """Run ``request``, yielding events; decoded frames come as ``FramesReady``.

        Args:
            enhancement: made by an earlier attempt; the enhancer is then not asked again.
            patience: for jobs that take turns on one thread; without it waits block the thread.

        Raises:
            InvalidRequest: a prompt of more tokens than the model reads, or a size that the
                checkpoint can't make.
            ModelMissing: files that are not there.
            CheckpointInvalid: files that can't be used.
            EnhancementFailed: an unusable answer, where the request says to fail.
            OutOfMemory: with what would fit; what no other job uses was unloaded, the engine can
                go on.
            Cancelled: ``cancel`` was set.
        """
        context = self._context(recorder, cancel, patience, request.fidelity, request.model)
        return (
            yield from self._job(context, request, lambda: self._run(context, request, enhancement))
        )

    def enhance_only(
        self,
        request: GenerationRequest,
        *,
        recorder: SpanRecorder,
        cancel: CancelToken,
        patience: Patience | None = None,
    ) -> Generator[JobEvent, None, EngineResult]:
        """Enhance the request's prompt for its model, generating nothing; errors as ``generate``.

        The result's ``enhancement`` is what was asked for.
        """
        context = self._context(recorder, cancel, patience, request.fidelity, request.model)
        return (
            yield from self._job(context, request, lambda: self._enhance_only(context, request))
        )

    def generate_batch(
        self,
        members: Sequence[BatchMember],
        *,
        max_items: int,
        patience: Patience | None = None,
    ) -> Generator[BatchReport, None, None]:
        """Run jobs of one ``batch_shape`` together; see ``engine.batch``.

        Each member's end comes as ``BatchEnd``, with its result or its error; nothing is raised
        for what a member met. A job that still is to be enhanced can't be a member.

        Args:
            max_items: images in one denoising; more members run in several.
        """
        assert len({member.request.batch_shape for member in members}) == 1, "one shape"
        running = [
            Running(
                index=index,
                request=member.request,
                context=self._context(
                    member.recorder,
                    member.cancel,
                    patience,
                    member.request.fidelity,
                    member.request.model,
                ),
                prompt=_prompt_of(member.request, member.enhancement),
            )
            for index, member in enumerate(members)
        ]
        batch = Batch(
            running,
            token_limit=self._token_limits[members[0].request.model],
            imports=lambda group: self._import_libraries(group, {"sdxl": sdxl}),
            result_of=lambda member, batched_with: replace(
                self._result(member.context, member.prompt, members[member.index].enhancement),
                batched_with=batched_with,
            ),
        )
        error: Exception | None = None
        self._begin()
        try:
            yield from batch.run(max_items=max_items)
        except OurVidzError as raised:
            error = raised
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as raised:
            if not _is_out_of_memory(raised):
                raise
            error = OutOfMemory(str(raised))
        finally:
            self._num_running -= 1
        # Outside the handler: inside it the traceback would keep every tensor of the job alive.
        if isinstance(error, OutOfMemory):
            together = replace(
                members[0].request, num_images=sum(each.request.num_images for each in members)
            )
            error = self._out_of_memory(together, error.message)
        if error is not None:
            yield from batch.fail_all(error)

    def encode_ahead(
        self, request: GenerationRequest, *, enhancement: Enhancement | None = None
    ) -> bool:
        """Make and keep the embeddings of a job's prompts, if that needs no loading.

        Its ``encode`` phase then takes them (fact ``cached``); a job of other texts never does.

        Returns:
            Whether they are kept: False where no encoder is resident to make them with, where the
            prompt is still to be enhanced, or where it is longer than the model reads.
        """
        if request.enhancement is not None and enhancement is None:
            return False
        recorder, cancel = SpanRecorder(self._clock), CancelToken()
        context = self._context(recorder, cancel, None, request.fidelity, request.model)
        prompt, limit = _prompt_of(request, enhancement), self._token_limits[request.model]
        if base_of(self._variants, request.model) not in self._residency.bytes_by_model():
            return False
        with contextlib.suppress(InvalidRequest):
            self._check_tokens(context, request, prompt)
            if request.family == "wan":
                return wan.embed_ahead(context, request, prompt=prompt, token_limit=limit)
            return sdxl.embed_ahead(context, request, prompt=prompt)
        return False

    def prepare_texts(
        self, model_id: str, *, family: str, texts: Sequence[str], cancel: CancelToken
    ) -> int:
        """Make and keep the embeddings of texts that most jobs need: default negative prompts.

        Text encoders are loaded only where one is missing, and nothing else of the model is.

        Returns:
            How many were made; the others were kept already.

        Raises:
            ModelMissing, CheckpointInvalid, Cancelled: as ``load``.
        """
        context = self._context(SpanRecorder(self._clock), cancel, None)
        limit = self._token_limits[model_id]
        module = wan if family == "wan" else sdxl
        try:
            for _ in self._import_libraries(context, {family: _FAMILIES[family]}):
                pass
            missing = [
                text
                for text in dict.fromkeys(texts)
                if context.find_texts([_text_key(context, module, model_id, text, limit)]) == [None]
            ]
            if not missing:
                return 0
            encoders = module.request_encoders(context, model_id)
            for _ in wait_for(context, Phase.LOAD_TEXT_ENCODER, encoders):
                pass
            modules = [future.result().module for future in encoders]
            for text in missing:
                cancel.raise_if_cancelled()
                if module is wan:
                    wan.embed(context, model_id, text, modules, token_limit=limit)
                else:
                    sdxl.embed(context, model_id, text, modules)
        finally:
            context.release_all()
        return len(missing)

    def resident(self) -> Mapping[str, int]:
        """Return the bytes of the weights that are loaded, by model.

        A variant counts as loaded with its base.
        """
        loaded = self._residency.bytes_by_model()
        variants = self._variants.items()
        return loaded | {id: loaded[v.base] for id, v in variants if v.base in loaded}

    def group_facts(self) -> Mapping[str, Any]:
        """Return how the group is that shares jobs; empty without one."""
        return {} if self._group is None else self._group.facts()

    def pressure(self) -> MemoryPressure:
        """Return how full the device is."""
        return self._residency.pressure()

    def components(self) -> tuple[Placed, ...]:
        """Return where each component is that was ever asked for."""
        return self._residency.components()

    def hint(
        self, models: Sequence[str], *, families: Mapping[str, str], is_idle: bool = False
    ) -> None:
        """Say which models coming jobs will use, the next one first, one entry a job.

        They come in the background, as ``Residency.hint`` says. While jobs run, nothing that
        takes long in Python is begun: no libraries are imported. On a CPU, and beside a job of a
        shape whose memory was never measured, files come into the page cache only.

        Args:
            models: catalogue ids; what is not here, and what is not needed here, is left out.
            families: of these models.
            is_idle: no job runs.
        """
        wanted = [model_id for model_id in models if self._is_wanted(families[model_id])]
        specs: dict[str, Sequence[ComponentSpec]] = {}
        for model_id in dict.fromkeys(wanted):
            with contextlib.suppress(ModelMissing):  # a job that needs it tells its owner
                specs[model_id] = self._component_specs(model_id, families[model_id])
        used = {families[model_id]: _FAMILIES[families[model_id]] for model_id in specs}
        if is_idle:
            context = self._context(SpanRecorder(self._clock), CancelToken(), None)
            for _ in self._import_libraries(context, used):
                pass
        self._residency.hint(
            [base_of(self._variants, model_id) for model_id in wanted if model_id in specs],
            specs=[spec for each in specs.values() for spec in each],
            may_load=is_idle or (self._may_load_beside() and self._imported >= used.keys()),
        )

    def _may_load_beside(self) -> bool:
        return self.device.type == "cuda" and self._unmeasured == 0

    def _is_wanted(self, family: str) -> bool:
        return family != "qwen" or self._endpoint is None

    def _component_specs(self, model_id: str, family: str) -> Sequence[ComponentSpec]:
        if model_id not in self._specs:
            context = self._context(SpanRecorder(self._clock), CancelToken(), None)
            self._specs[model_id] = _FAMILIES[family].component_specs(context, model_id)
        return self._specs[model_id]

    def keep_text(self, model_id: str, *, family: str, text: str) -> bool:
        """Make and keep the embeddings of one text, if that needs no loading.

        For the driving thread, between jobs.

        Returns:
            Whether they are kept: False where no encoder is resident to make them with.
        """
        context = self._context(SpanRecorder(self._clock), CancelToken(), None)
        module, limit = wan if family == "wan" else sdxl, self._token_limits[model_id]
        base = base_of(self._variants, model_id)
        found = [self._residency.find(base, name) for name in _ENCODERS[family]]
        encoders = [each.module for each in found if each is not None]
        if len(encoders) < len(found):
            return False
        if context.find_texts([_text_key(context, module, model_id, text, limit)]) == [None]:
            if module is wan:
                wan.embed(context, model_id, text, encoders, token_limit=limit)
            else:
                sdxl.embed(context, model_id, text, encoders)
        return True

    def load(self, model_id: str, *, family: str, cancel: CancelToken) -> None:
        """Load all of a model's components and wait for them; on other ranks what they need.

        Raises:
            OutOfMemory: another rank's device is full.
            ModelMissing: files that are not there.
            CheckpointInvalid: files that can't be used.
            Cancelled: ``cancel`` was set.
        """
        context = self._context(SpanRecorder(self._clock), cancel, None)
        module = _FAMILIES[family]
        try:
            for _ in self._import_libraries(context, {family: module}):
                pass
            specs = module.component_specs(context, model_id)
            futures = [context.request(spec) for spec in specs]
            if self._group is not None and family != "qwen":
                for _ in load_on_others(self._group, context, family=family, model_id=model_id):
                    pass
            for _ in wait_for(context, Phase.STARTUP, futures):
                pass
        finally:
            context.release_all()

    def unload(self, model_id: str) -> int:
        """Unload a model, on all ranks, and return its bytes here, 0 where it was not loaded.

        Raises:
            IllegalState: a job uses it.
        """
        base = base_of(self._variants, model_id)
        num_bytes = self._residency.unload(base)
        if self._group is not None:
            self._group.unload(base)
        return num_bytes

    def batch_room(self, request: GenerationRequest) -> int:
        """Return how many images one batch of this shape may have, 1 or more.

        From the memory that an image took the last time; before that, and on a CPU, a job's own
        number or ``DEFAULT_BATCH_ITEMS``, whichever is more.
        """
        default = max(request.num_images, DEFAULT_BATCH_ITEMS)
        item_bytes = self._item_bytes.get(request.batch_shape or "", 0)
        if self.device.type != "cuda" or item_bytes <= 0:
            return default
        pressure = self._residency.pressure()
        room = pressure.budget_bytes * _USABLE_SHARE
        room -= pressure.weights_bytes + pressure.derived_bytes
        return max(1, int(room / item_bytes))

    def _context(
        self,
        recorder: SpanRecorder,
        cancel: CancelToken,
        patience: Patience | None,
        fidelity: Fidelity = Fidelity.EXACT,
        model_id: str = "",
    ) -> JobContext:
        return JobContext(
            device=self.device,
            residency=self._residency,
            recorder=recorder,
            cancel=cancel,
            clock=self._clock,
            locate=self._locate,
            tokenizers=self._tokenizers,
            patience=patience,
            embeds=self._embeds,
            techniques=self._techniques[fidelity, model_id in self._high_models],
            cache_dir=self._cache_dir,
            dtype=self._dtype,
            variants=self._variants,
            group=self._group,
        )

    def _begin(self) -> None:
        if self._num_running == 0:  # with other jobs on the device the peaks are shared
            reset_peaks(self.device)
        self._num_running += 1

    def _job(
        self,
        context: JobContext,
        request: GenerationRequest,
        start: Callable[[], Generator[JobEvent, None, tuple[str, Enhancement | None]]],
    ) -> Generator[JobEvent, None, EngineResult]:
        """Drive one job; what it held is free afterwards.

        One that runs out of memory before its first frame left is run again, once, after what no
        job uses has left the device.
        """
        self._begin()
        is_unmeasured = self._residency.activation_bytes(workload_of(request)) is None
        self._unmeasured += is_unmeasured
        try:
            attempt = _Attempt(start())
            result = yield from attempt.run()
            can_retry = result is None and not attempt.has_frames
            if can_retry and self._residency.shrink(_shortfall(attempt.message)) > 0:
                attempt = _Attempt(start())
                result = yield from attempt.run()
            if result is not None:
                self._learn_item_bytes(request)
                return self._result(context, *result)
        finally:
            self._num_running -= 1
            self._unmeasured -= is_unmeasured
            context.release_all()
        raise self._out_of_memory(request, attempt.message)

    def _learn_item_bytes(self, request: GenerationRequest) -> None:
        """Keep what the job took beside the weights; of a lone job only, whose peak is its."""
        if self.device.type != "cuda" or self._num_running > 1:
            return
        pressure = self._residency.pressure()
        peak_bytes = device_memory(self.device).peak_allocated_bytes
        activations = max(0, peak_bytes - pressure.weights_bytes - pressure.derived_bytes)
        self._residency.learn_activations(workload_of(request), activations)
        if request.batch_shape is not None:
            # A larger batch takes larger graphs too.
            whole = activations + self._residency.idle_bytes
            self._item_bytes[request.batch_shape] = whole // request.num_images

    def _run(
        self, context: JobContext, request: GenerationRequest, enhancement: Enhancement | None
    ) -> Generator[JobEvent, None, tuple[str, Enhancement | None]]:
        plan = request.enhancement if enhancement is None else None
        own_plan = plan if self._endpoint is None else None
        family = wan if request.family == "wan" else sdxl
        yield from self._import_libraries(
            context, {**({"qwen": enhance} if own_plan else {}), request.family: family}
        )
        # Two loads must not fight over one disk and the memory: the enhancer is needed first.
        enhancer = enhance.request_model(context, own_plan.model) if own_plan else None
        prompt = _prompt_of(request, enhancement)
        with context.recorder.span(Phase.PREPARE):
            self._check_tokens(context, request, prompt)
            calibration_of(context, request)  # refuses what it must before anything loads
            # An enhanced prompt is new: its encoder loads while the enhancer writes it.
            needs_encoder = plan is not None or not self._is_embedded(context, request, prompt)
        futures = (
            wan.request_components(context, request.model, with_text_encoder=needs_encoder)
            if request.family == "wan"
            else sdxl.request_components(context, request.model, with_encoders=needs_encoder)
        )
        if plan:
            prompt, enhancement = yield from self._enhance(context, request, plan, enhancer)
            enhancer = None  # its weights may go now
        if isinstance(futures, wan.WanFutures):
            limit = self._token_limits[request.model]
            yield from wan.run(context, request, prompt=prompt, token_limit=limit, futures=futures)
        else:
            yield from sdxl.run(context, request, prompt=prompt, futures=futures)
        return prompt, enhancement

    def _is_embedded(self, context: JobContext, request: GenerationRequest, prompt: str) -> bool:
        if request.family == "wan":
            limit = self._token_limits[request.model]
            found = wan.find_embeds(context, request, prompt=prompt, token_limit=limit)
        else:
            found = sdxl.find_embeds(context, request, prompt=prompt)
        return None not in found

    def _enhance_only(
        self, context: JobContext, request: GenerationRequest
    ) -> Generator[JobEvent, None, tuple[str, Enhancement | None]]:
        plan = request.enhancement
        if plan is None:
            raise InvalidRequest(
                f"Job type {request.job_type!r} has no enhancer.",
                param="job_type",
                hint="Take one of the enhanced job types.",
            )
        enhancer: Future[Component] | None = None
        if self._endpoint is None:
            yield from self._import_libraries(context, {"qwen": enhance})
            enhancer = enhance.request_model(context, plan.model)
        with context.recorder.span(Phase.PREPARE):
            self._check_tokens(context, request, request.prompt)
        return (yield from self._enhance(context, request, plan, enhancer))

    def _enhance(
        self,
        context: JobContext,
        request: GenerationRequest,
        plan: EnhancementPlan,
        enhancer: Future[Component] | None,
    ) -> Generator[JobEvent, None, tuple[str, Enhancement]]:
        def count(text: str) -> int:
            return self._count_tokens(context, request, text)

        # Whether 8 bits may be used is a question of the enhancer here.
        is_high = plan.model in self._high_models
        context = replace(context, techniques=self._techniques[request.fidelity, is_high])
        limit = self._token_limits[request.model]
        if enhancer is None:
            assert self._endpoint is not None, "one of the two enhances"
            enhanced = yield from enhance.enhance_elsewhere(
                context,
                request.prompt,
                plan=plan,
                endpoint=self._endpoint,
                count_target_tokens=count,
                target_token_limit=limit,
            )
        else:
            enhanced = yield from enhance.enhance(
                context,
                request.prompt,
                plan=plan,
                model_future=enhancer,
                count_target_tokens=count,
                target_token_limit=limit,
            )
        context.release(plan.model)
        yield PromptEnhanced(enhancement=enhanced.enhancement)
        return enhanced.prompt, enhanced.enhancement

    def _count_tokens(self, context: JobContext, request: GenerationRequest, text: str) -> int:
        family = wan if request.family == "wan" else sdxl
        return family.count_tokens(context, request.model, text)

    def _check_tokens(self, context: JobContext, request: GenerationRequest, prompt: str) -> None:
        for param, text in (("prompt", prompt), ("negative_prompt", request.negative_prompt)):
            check_token_count(
                self._count_tokens(context, request, text),
                limit=self._token_limits[request.model],
                model_id=request.model,
                param=param,
            )

    def _import_libraries(
        self, context: JobContext, families: Mapping[str, _Family]
    ) -> Generator[JobEvent, None, None]:
        missing = {name: family for name, family in families.items() if name not in self._imported}
        if not missing:
            return
        start_s = self._clock.monotonic()
        yield PhaseStarted(phase=Phase.STARTUP)
        with context.recorder.span(Phase.STARTUP, facts={"what": "imports"}):
            for name, family in missing.items():
                family.import_libraries()
                self._imported.add(name)
        yield PhaseEnded(phase=Phase.STARTUP, duration_s=self._clock.monotonic() - start_s)

    def _result(
        self, context: JobContext, prompt: str, enhancement: Enhancement | None
    ) -> EngineResult:
        memory = device_memory(self.device)
        return EngineResult(
            prompt=prompt,
            enhancement=enhancement,
            step_times_s=context.step_times_s,
            # None where a prompt was enhanced elsewhere, and nothing made of it.
            state=min(context.states, key=_COLDEST_FIRST.index, default=LoadState.RESIDENT),
            compile_state=CompileState.EAGER,
            memory={
                "weights_bytes": self._residency.resident_bytes,
                "device_peak_allocated_bytes": memory.peak_allocated_bytes,
                "device_peak_reserved_bytes": memory.peak_reserved_bytes,
                **self._residency.pressure().facts(),
            },
        )

    def _out_of_memory(self, request: GenerationRequest, message: str) -> OutOfMemory:
        memory = device_memory(self.device)
        on_cuda = self.device.type == "cuda"
        need = MemoryNeed(
            budget_bytes=self._residency.pressure().budget_bytes
            if on_cuda
            else psutil.virtual_memory().total,
            weights_bytes=self._residency.resident_bytes,
            reached_bytes=memory.peak_allocated_bytes
            if on_cuda
            else psutil.Process().memory_info().rss,
            tried_bytes=tried_bytes(message),
        )
        if on_cuda:
            self._residency.shrink(_shortfall(message))
        else:
            self._residency.evict_all()
        release_unused(self.device)
        return OutOfMemory(
            f"{self.device} ran out of memory: {_first_line(message)}",
            hint=what_fits(request, need),
        )


class _Attempt:
    """One run of a job's events, which may end for want of memory."""

    def __init__(self, events: Generator[JobEvent, None, tuple[str, Enhancement | None]]) -> None:
        self._events = events
        self.has_frames = False
        self.message = ""  # what the device said

    def run(self) -> Generator[JobEvent, None, tuple[str, Enhancement | None] | None]:
        """Pass the events on; return what they return, None when the memory ran out."""
        # The error is gone when this returns: its traceback would keep every tensor alive.
        try:
            while True:
                try:
                    event = next(self._events)
                except StopIteration as stop:
                    return stop.value
                except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                    if not _is_out_of_memory(error):
                        raise
                    self.message = str(error)
                    return None
                self.has_frames |= isinstance(event, FramesReady)
                yield event
        finally:
            self._events.close()


def _make_group(size: int, *, device: torch.device, settings: FollowerSettings) -> Group | None:
    if size == 1:
        return None
    first = device.index or 0
    if device.type == "cuda" and first + size > torch.cuda.device_count():
        raise ConfigInvalid(
            f"group_size {size} needs {size} GPUs from {device} on; this machine shows "
            f"{torch.cuda.device_count()}.",
            param="group_size",
            hint="Set CUDA_VISIBLE_DEVICES to the group's GPUs, or take fewer.",
        )
    group = Group(size=size, device=device, settings=settings)
    group.start()
    return group


def _shortfall(message: str) -> int:
    """Return what to free after running out: twice what was asked for, 1 GiB at least."""
    return max(2 * tried_bytes(message), 2**30)


def _bytes_of(gib: float | None) -> int | None:
    return None if gib is None else int(gib * 2**30)


def _text_key(
    context: JobContext, module: Any, model_id: str, text: str, token_limit: int
) -> TextKey:
    if module is wan:
        return wan.text_key(context, model_id, text, token_limit=token_limit)
    return sdxl.text_key(context, model_id, text)


def _prompt_of(request: GenerationRequest, enhancement: Enhancement | None) -> str:
    """Return the prompt to generate with, as far as it is known before the enhancer is asked."""
    return (enhancement.enhanced_prompt if enhancement else None) or request.prompt


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(text in str(error) for text in _CPU_OOM_TEXT)


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0] if message.strip() else "no more is known"
