"""How many tokens a prompt takes, as the engine counts them, from the checkpoint's own files.

The files are read by the ``tokenizers`` package alone. Where the engine's library does not take a
file as it is (it rebuilds some classes), the same is done here; tests hold the two equal.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import Settings
from ourvidz.catalog.models import Model
from ourvidz.checkpoints.confirmations import folder_of
from ourvidz.core.errors import CheckpointInvalid, ModelMissing
from ourvidz.core.prompts import check_token_count, clean_prompt
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import JobKind

EncoderName = Literal["text_encoder", "text_encoder_2", "enhancer"]

_FILE, _CONFIG = "tokenizer.json", "tokenizer_config.json"
_VOCAB, _MERGES = "vocab.json", "merges.txt"
_MOST_LOADED = 8  # of half a million entries each, at most
_REBUILT = ("T5Tokenizer", "T5TokenizerFast", "UMT5Tokenizer", "UMT5TokenizerFast")
_BEGIN, _END = "<|startoftext|>", "<|endoftext|>"
_SPECIALS = ("bos_token", "eos_token", "unk_token", "pad_token")
_CLIP_WORDS = (
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Encoder:
    name: EncoderName
    folder: str  # of its tokenizer, within the checkpoint
    clean: Callable[[str], str] = str


_ENCODERS: Mapping[str, tuple[_Encoder, ...]] = {
    "wan": (_Encoder(name="text_encoder", folder="tokenizer", clean=clean_prompt),),
    "sdxl": (
        _Encoder(name="text_encoder", folder="tokenizer"),
        _Encoder(name="text_encoder_2", folder="tokenizer_2"),
    ),
    "qwen": (_Encoder(name="enhancer", folder=""),),
}


def count_tokens(settings: Settings, model: Model, text: str) -> dict[EncoderName, int]:
    """Return how many tokens ``text`` takes in each of a model's encoders, their own included.

    Raises:
        ModelMissing: the model, or its tokenizer's file, is not on this machine.
        CheckpointInvalid: the file can't be read.
    """
    folder = folder_of(settings, model)
    counts: dict[EncoderName, int] = {}
    for encoder in _ENCODERS[model.family]:
        tokenizer = _tokenizer(folder / encoder.folder, model.id)
        counts[encoder.name] = len(tokenizer.encode(encoder.clean(text)).ids)
    return counts


def length_check(
    settings: Settings, catalogue: Catalogue
) -> Callable[[GenerationRequest, JobKind], None]:
    """Return what refuses prompts that the model would cut, as the engine does when a job runs.

    A prompt that an enhancer reads may have any length. Where the model's tokenizer is not on this
    machine nothing is refused: the worker has it, and refuses.
    """

    def check(request: GenerationRequest, kind: JobKind) -> None:
        """Raise InvalidRequest where a text is too long."""
        if kind is JobKind.ENHANCE:
            return
        model = catalogue.models[request.model]
        texts = {"prompt": request.prompt, "negative_prompt": request.negative_prompt}
        for param, text in texts.items():
            if param == "prompt" and request.enhancement is not None:
                continue
            try:
                counts = count_tokens(settings, model, text)
            except (ModelMissing, CheckpointInvalid):
                return
            check_token_count(
                max(counts.values()),
                limit=model.prompt_token_limit,
                model_id=model.id,
                param=param,
            )

    return check


def _tokenizer(folder: Path, model_id: str) -> Tokenizer:
    files = [folder / name for name in (_FILE, _VOCAB, _MERGES, _CONFIG)]
    stamps = tuple(file.stat().st_mtime_ns if file.is_file() else None for file in files)
    has_file, has_vocab, has_merges, _ = (stamp is not None for stamp in stamps)
    if not has_file and not (has_vocab and has_merges):
        raise ModelMissing(
            f"The model {model_id!r} has no file {_FILE!r} on this machine.",
            hint=f"Fetch it again: `ourvidz models pull {model_id}`.",
        )
    try:
        return _loaded(folder, stamps)
    except Exception as error:  # the package has no class of its own for what a file is not
        raise CheckpointInvalid(
            f"The tokenizer of the model {model_id!r} can't be read: {error}",
            hint=f"Fetch it again: `ourvidz models pull {model_id}`.",
        ) from error


@lru_cache(maxsize=_MOST_LOADED)
def _loaded(folder: Path, stamps: tuple[int | None, ...]) -> Tokenizer:
    del stamps  # another file of the same name is another tokenizer
    config = _read(folder / _CONFIG) if (folder / _CONFIG).is_file() else {}
    if not (folder / _FILE).is_file():
        tokenizer = _clip(folder, config)
    elif config.get("tokenizer_class") in _REBUILT:
        tokenizer = Tokenizer.from_str(json.dumps(_rebuilt(_read(folder / _FILE))))
    else:
        tokenizer = Tokenizer.from_file(str(folder / _FILE))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def _rebuilt(file: dict[str, Any]) -> dict[str, Any]:
    """Return a T5 tokenizer's file as the library makes it anew from its vocabulary."""
    charsmap = _charsmap(file.get("normalizer"))
    metaspace = {"replacement": "\u2581", "prepend_scheme": "always", "split": True}
    return {
        **file,
        "normalizer": charsmap and {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", **metaspace}],
        },
        "model": {**file["model"], "byte_fallback": False},
    }


def _charsmap(normalizer: dict[str, Any] | None) -> str | None:
    parts = (normalizer or {}).get("normalizers") or [normalizer or {}]
    found = (part.get("precompiled_charsmap") for part in parts)
    charsmap = next((each for each in found if each), None)
    if charsmap is not None:
        base64.b64decode(charsmap, validate=True)
    return charsmap


def _clip(folder: Path, config: Mapping[str, Any]) -> Tokenizer:
    """Return CLIP's tokenizer from a vocabulary and merges, which is how SDXL is published."""
    specials = {name: _text(config.get(name)) or _END for name in _SPECIALS}
    specials["bos_token"] = _text(config.get("bos_token")) or _BEGIN
    model = models.BPE.from_file(
        str(folder / _VOCAB),
        str(folder / _MERGES),
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        fuse_unk=False,
        unk_token=specials["unk_token"],
    )
    tokenizer = Tokenizer(model)
    # The package's stubs know no setters.
    parts = cast("Any", tokenizer)
    parts.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    parts.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text in dict.fromkeys(specials.values())]
    )
    begin, end = specials["bos_token"], specials["eos_token"]
    parts.post_processor = processors.RobertaProcessing(
        (end, _id(tokenizer, end)),
        (begin, _id(tokenizer, begin)),
        trim_offsets=False,
        add_prefix_space=False,
    )
    return tokenizer


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"it has no token {token!r}")
    return found


def _text(token: str | Mapping[str, Any] | None) -> str | None:
    return token["content"] if isinstance(token, Mapping) else token
