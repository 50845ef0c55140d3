"""Pictures of a trained pocket-image: drawn by the library's pipeline, next to the truth."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from training.pocket.captions import DEFAULT_NEGATIVE_PROMPT, caption
from training.pocket.world import Scene, draw, place, sample_scene


def held_out_prompts(count: int, seed: int) -> list[tuple[Scene, str]]:
    """Scenes and captions of the evaluation split."""
    rng = random.Random(seed)
    scenes = [sample_scene(rng, video=False, held_out=True) for _ in range(count)]
    return [(s, caption(s, rng, split="eval", complete=True).text) for s in scenes]


def generate(
    pipeline: Any,
    prompts: list[str],
    *,
    steps: int = 15,
    guidance: float = 6.0,
    negative: str | None = DEFAULT_NEGATIVE_PROMPT,
    seed: int = 0,
) -> np.ndarray:
    """Draws one picture a prompt at the native size: uint8 [N, size, size, 3]."""
    side = pipeline.unet.config["sample_size"] * pipeline.vae_scale_factor
    pictures = pipeline(
        prompt=prompts,
        negative_prompt=None if negative is None else [negative] * len(prompts),
        num_inference_steps=steps,
        guidance_scale=guidance,
        height=side,
        width=side,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
        output_type="np",
    ).images
    return (np.nan_to_num(np.asarray(pictures)) * 255).round().astype(np.uint8)


def save_sheet(pipeline: Any, folder: Path, *, count: int) -> None:
    """Saves truth above result for held-out prompts, and the prompts in reading order."""
    shown = held_out_prompts(count, seed=5)
    made = generate(pipeline, [text for _, text in shown])
    side = made.shape[1]
    truth = draw(
        place([s for s, _ in shown], random.Random(5)), num_frames=1, height=side, width=side
    )
    drawn = ((truth[:, :, 0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    cells = np.concatenate((drawn, made), axis=1)
    columns = min(8, count)
    rows = [
        np.concatenate(list(cells[i : i + columns]), axis=1)
        for i in range(0, count - count % columns, columns)
    ]
    Image.fromarray(np.concatenate(rows, axis=0)).save(folder / "sheet.png")
    prompts = "\n".join(text for _, text in shown) + "\n"
    (folder / "sheet.txt").write_text(prompts, encoding="utf-8")
