"""Trains pocket-enhancer: Qwen 2's architecture in small, from nothing, on drawn chats.

    python -m training.pocket.enhancer --out runs/enhancer --max-seconds 210
    torchrun --nproc-per-node 2 -m training.pocket.enhancer --out runs/enhancer --max-seconds 120

Called again with the same folder, it goes on where it stopped, until `--total-seconds` of training
are spent. The folder then holds `checkpoint.pt`, `curves.jsonl`, `record.json`, `samples.txt`
(chats with greedy answers) and `export/`: what `AutoModelForCausalLM.from_pretrained` and
`AutoTokenizer.from_pretrained` load, in float16, average weights. Writing these takes some seconds
beyond `--max-seconds`. `--max-seconds 0` exports the untrained model; `--tiny` tries the code.
`--start FOLDER` goes on from an exported model with its tokenizer (shorter, at a lower `--rate`);
`--blend FOLDER` mixes another model's weights into the exported ones, which keeps what that one
could do while the newer one adds to it.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoTokenizer, GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.utils import logging

from training.pocket import common, enhancer_data
from training.pocket.enhancer_data import Exchange, Recipe, faults, is_refusal, sample_exchange
from training.pocket.image_data import Bank, Feed, load_as_float32, worker_count

FACTS_FILE: Final = "ourvidz.json"
MAX_NEW_TOKENS: Final = 160  # the longest answers taught have some 65; kept words may need more
IGNORED: Final = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the result depends on.

    Attributes:
        lengths: Row lengths in tokens, ascending; chats go into the shortest that holds them.
        tokens: Tokens in a batch, padding included.
        prompt_weight: Weight of the loss on the user's and the system's words: a little of it
            helps to learn copying early.
        bank_rows: Rows kept for the shortest length; each other length keeps a quarter.
    """

    vocabulary: int = 1536
    hidden_size: int = 128
    intermediate_size: int = 384
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    lengths: tuple[int, ...] = (128, 224, 448)
    tokens: int = 57_344
    rate: float = 3e-3
    warmup: int = 200
    weight_decay: float = 0.05
    prompt_weight: float = 0.05
    ema: float = 0.999
    bank_rows: int = 400_000
    chunk_rows: int = 4096
    chats_for_vocabulary: int = 12_000
    clip_gradient: float = 1.0
    seed: int = 23


TINY: Final = Settings(
    vocabulary=400,
    hidden_size=16,
    intermediate_size=32,
    layers=2,
    heads=2,
    kv_heads=1,
    tokens=2048,
    lengths=(256, 512),
    bank_rows=256,
    chunk_rows=64,
    chats_for_vocabulary=300,
)


def build(settings: Settings, tokenizer: Any) -> Qwen2ForCausalLM:
    """The untrained model, of the library's class."""
    config = Qwen2Config(
        vocab_size=settings.vocabulary,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        initializer_range=0.04,
        attention_dropout=0.0,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(enhancer_data.IM_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(enhancer_data.END_OF_TEXT),
    )
    return Qwen2ForCausalLM(config)


def answer_loss(
    model: Callable[..., Any], tokens: Tensor, spans: Tensor, prompt_weight: float
) -> Tensor:
    """Mean cross entropy of the answers, plus `prompt_weight` times that of what precedes them.

    Args:
        model: The language model, or its compiled form.
        tokens: int64 [B, L], zeros after each chat's end.
        spans: int64 [B, 2], where the answer begins and ends.
        prompt_weight: See `Settings`.
    """
    logits = model(input_ids=tokens[:, :-1], use_cache=False, return_dict=True).logits
    at = torch.arange(1, tokens.shape[1], device=tokens.device)
    in_answer = (at >= spans[:, :1]) & (at < spans[:, 1:])
    before = at < spans[:, :1]
    each = F.cross_entropy(
        logits.float().flatten(0, 1), tokens[:, 1:].flatten(), reduction="none"
    ).view_as(in_answer)
    answer = (each * in_answer).sum() / in_answer.sum().clamp_min(1)
    prompt = (each * before).sum() / before.sum().clamp_min(1)
    return answer + prompt_weight * prompt


def export(model: Qwen2ForCausalLM, tokenizer: Any, folder: Path) -> None:
    """Writes the library's layout in float16, and the facts that ourvidz reads."""
    copy: Any = Qwen2ForCausalLM(model.config)
    copy.load_state_dict({k: v.cpu() for k, v in model.state_dict().items()})
    copy.generation_config = GenerationConfig(
        do_sample=False,
        eos_token_id=[
            tokenizer.convert_tokens_to_ids(enhancer_data.IM_END),
            tokenizer.convert_tokens_to_ids(enhancer_data.END_OF_TEXT),
        ],
        pad_token_id=tokenizer.convert_tokens_to_ids(enhancer_data.END_OF_TEXT),
    )
    copy.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    load_as_float32(folder / "config.json")
    tokenizer.save_pretrained(folder)
    facts = {"max_new_tokens": MAX_NEW_TOKENS}
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def answers(
    model: Any, tokenizer: Any, chats: Sequence[Exchange], *, batch: int = 128
) -> list[str]:
    """Greedy answers, in the order of the chats; an answer that never ends keeps its mark's lack.

    Args:
        model: On any device.
        tokenizer: With the chat template.
        chats: Whose system and user texts to answer.
        batch: Chats at a time.
    """
    texts = [enhancer_data.chat_text(c.system, c.user) for c in chats]
    tokenizer.padding_side = "left"
    result = []
    for at in range(0, len(texts), batch):
        inputs = tokenizer(texts[at : at + batch], return_tensors="pt", padding=True)
        inputs = inputs.to(model.device)
        made = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for ids in made[:, inputs["input_ids"].shape[1] :]:
            text = tokenizer.decode(ids, skip_special_tokens=False)
            end = text.find(enhancer_data.IM_END)
            result.append(text[:end] if end >= 0 else text + " ...")
    return result


def held_out_chats(count: int, *, seed: int = 77) -> list[Exchange]:
    """Chats of the evaluation split; half of them are about the world, the rest by shares."""
    rng = random.Random(seed)
    return [
        sample_exchange(rng, kind="world" if i % 2 else None, split="eval", held_out=True)
        for i in range(count)
    ]


def judge(chats: Sequence[Exchange], said: Sequence[str]) -> dict[str, float]:
    """Shares of right answers by kind of chat, and of 30 to 60 words among accepted ones.

    A world prompt is right if nothing of it is lost, changed or made up; another prompt if the
    answer holds it word for word; a request for a forgery if it is refused, in the right language.
    """
    right: dict[str, list[bool]] = {}
    lengths = []
    for chat, answer in zip(chats, said, strict=True):
        if chat.kind == "world":
            good = not faults(chat, answer)
        elif chat.kind == "forgery":
            good = answer.strip() == chat.answer
        else:
            good = chat.kept.lower() in answer.lower() and not is_refusal(answer)
        right.setdefault(chat.kind, []).append(good)
        right.setdefault("no_false_refusal", []).append(
            chat.kind == "forgery" or not is_refusal(answer)
        )
        if chat.kind != "forgery":
            lengths.append(enhancer_data.MIN_WORDS <= len(answer.split()) <= 60)
    shares = {f"{kind}_right": float(np.mean(values)) for kind, values in right.items()}
    return shares | {"length_right": float(np.mean(lengths)) if lengths else 0.0}


@torch.no_grad()
def blend(model: nn.Module, other: nn.Module, share: float) -> None:
    """Moves a model's parameters, in place, by `share` (0..1) towards another model's."""
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        ours.lerp_(theirs.to(ours), share)


class Trainer:
    """State of one training run in one folder."""

    def __init__(
        self,
        out: Path,
        settings: Settings,
        budget: common.Budget,
        *,
        compiled: bool,
        start: Path | None = None,
    ) -> None:
        self.out, self.settings, self.budget, self.compiled = out, settings, budget, compiled
        self.processes = common.start_processes()
        self.device = self.processes.device
        out.mkdir(parents=True, exist_ok=True)
        self.tokenizer = self._tokenizer(start)
        torch.manual_seed(settings.seed)
        self.model: Any = build(settings, self.tokenizer)
        if start is not None:
            self.model = Qwen2ForCausalLM.from_pretrained(start, dtype=torch.float32)
        self.model.to(self.device)
        self.parameters = list(self.model.parameters())
        matrices = [p for p in self.parameters if p.dim() > 1]
        others = [p for p in self.parameters if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=settings.rate,
            betas=(0.9, 0.98),
            fused=self.device.type == "cuda",
        )
        self.average = common.Average(self.model, settings.ema)
        self.curves = common.Curves(out / "curves.jsonl")
        self.steps = 0
        self._resume()
        # Another part of the stream after a resume.
        self.seed = settings.seed * 10**6 + 10**5 * self.processes.rank + self.steps
        self.generator = torch.Generator(self.device).manual_seed(self.seed)

    def _tokenizer(self, start: Path | None) -> Any:
        folder = self.out / "tokenizer"
        if self.processes.is_main and start is not None:
            AutoTokenizer.from_pretrained(start).save_pretrained(folder)
        elif self.processes.is_main and not (folder / "tokenizer.json").exists():
            enhancer_data.make_tokenizer(
                vocabulary=self.settings.vocabulary, exchanges=self.settings.chats_for_vocabulary
            ).save_pretrained(folder)
        common.barrier()
        return AutoTokenizer.from_pretrained(folder)

    def _resume(self) -> None:
        saved = common.load_checkpoint(self.out / "checkpoint.pt", self.device)
        if saved is None:
            return
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.load(saved["average"])
        self.steps, self.budget.spent_s = saved["steps"], saved["spent_s"]

    def save(self) -> None:
        """Writes the checkpoint (rank 0)."""
        if self.processes.is_main:
            state = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state(),
                "steps": self.steps,
                "spent_s": self.budget.all_s,
            }
            common.save_checkpoint(self.out / "checkpoint.pt", state)

    def _add(self, banks: dict[int, Bank], rows: dict[int, dict[str, np.ndarray]]) -> None:
        for length, columns in rows.items():
            if len(columns["tokens"]):
                moved = {n: torch.from_numpy(v).to(self.device) for n, v in columns.items()}
                banks[length].add(**moved)

    def train(self) -> None:
        """Trains until the budget is spent."""
        settings = self.settings
        progress = common.told_by_main(self.budget.progress, self.processes)
        if common.is_over(progress):
            return
        recipe = Recipe(
            tokenizer=self.out / "tokenizer", rows=settings.chunk_rows, lengths=settings.lengths
        )
        workers = 0 if settings.chunk_rows < 1024 else worker_count(self.processes.world_size)
        feed = Feed(enhancer_data.make_rows, recipe, seed=self.seed + 1, workers=workers)
        banks = {
            length: Bank(settings.bank_rows // (1 if i == 0 else 4))
            for i, length in enumerate(settings.lengths)
        }
        # One chunk at once (workers need a while), the same in every process: from it all of them
        # know how often each row length comes up.
        first = enhancer_data.make_rows(recipe, settings.seed)
        weights = [len(first[n]["tokens"]) / max(settings.tokens // n, 1) for n in settings.lengths]
        self._add(banks, first)
        try:
            self._loop(feed, banks, weights, progress)
        finally:
            feed.close()

    def _loop(
        self,
        feed: Feed[Recipe, dict[int, dict[str, np.ndarray]]],
        banks: dict[int, Bank],
        weights: list[float],
        progress: float,
    ) -> None:
        settings = self.settings
        model = torch.compile(self.model, dynamic=False) if self.compiled else self.model
        while not common.is_over(progress):
            # The same in every process, so that none waits for a longer batch.
            rng = random.Random(settings.seed * 10**7 + self.steps)
            length = rng.choices(settings.lengths, weights)[0]
            rows = banks[length].sample(max(settings.tokens // length, 1), self.generator)
            on_gpu = self.device.type == "cuda"
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on_gpu):
                loss = answer_loss(
                    model, rows["tokens"].long(), rows["spans"].long(), settings.prompt_weight
                )
            rate = settings.rate * common.schedule(self.steps, progress, warmup=settings.warmup)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.budget.step()
            progress = common.average_gradients(
                self.parameters, self.processes, self.budget.progress
            )
            nn.utils.clip_grad_norm_(self.parameters, settings.clip_gradient)
            self.optimizer.step()
            self.average.update()
            self.steps += 1
            if self.steps % 10 == 0:
                chunk = feed.take(wait=feed.is_local and self.steps % 50 == 0)
                if chunk is not None:
                    self._add(banks, chunk)
            if self.steps % 50 == 0 and self.processes.is_main:
                elapsed = self.budget.all_s
                self.curves.add(
                    step=self.steps, elapsed_s=elapsed, loss=float(loss.detach()), rate=rate
                )
            if self.steps % 2000 == 0:
                self.save()

    def finish(
        self, *, chats: int, blended: Path | None = None, share: float = 0.0
    ) -> dict[str, float]:
        """Saves the checkpoint, the export, samples and the measured quality (rank 0).

        Args:
            chats: Held-out chats to answer and judge.
            blended: An exported model to mix into the export.
            share: How much of it.
        """
        self.save()
        if not self.processes.is_main:
            return {}
        self.average.swap()
        shipped = build(self.settings, self.tokenizer)
        shipped.load_state_dict(self.model.state_dict())
        self.average.swap()
        if blended is not None:
            other: Any = Qwen2ForCausalLM.from_pretrained(blended, dtype=torch.float32)
            blend(shipped, other, share)
        export(shipped, self.tokenizer, self.out / "export")
        # Quality is measured as the product runs it: float32 arithmetic on float16 weights.
        folder = self.out / "export"
        shown: Any = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
        shown = shown.to(self.device).eval()
        asked = held_out_chats(chats)
        said = answers(shown, self.tokenizer, asked)
        result = judge(asked, said)
        self.curves.add(step=self.steps, elapsed_s=self.budget.all_s, **result)
        lines = [f"{c.kind}\t{c.user!r}\t{a}" for c, a in zip(asked, said, strict=True)]
        (self.out / "samples.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        record = {
            "settings": asdict(self.settings),
            "steps": self.steps,
            "seconds": self.budget.all_s,
            "processes": self.processes.world_size,
            "environment": common.environment(),
            "parameters": common.parameter_count([self.model]),
            "judged": len(asked),
            **result,
        }
        (self.out / "record.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        return result


def main() -> None:
    """Runs one call of training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    common.add_budget_options(parser, max_seconds=210)
    parser.add_argument("--start", type=Path, help="an exported model to go on from")
    parser.add_argument("--blend", type=Path, help="an exported model to mix into the export")
    parser.add_argument("--blend-share", type=float, default=0.2, help="how much of it, 0..1")
    parser.add_argument("--batch-tokens", type=int, help="tokens in a batch; less for a CPU")
    parser.add_argument("--rate", type=float, help="highest learning rate")
    parser.add_argument("--no-compile", action="store_true", help="run the model as it is")
    parser.add_argument("--tiny", action="store_true", help="tiny sizes, to try the code")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch._dynamo.config.suppress_errors = True  # a graph that won't compile runs as it is
    settings = TINY if options.tiny else Settings()
    settings = replace(
        settings,
        tokens=options.batch_tokens or settings.tokens,
        rate=options.rate or settings.rate,
        warmup=20 if options.start else settings.warmup,
    )
    budget = common.budget_of(options)
    compiled = not (options.no_compile or options.tiny) and torch.cuda.is_available()
    trainer = Trainer(options.out, settings, budget, compiled=compiled, start=options.start)
    trainer.train()
    quick = options.tiny or (options.max_seconds == 0 and options.start is None)
    result = trainer.finish(
        chats=8 if quick else 256, blended=options.blend, share=options.blend_share
    )
    if trainer.processes.is_main:
        print(json.dumps({"steps": trainer.steps, **result}))


if __name__ == "__main__":
    main()
