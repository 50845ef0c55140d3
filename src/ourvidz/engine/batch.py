"""Several jobs of one shape denoised as one batch.

What depends on a job alone (its prompts' embeddings, its noise, decoding its images) is done for
that job alone, exactly as if it ran by itself; only the denoising steps run together. Where ranks
share the batch they decode all its images together too. A member that is cancelled or fails ends
at once and the others go on; its rows are computed to the end, because taking them out would
change the solver's state of all.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import Cancelled, OurVidzError
from ourvidz.core.event import JobEvent
from ourvidz.core.phase import Phase, Span
from ourvidz.core.prompts import check_token_count
from ourvidz.core.recorder import Fact, SpanRecorder
from ourvidz.core.request import GenerationRequest
from ourvidz.engine import sdxl
from ourvidz.engine.context import JobContext, drive_units, wait_for, wait_until_done
from ourvidz.engine.embeds import TextEmbeds
from ourvidz.engine.result import EngineResult
from ourvidz.engine.timing import device_phase
from ourvidz.models.sdxl.encode import PromptEmbeds

if TYPE_CHECKING:
    from ourvidz.engine.group.sdxl import GroupImages


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchMember:
    """One job of a batch."""

    request: GenerationRequest  # its enhancement, if any, was made before
    recorder: SpanRecorder
    cancel: CancelToken
    enhancement: Enhancement | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEvent:
    """An event of member ``index``."""

    index: int
    event: JobEvent


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEnd:
    """The end of member ``index``: an error, or all its frames have left."""

    index: int
    result: EngineResult | None = None
    error: Exception | None = None


BatchReport = BatchEvent | BatchEnd
_T = TypeVar("_T")


@dataclass(kw_only=True, slots=True, eq=False)
class Running:
    """A member that has not ended."""

    index: int
    request: GenerationRequest
    context: JobContext
    prompt: str
    conditioning: sdxl.Conditioning | None = None


class Batch:
    """The members of one batch, from prompts to images."""

    def __init__(
        self,
        members: Sequence[Running],
        *,
        token_limit: int,
        imports: Callable[[JobContext], Generator[JobEvent, None, None]],
        result_of: Callable[[Running, int], EngineResult],
    ) -> None:
        """Take the members.

        Args:
            token_limit: tokens that the model reads.
            imports: imports what is missing, as a phase.
            result_of: a finished member's result, given with how many others it was denoised.
        """
        self._live = list(members)
        self._token_limit = token_limit
        self._imports = imports
        self._result_of = result_of
        self._team: GroupImages | None = None  # the ranks that share it

    def run(self, *, max_items: int) -> Generator[BatchReport, None, None]:
        """Run all members, at most ``max_items`` images in one denoising (one job at least)."""
        group = self._group(self._live)
        try:
            yield from self._run(group, max_items)
        finally:
            if self._team is not None:
                self._team.end()
            group.release_all()

    def fail_all(self, error: Exception) -> Generator[BatchReport, None, None]:
        """End every member that still runs with ``error``."""
        for member in tuple(self._live):
            yield self._end(member, error=error)

    @property
    def live(self) -> tuple[Running, ...]:
        """The members that have not ended."""
        return tuple(self._live)

    def _run(self, group: JobContext, max_items: int) -> Generator[BatchReport, None, None]:
        yield from self._told(self._live, group, self._imports(group))
        yield from self._check_prompts()
        if not self._live:
            return
        model_id = self._live[0].request.model
        num_items = sum(member.request.num_images for member in self._live)
        self._team = sdxl.team_of(group, self._live[0].request, num_items=num_items)
        shared = yield from self._told(self._live, group, sdxl.begin(self._team))
        if shared is None:
            return
        found = {
            member.index: sdxl.find_embeds(member.context, member.request, prompt=member.prompt)
            for member in self._live
        }
        needs_encoders = any(None in embeds for embeds in found.values())
        futures = sdxl.request_components(group, model_id, with_encoders=needs_encoders)
        encoders: list[Any] = []
        if needs_encoders:
            loaded = yield from self._told(
                self._live, group, sdxl.wait_for_encoders(group, model_id, futures)
            )
            if loaded is None:
                return
            encoders = loaded
        for member in tuple(self._live):
            yield from self._encode(member, found[member.index], encoders)
        networks = yield from self._told(
            self._live, group, wait_for(group, Phase.LOAD_UNET, [futures.unet, futures.vae])
        )
        if networks is None:
            return
        yield from self._told(self._live, group, wait_until_done(group, Phase.LOAD_UNET, shared))
        if not self._live:
            return
        if model_id in group.variants:
            with group.recorder.span(Phase.LOAD_UNET):
                networks[0] = group.denoiser_of(model_id, "unet", networks[0])
        for member in self._live:
            member.context.states.extend(group.states)
        for chunk in chunks(self._live, max_items):
            yield from self._alone(chunk, self._denoise_and_decode(chunk, *networks))

    def _group(self, members: Iterable[Running]) -> JobContext:
        """Return surroundings for work that members do together."""
        members = list(members)
        return replace(
            members[0].context,
            recorder=GroupRecorder(members),
            cancel=_GroupCancel(members),
            states=[],
            held_models=set(),
        )

    def _check_prompts(self) -> Generator[BatchReport, None, None]:
        for member in tuple(self._live):
            yield from self._guarded(member, self._check_prompt(member))

    def _check_prompt(self, member: Running) -> Generator[JobEvent, None, None]:
        member.context.cancel.raise_if_cancelled()
        with member.context.recorder.span(Phase.PREPARE):
            check_prompts(member.context, member.request, member.prompt, self._token_limit)
        yield from ()

    def _encode(
        self, member: Running, found: Sequence[TextEmbeds | None], encoders: Sequence[Any]
    ) -> Generator[BatchReport, None, None]:
        def encode() -> Generator[JobEvent, None, None]:
            member.context.cancel.raise_if_cancelled()
            member.conditioning = yield from sdxl.encode(
                member.context, member.request, member.prompt, found, encoders
            )

        yield from self._alone([member], self._guarded(member, encode()))

    def _denoise_and_decode(
        self, members: Sequence[Running], unet: Any, vae: Any
    ) -> Generator[BatchReport, None, None]:
        members = [member for member in members if member in self._live]
        if not members:
            return
        group, request = self._group(members), members[0].request
        with device_phase(group.recorder, Phase.PREPARE, group.device):
            noise = [sdxl.prepare_latents(m.context, m.request, unet, vae) for m in members]
            steps = sdxl.denoise(
                group,
                request,
                predictor=sdxl.shared_predictor(group, request.model, unet, vae, self._team),
                latents=torch.cat(noise),
                conditioning=_joined(members),
            )
        units = drive_units(group, Phase.DENOISE, steps, num_units=request.num_inference_steps)
        denoised = yield from self._told(members, group, units)
        if denoised is None:
            return
        for member in members:
            member.context.step_times_s = denoised[1]
        decode = self._decode_each if self._team is None else self._decode_together
        yield from decode(members, denoised[0], vae)

    def _decode_each(
        self, members: Sequence[Running], latents: torch.Tensor, vae: Any
    ) -> Generator[BatchReport, None, None]:
        """Decode one member's images after another's."""
        model_id = members[0].request.model
        for member, rows in zip(members, _of_each(members, latents), strict=True):
            images = sdxl.images_of(member.context, model_id, vae, rows)
            decoding = sdxl.decode(member.context, member.request, images)
            yield from self._finish(member, decoding, num_others=len(members) - 1)

    def _decode_together(
        self, members: Sequence[Running], latents: torch.Tensor, vae: Any
    ) -> Generator[BatchReport, None, None]:
        """Decode all images, which several ranks share, before any leaves."""
        group = self._group([member for member in members if member in self._live])
        images = sdxl.images_of(group, members[0].request.model, vae, latents, self._team)
        decoding = sdxl.decode_all(group, images, num_images=len(latents))
        decoded = yield from self._told(members, group, decoding)
        if decoded is None:
            return
        for member, own in zip(members, _of_each(members, torch.stack(decoded)), strict=True):
            yield from self._finish(member, sdxl.frames_of(own), num_others=len(members) - 1)

    def _finish(
        self, member: Running, events: Generator[JobEvent, None, None], *, num_others: int
    ) -> Generator[BatchReport, None, None]:
        """Run a member's last events, if it still runs, and end it."""
        if member in self._live:
            yield from self._alone([member], self._guarded(member, events))
        if member in self._live:
            yield self._end(member, result=self._result_of(member, num_others))

    def _told(
        self,
        members: Sequence[Running],
        group: JobContext,
        events: Generator[JobEvent, None, _T],
    ) -> Generator[BatchReport, None, _T | None]:
        """Tell each event of common work to every member that still runs; None: none does."""
        while True:
            for member in tuple(self._live):
                if member.context.cancel.is_cancelled:
                    _drop(group, member)
                    yield self._end(member, error=Cancelled())
            if not any(member in self._live for member in members):
                events.close()
                return None
            try:
                event = next(events)
            except StopIteration as stop:
                return stop.value
            for member in tuple(members):
                if member in self._live:
                    yield BatchEvent(index=member.index, event=event)

    def _guarded(
        self, member: Running, events: Generator[JobEvent, None, None]
    ) -> Generator[BatchReport, None, None]:
        """Pass on one member's events; its own errors end it alone."""
        try:
            for event in events:
                yield BatchEvent(index=member.index, event=event)
        except OurVidzError as error:
            yield self._end(member, error=error)

    def _alone(
        self, members: Sequence[Running], reports: Generator[BatchReport, None, None]
    ) -> Generator[BatchReport, None, None]:
        """Pass on reports, and charge the time to ``members`` alone."""
        clock = members[0].context.clock
        start_s = clock.monotonic()
        try:
            yield from reports
        finally:
            for other in self._live:
                if other not in members:
                    other.context.recorder.lose_turn(start_s, clock.monotonic())

    def _end(
        self,
        member: Running,
        *,
        result: EngineResult | None = None,
        error: Exception | None = None,
    ) -> BatchEnd:
        self._live.remove(member)
        return BatchEnd(index=member.index, result=result, error=error)


def _drop(group: JobContext, member: Running) -> None:
    assert isinstance(group.recorder, GroupRecorder), "common work is recorded for each member"
    group.recorder.drop(member.context.recorder)


def check_prompts(
    context: JobContext, request: GenerationRequest, prompt: str, token_limit: int
) -> None:
    """Refuse texts that SDXL would cut. Raises InvalidRequest."""
    for param, text in (("prompt", prompt), ("negative_prompt", request.negative_prompt)):
        check_token_count(
            sdxl.count_tokens(context, request.model, text),
            limit=token_limit,
            model_id=request.model,
            param=param,
        )


def chunks(members: Sequence[Running], max_items: int) -> list[list[Running]]:
    """Split members in order into batches of at most ``max_items`` images, one job at least."""
    split: list[list[Running]] = []
    room = 0
    for member in members:
        if not split or member.request.num_images > room:
            split.append([])
            room = max_items
        split[-1].append(member)
        room -= member.request.num_images
    return split


def _of_each(members: Sequence[Running], items: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Split what has an item for each image into each member's."""
    return items.split([member.request.num_images for member in members])


def _joined(members: Sequence[Running]) -> sdxl.Conditioning:
    conditionings = [member.conditioning for member in members]
    counts = [member.request.num_images for member in members]
    positives = [each.positive for each in conditionings if each is not None]
    negatives = [each.negative for each in conditionings if each is not None and each.negative]
    return sdxl.Conditioning(
        positive=_rows(positives, counts),
        negative=_rows(negatives, counts) if negatives else None,
    )


def _rows(embeds: Sequence[PromptEmbeds], counts: Sequence[int]) -> PromptEmbeds:
    """Return one row an image."""
    pairs = list(zip(embeds, counts, strict=True))
    return PromptEmbeds(
        prompt_embeds=torch.cat([e.prompt_embeds.expand(n, -1, -1) for e, n in pairs]),
        pooled_prompt_embeds=torch.cat([e.pooled_prompt_embeds.expand(n, -1) for e, n in pairs]),
        num_tokens=tuple(count for e, n in pairs for count in e.num_tokens * n),
        num_truncated_tokens=tuple(c for e, n in pairs for c in e.num_truncated_tokens * n),
    )


class _GroupCancel(CancelToken):
    """Cancelled once every member is."""

    def __init__(self, members: Sequence[Running]) -> None:
        super().__init__()
        self._members = members

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the work any more."""
        return all(member.context.cancel.is_cancelled for member in self._members)


class GroupRecorder(SpanRecorder):
    """Writes what members do together into the ledger of each.

    Wall time is whole in each, because each waited for it; device time is split by images.
    """

    def __init__(self, members: Sequence[Running]) -> None:
        super().__init__(members[0].context.clock)
        self._num_members = len(members)
        self._open: tuple[Phase, float] | None = None
        num_items = sum(member.request.num_images for member in members)
        self._shares = {
            member.context.recorder: member.request.num_images / num_items for member in members
        }

    def add(self, span: Span) -> None:
        """Add a span to every member's ledger."""
        for recorder, share in tuple(self._shares.items()):
            recorder.add(span if span.is_background else self._part(span, share))

    def _part(self, span: Span, share: float) -> Span:
        facts = {**span.facts, "share": share, "batched_with": self._num_members - 1}
        device_s = None if span.device_s is None else span.device_s * share
        return replace(span, facts=facts, device_s=device_s)

    @contextmanager
    def span(
        self, phase: Phase, *, is_background: bool = False, facts: Mapping[str, Fact] | None = None
    ) -> Generator[dict[str, Fact]]:
        """Record the time inside the block for every member."""
        self._open = None if is_background else (phase, self.clock.monotonic())
        with super().span(phase, is_background=is_background, facts=facts) as gathered:
            yield gathered
        self._open = None

    def drop(self, recorder: SpanRecorder) -> None:
        """Take a member out, if it is in: its ledger gets its part of the phase going on."""
        share = self._shares.pop(recorder, None)
        if share is not None and self._open is not None:
            phase, start_s = self._open
            span = Span(phase=phase, start_s=start_s, end_s=self.clock.monotonic())
            recorder.add(self._part(span, share))

    @property
    def num_lost_turns(self) -> int:
        """Turns lost by any member."""
        return sum(recorder.num_lost_turns for recorder in self._shares)

    def lost_turns(self) -> tuple[tuple[float, float], ...]:
        """Return the turns that all members lost: those of the one that lost the least."""
        return min((r.lost_turns() for r in self._shares), key=_length_s)


def _length_s(intervals: Iterable[tuple[float, float]]) -> float:
    return sum(end_s - start_s for start_s, end_s in intervals)
