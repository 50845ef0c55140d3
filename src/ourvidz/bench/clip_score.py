"""CLIP score of an output, for who has the weights of a CLIP model: none are shipped or fetched.

A trained network's opinion of how near a picture and a text are. It knows objects and styles, and
little of counts, places and movement; compare outputs of one prompt, by one model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, MissingDependency, ModelMissing
from ourvidz.media.frames import RgbFrame

# Hessel, Holtzman, Forbes, Le Bras, Choi, "CLIPScore: a reference-free evaluation metric for image
# captioning", EMNLP 2021: 2.5 max(cosine, 0). The paper's "a photo depicts" before the text is left
# out: prompts are no captions of photographs.
_WEIGHT = 2.5
_BATCH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipScore:
    """How near a text and an output are to one CLIP model."""

    score: float  # mean over frames, 0 to 2.5
    num_frames: int
    is_truncated: bool  # the prompt is longer than the model reads

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "score": self.score,
            "num_frames": self.num_frames,
            "is_truncated": self.is_truncated,
        }


class ClipScorer:
    """A CLIP model from a folder as the Hugging Face hub has them (safetensors alone)."""

    def __init__(self, folder: Path) -> None:
        """Load the model, on the CPU, in float32.

        Raises:
            MissingDependency: The ``engine`` extra is not installed.
            ModelMissing: No such folder.
            CheckpointInvalid: It holds another model, or not all of it.
        """
        _require_clip(folder)
        try:
            import transformers
        except ImportError as error:
            raise MissingDependency(
                "CLIP scores need torch and transformers.", hint="Install ourvidz[engine]."
            ) from error
        library: Any = transformers
        library.utils.logging.disable_progress_bar()
        try:
            self._model, loading = library.CLIPModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self._tokenizer = library.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            self._images = library.CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise CheckpointInvalid(
                f"{str(folder)!r} does not load as CLIP: {str(error).splitlines()[0]}",
                param="clip_model",
            ) from error
        if missing := sorted(loading["missing_keys"]):  # which would be random values
            raise CheckpointInvalid(
                f"{str(folder)!r} lacks {len(missing)} tensors, {missing[0]!r} for one.",
                param="clip_model",
            )
        self._model.eval()

    def score(self, prompt: str, frames: Iterable[RgbFrame]) -> ClipScore:
        """Return the score of frames, (H, W, 3) uint8 RGB, mean over all of them.

        Raises:
            InvalidRequest: There are none.
        """
        import torch

        longest = int(self._model.config.text_config.max_position_embeddings)
        whole = len(self._tokenizer(prompt)["input_ids"])
        tokens = self._tokenizer(prompt, truncation=True, max_length=longest, return_tensors="pt")
        cosines: list[float] = []
        with torch.inference_mode():
            for batch in _batches(frames):
                pixels = self._images(images=batch, return_tensors="pt")
                out = self._model(**tokens, pixel_values=pixels["pixel_values"])
                found = out.image_embeds @ out.text_embeds.T  # both of length 1
                cosines += [float(each) for each in found[:, 0]]
        if not cosines:
            raise InvalidRequest("there are no frames to score", param="path")
        return ClipScore(
            score=_WEIGHT * sum(max(each, 0.0) for each in cosines) / len(cosines),
            num_frames=len(cosines),
            is_truncated=whole > longest,
        )


def _require_clip(folder: Path) -> None:
    hint = "Name a folder with config.json, a tokenizer and model.safetensors of a CLIP model."
    path = folder / "config.json"
    if not path.is_file():
        raise ModelMissing(f"There is no {str(path)!r}.", param="clip_model", hint=hint)
    try:
        kind: object = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError) as error:
        raise CheckpointInvalid(
            f"{str(path)!r} is no model's configuration.", param="clip_model", hint=hint
        ) from error
    if kind != "clip":
        raise CheckpointInvalid(
            f"{str(folder)!r} holds a model of type {kind!r}, not 'clip'.",
            param="clip_model",
            hint=hint,
        )


def _batches(frames: Iterable[RgbFrame]) -> Iterator[list[RgbFrame]]:
    iterator = iter(frames)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
