"""The enhancer: a language model makes a short prompt rich, within what the target model reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ourvidz.catalog.techniques import QWEN_WEIGHTS_8BIT, STATIC_QWEN
from ourvidz.core.enhancement import Enhancement
from ourvidz.core.errors import EnhancementFailed, EnhancementRefused
from ourvidz.core.event import JobEvent, Note, PhaseEnded, PhaseStarted
from ourvidz.core.phase import Phase
from ourvidz.core.request import EnhancementPlan
from ourvidz.engine.answers import AnswerKind, AnswerVerdict, classify_answer
from ourvidz.engine.chat import ChatAnswer, ChatEndpoint
from ourvidz.engine.context import JobContext, drive_units, wait_for, wait_until_done
from ourvidz.engine.idle_memory import TrackedQwen
from ourvidz.engine.residency import Component, ComponentSpec
from ourvidz.kernels.runtime import supports_fp8
from ourvidz.models.events import TokenEvent
from ourvidz.models.imports import library_imports
from ourvidz.models.qwen import encode as qwen_encode
from ourvidz.models.qwen import generate as qwen_generate
from ourvidz.models.qwen import load as qwen_load
from ourvidz.models.qwen.fast import can_run_fast

_COMPONENT = "model"

# A sentence ends here: Western and Chinese full stops. The space keeps "16.5" whole.
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")  # noqa: RUF001
# A language model may pause at a comma where no whole sentence fits.
_CLAUSE_END = re.compile(r"(?<=[,;:])\s+|(?<=[，；：])")  # noqa: RUF001


@dataclass(frozen=True, kw_only=True, slots=True)
class EnhancedPrompt:
    """The prompt to generate with, and the account of how it came about."""

    prompt: str
    enhancement: Enhancement


def import_libraries() -> None:
    """Import what loading and running the enhancer need."""
    with library_imports:
        from transformers import Qwen2ForCausalLM  # noqa: F401


def request_model(context: JobContext, model_id: str) -> Future[Component]:
    """Start loading the enhancer."""
    (spec,) = component_specs(context, model_id)
    return context.request(spec)


def component_specs(context: JobContext, model_id: str) -> list[ComponentSpec]:
    """Return how to load everything that an enhancer has."""
    return [
        ComponentSpec(
            model_id=model_id,
            family="qwen",
            name=_COMPONENT,
            folder=context.locate(model_id),
            phase=Phase.ENHANCE_LOAD,
            load=qwen_load.load_model,
        )
    ]


def enhance(
    context: JobContext,
    prompt: str,
    *,
    plan: EnhancementPlan,
    model_future: Future[Component],
    count_target_tokens: Callable[[str], int],
    target_token_limit: int,
) -> Generator[JobEvent, None, EnhancedPrompt]:
    """Enrich ``prompt``; both prompts are kept in what is returned.

    An answer that is no prompt (a refusal, nothing, a loop, another language) is never used:
    the job goes on with the person's own prompt and says so in a ``Note``, or fails, as
    ``plan.on_failure`` says.

    Args:
        count_target_tokens: tokens that a text takes in the target model's own tokenizer.
        target_token_limit: how many the target model reads.

    Raises:
        EnhancementRefused: the model refused and the plan says ``fail``.
        EnhancementFailed: any other unusable answer, likewise.
    """
    tokenizer = context.tokenizer(plan.model, "", qwen_load.load_tokenizer)
    (model,) = yield from wait_for(context, Phase.ENHANCE_LOAD, [model_future])
    input_ids = qwen_encode.encode(
        [
            {"role": "system", "content": plan.template},
            {"role": "user", "content": prompt},
        ],
        tokenizer=tokenizer,
        device=context.device,
    )
    generation, _ = yield from drive_units(
        context,
        Phase.ENHANCE_RUN,
        _generator(context, plan.model, model)(
            input_ids=input_ids,
            max_new_tokens=plan.max_new_tokens,
            eos_token_ids=qwen_generate.eos_token_ids(model),
        ),
        num_units=plan.max_new_tokens,
    )
    answer = qwen_encode.to_text(generation.token_ids, tokenizer=tokenizer)
    verdict = classify_answer(
        answer,
        prompt=prompt,
        finished=generation.finish_reason == "eos",
        expected_languages=plan.languages,
    )
    return (
        yield from _use(
            verdict,
            answer,
            prompt=prompt,
            plan=plan,
            model=plan.model,
            num_tokens=(int(input_ids.shape[1]), len(generation.token_ids)),
            count_target_tokens=count_target_tokens,
            target_token_limit=target_token_limit,
        )
    )


def enhance_elsewhere(
    context: JobContext,
    prompt: str,
    *,
    plan: EnhancementPlan,
    endpoint: ChatEndpoint,
    count_target_tokens: Callable[[str], int],
    target_token_limit: int,
) -> Generator[JobEvent, None, EnhancedPrompt]:
    """As ``enhance``, asking an endpoint in place of a model of ours; the device stays free.

    An endpoint that gives no answer (unreachable, too slow, an error status, another protocol) is
    an unusable answer: a ``Note`` or a failed job, as ``plan.on_failure`` says.

    Raises:
        EnhancementRefused, EnhancementFailed: as ``enhance``.
        Cancelled: the job was, while the endpoint was asked.
    """
    asked = endpoint.begin(system=plan.template, prompt=prompt, max_tokens=plan.max_new_tokens)
    found: ChatAnswer | None = None
    failure = ""
    start_s = context.clock.monotonic()
    yield PhaseStarted(phase=Phase.ENHANCE_RUN)
    with context.recorder.span(
        Phase.ENHANCE_RUN, facts={"where": "endpoint", "device_s": 0.0}
    ) as facts:
        try:
            yield from wait_until_done(context, Phase.ENHANCE_RUN, [asked])
            found = asked.result()
            facts["num_units"] = found.num_tokens_out
        except EnhancementFailed as error:
            failure = error.message
    yield PhaseEnded(phase=Phase.ENHANCE_RUN, duration_s=context.clock.monotonic() - start_s)
    return (
        yield from _use(
            _verdict_of(found, prompt, plan) if found else failure,
            found.text if found else "",
            prompt=prompt,
            plan=plan,
            model=endpoint.model,
            num_tokens=(found.num_tokens_in, found.num_tokens_out) if found else (0, 0),
            count_target_tokens=count_target_tokens,
            target_token_limit=target_token_limit,
        )
    )


def _verdict_of(found: ChatAnswer, prompt: str, plan: EnhancementPlan) -> AnswerVerdict:
    if found.refusal:
        reason = f"it says {found.refusal[:120]!r}"
        return AnswerVerdict(kind=AnswerKind.REFUSED, reason=reason, prompt="")
    return classify_answer(
        found.text,
        prompt=prompt,
        finished=found.is_finished,
        expected_languages=plan.languages,
    )


def _use(
    verdict: AnswerVerdict | str,
    answer: str,
    *,
    prompt: str,
    plan: EnhancementPlan,
    model: str,
    num_tokens: tuple[int, int],
    count_target_tokens: Callable[[str], int],
    target_token_limit: int,
) -> Generator[JobEvent, None, EnhancedPrompt]:
    """Return what comes of an answer; of a verdict that is a text, of why there is none."""
    fitted: FittedPrompt | None = None
    if isinstance(verdict, str):
        yield _unavailable(verdict, plan)
    elif verdict.kind is AnswerKind.USABLE:
        fitted = fit_prompt(verdict.prompt, count_target_tokens, target_token_limit)
    else:
        yield _note_or_raise(verdict, plan)
    used = prompt if fitted is None else fitted.text
    return EnhancedPrompt(
        prompt=used,
        enhancement=Enhancement(
            original_prompt=prompt,
            enhanced_prompt=fitted.text if fitted else None,
            answer=answer,
            verdict="unavailable" if isinstance(verdict, str) else verdict.kind.value,
            model=model,
            num_tokens_in=num_tokens[0],
            num_tokens_out=num_tokens[1],
            num_tokens_prompt=count_target_tokens(used),
            num_tokens_truncated=fitted.num_tokens_truncated if fitted else 0,
        ),
    )


def _unavailable(reason: str, plan: EnhancementPlan) -> Note:
    if plan.on_failure == "fail":
        raise EnhancementFailed(
            f"The enhancer's endpoint gave no answer: {reason}",
            hint="Try again later, use the job type without enhancement, or set "
            "enhancement.on_failure to 'fallback'.",
        )
    return Note(
        code=EnhancementFailed.code,
        text=f"The enhancer's endpoint gave no answer: {reason} Generated from your own prompt "
        "instead.",
    )


def _generator(
    context: JobContext, model_id: str, model: Any
) -> Callable[..., Generator[TokenEvent, None, qwen_generate.Generation]]:
    """Return what generates: our own decoding where it is allowed and knows the module."""
    if STATIC_QWEN not in context.techniques or not can_run_fast(model):
        return partial(qwen_generate.generate, model=model)
    # Without the hardware, on a CPU too, 8 bits are slower than the weights as they are.
    is_8bit = QWEN_WEIGHTS_8BIT in context.techniques and supports_fp8(context.device)
    fast = context.residency.derive(
        (model_id, _COMPONENT),
        f"decoding-{is_8bit}",
        lambda: TrackedQwen(model, weights="e4m3" if is_8bit else "native"),
        num_bytes=sum(weight.numel() for weight in model.parameters()) if is_8bit else 0,
    )
    return fast.generate


def _note_or_raise(verdict: AnswerVerdict, plan: EnhancementPlan) -> Note:
    refused = verdict.kind is AnswerKind.REFUSED
    if plan.on_failure == "fail":
        error = EnhancementRefused if refused else EnhancementFailed
        raise error(
            f"The enhancer's answer is no prompt ({verdict.kind.value}): {verdict.reason}",
            param="prompt",
            hint="Reword the prompt, use the job type without enhancement, or set "
            "enhancement.on_failure to 'fallback'.",
        )
    code = EnhancementRefused.code if refused else EnhancementFailed.code
    return Note(
        code=code,
        text=f"The enhancer's answer was not used ({verdict.kind.value}: {verdict.reason}); "
        "generated from your own prompt instead.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedPrompt:
    """A prompt that the target model reads to its end."""

    text: str
    num_tokens_truncated: int  # of the target's tokenizer


def fit_prompt(text: str, count_tokens: Callable[[str], int], limit: int) -> FittedPrompt:
    """Return the longest prefix of whole sentences that fits in ``limit`` tokens.

    Where not even the first sentence fits, whole clauses are kept, then whole words.
    """
    total = count_tokens(text)
    if total <= limit:
        return FittedPrompt(text=text, num_tokens_truncated=0)
    for ends in (_SENTENCE_END, _CLAUSE_END, re.compile(r"\s+|(?<=[\u4e00-\u9fff])")):
        kept = _longest_prefix(text, ends, count_tokens, limit)
        if kept:
            return FittedPrompt(text=kept, num_tokens_truncated=total - count_tokens(kept))
    raise EnhancementFailed(
        f"Not one word of the enhanced prompt fits in {limit} tokens.",
        hint="Use the job type without enhancement.",
    )


def _longest_prefix(
    text: str, ends: re.Pattern[str], count_tokens: Callable[[str], int], limit: int
) -> str:
    cuts = [match.start() for match in ends.finditer(text)]
    low, high = 0, len(cuts)  # token counts grow with the prefix: bisect
    while low < high:
        middle = (low + high + 1) // 2
        if count_tokens(text[: cuts[middle - 1]].rstrip(" ,;:")) <= limit:
            low = middle
        else:
            high = middle - 1
    return text[: cuts[low - 1]].rstrip(" ,;:") if low else ""
