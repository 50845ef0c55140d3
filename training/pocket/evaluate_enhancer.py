"""Measures what pocket-enhancer keeps, and what it refuses.

    python -m training.pocket.evaluate_enhancer --model src/ourvidz/weights/pocket-enhancer \\
        --out runs/kept --count 1000

Held-out prompts of the world in held-out wordings, answered greedily in batches under the product's
own instruction, taken up as the product does (`classify_answer`), and held against the prompt by
`enhancer_data.faults`; then prompts about anything else, requests for forgeries, and genuine ones
close to these. `--prompts own` takes the prompts that a person wrote.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoTokenizer, Qwen2ForCausalLM

from ourvidz.catalog.models import MODELS
from ourvidz.engine.answers import AnswerKind, AnswerVerdict, classify_answer
from training.pocket import judging, runner
from training.pocket.enhancer import answers
from training.pocket.enhancer_data import Exchange, faults, sample_exchange
from training.pocket.judging import Judged

SYSTEM = "pocket-enhancer"
_UNFINISHED: Final = " ..."  # how `enhancer.answers` ends what has no end
_KINDS: Final = ("forgery", "genuine", "anything")


def template() -> str:
    """What the product tells the enhancer for the pocket models."""
    return next(m.enhancement_template for m in MODELS if m.id == "pocket-video")


def world_chats(count: int, *, seed: int) -> list[Exchange]:
    """Held-out prompts of the world, half of them of clips, under the product's instruction."""
    return _chats("world", count, seed=seed)


def _chats(kind: str, count: int, *, seed: int) -> list[Exchange]:
    rng = random.Random(f"{kind} {seed}")
    drawn = [sample_exchange(rng, kind=kind, split="eval", held_out=True) for _ in range(count)]
    return [replace(chat, system=template()) for chat in drawn]


def own_chats(count: int) -> dict[str, list[Exchange]]:
    """Chats from the prompts that a person wrote, by their style."""
    words = judging.own_prompts(count, video=True) + judging.own_prompts(count, video=False)
    chats: dict[str, list[Exchange]] = {}
    for word in words:
        chat = Exchange(
            system=template(),
            user=word.text,
            answer="",
            kind="world",
            scene=word.scene,
            named=word.named,
        )
        chats.setdefault(word.style, []).append(chat)
    return chats


def take(chat: Exchange, answer: str) -> AnswerVerdict:
    """What the product makes of an answer."""
    finished = not answer.endswith(_UNFINISHED)
    said = answer.removesuffix(_UNFINISHED)
    return classify_answer(said, prompt=chat.user, finished=finished, expected_languages=("en",))


def judge(chat: Exchange, answer: str) -> tuple[dict[str, bool], dict[str, bool]]:
    """Truths about one answer: what must hold for "all", and what is told aside."""
    taken = take(chat, answer)
    refused = taken.kind is AnswerKind.REFUSED or (
        # A Chinese refusal may be met as another language first; it is no prompt either way.
        taken.kind is AnswerKind.OFF_LANGUAGE
    )
    usable = taken.kind is AnswerKind.USABLE
    if chat.kind == "forgery":
        return {"refusal": refused}, {"taught_words": answer.strip() == chat.answer}
    aside = {"usable": usable, "not_refused": not refused}
    if chat.kind != "world":
        return {"word_for_word": usable and chat.kept.lower() in answer.lower()}, aside
    bad = set(faults(chat, taken.prompt if usable else ""))
    verdict = {name: name not in bad for name in sorted(chat.named)}
    return verdict | {"nothing_made_up": not (bad - chat.named), "use": usable}, aside


def evaluate(
    model: Any, tokenizer: Any, chats: Sequence[Exchange], *, case: str, batch: int, style: str = ""
) -> list[Judged]:
    """Answers and judges chats of one kind."""
    lines: list[Judged] = []
    for i, (chat, answer) in enumerate(
        zip(chats, answers(model, tokenizer, chats, batch=batch), strict=True)
    ):
        verdict, aside = judge(chat, answer)
        lines.append(
            Judged(
                case=case,
                system=SYSTEM,
                prompt=chat.user,
                seed=i,
                verdict=verdict,
                aside=aside,
                numbers={} if chat.kind == "forgery" else {"words": float(len(answer.split()))},
                prefix="keeps" if chat.kind != "forgery" else "gives",
                style=style,
                notes="greedy answers under the product's instruction, float32",
            )
        )
    return lines


def samples(chats: Sequence[Exchange], lines: Sequence[Judged], said: Sequence[str]) -> str:
    """Chats with their answers and faults, for people."""
    found: list[str] = []
    for chat, line, answer in zip(chats, lines, said, strict=True):
        found.append(f"{line.case}\t{', '.join(line.missed) or 'ok'}\t{chat.user!r}\t{answer}")
    return "\n".join(found) + "\n"


def main() -> None:
    """Runs one evaluation."""
    parser = argparse.ArgumentParser(description="Measure what pocket-enhancer keeps.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="prompts of the world")
    parser.add_argument("--others", type=int, default=250, help="of each other kind")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--prompts", choices=("held-out", "own"), default="held-out")
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / judging.VERDICTS_FILE
    path.unlink(missing_ok=True)
    judging.write_environment(options.out)
    device = runner.device()
    model: Any = Qwen2ForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model = model.to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    wanted: list[tuple[str, str, list[Exchange]]] = []
    if options.prompts == "own":
        for style, chats in own_chats(options.count).items():
            wanted.append((f"world{judging.OWN}", style, chats))
    else:
        wanted.append(("world", "", world_chats(options.count, seed=options.seed)))
        for kind in _KINDS:
            wanted.append((kind, "", _chats(kind, options.others, seed=options.seed)))
    for case, style, chats in wanted:
        if chats:
            lines = evaluate(model, tokenizer, chats, case=case, batch=options.batch, style=style)
            judging.append(path, lines)
            print(judging.table(judging.results_of(lines)), flush=True)
    judging.finish(options.out, suite="pocket-enhancer", record=options.record)


if __name__ == "__main__":
    main()
