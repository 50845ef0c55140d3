"""The library's side of a comparison: its own pipelines on the same files, as its users run them.

``is_best`` is what its documentation offers beyond the model card: regional compilation
(``compile_repeated_blocks(fullgraph=True)``), cuDNN's attention, the VAE in bfloat16, channels-last
for the UNet, a static cache for the language model. Compilation and cuDNN need CUDA; elsewhere the
best is the documented way.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ourvidz.core.request import GenerationRequest
from ourvidz.engine.device import release_unused, synchronize
from ourvidz.media.video import VideoWriter
from ourvidz.models.imports import library_imports
from ourvidz.models.sdxl.config import SdxlGeometry
from ourvidz.models.sdxl.denoise import prepare_latents as sdxl_latents
from ourvidz.models.wan.config import WanGeometry
from ourvidz.models.wan.denoise import prepare_latents as wan_latents


class LibraryWan:
    """``WanPipeline`` with its transformer in bfloat16 and, as its model card says, a float32 VAE.

    On a CPU everything is float32.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: torch.device,
        text_tokens: int,
        is_best: bool = False,
        share: LibraryWan | None = None,
    ) -> None:
        """Load the pipeline.

        Args:
            folder: the model folder that our side reads too.
            device: where it runs.
            text_tokens: what prompts are padded to.
            is_best: see the module.
            share: whose text encoder to use too; the networks that differ are loaded again.
        """
        diffusers, on_gpu = _diffusers(), device.type == "cuda"
        self._device, self._text_tokens = device, text_tokens
        self._scheduler_class: Any = diffusers.UniPCMultistepScheduler
        vae = diffusers.AutoencoderKLWan.from_pretrained(
            folder,
            subfolder="vae",
            dtype=torch.bfloat16 if on_gpu and is_best else torch.float32,
        )
        shared: dict[str, Any] = {}
        if share is not None:
            shared = {name: getattr(share.pipeline, name) for name in ("text_encoder", "tokenizer")}
        dtype = torch.bfloat16 if on_gpu else torch.float32
        make = diffusers.WanPipeline.from_pretrained
        self.pipeline: Any = make(folder, vae=vae, dtype=dtype, **shared).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        if is_best and on_gpu:
            self.pipeline.transformer.set_attention_backend("_native_cudnn")
            self.pipeline.transformer.compile_repeated_blocks(fullgraph=True)

    def latents(self, request: GenerationRequest) -> torch.Tensor:
        """Return the noise that our side draws for ``request``."""
        return wan_latents(
            seeds=request.item_seeds,
            num_frames=request.num_frames,
            height=request.height,
            width=request.width,
            geometry=WanGeometry.from_configs(
                transformer=self.pipeline.transformer.config, vae=self.pipeline.vae.config
            ),
            device=self._device,
        )

    def denoise(self, request: GenerationRequest, *, output_type: str = "latent") -> Any:
        """Run the pipeline; return its frames or, by default, its latents."""
        self.pipeline.scheduler = self._scheduler_class.from_config(
            self.pipeline.scheduler.config, flow_shift=request.flow_shift
        )
        return self.pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            height=request.height,
            width=request.width,
            num_frames=request.num_frames,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            latents=self.latents(request),
            max_sequence_length=self._text_tokens,
            output_type=output_type,
        ).frames

    def video(self, request: GenerationRequest, path: Path) -> float:
        """Return the seconds from the prompt to an MP4 at ``path``."""
        start_s = time.perf_counter()
        export(self.denoise(request, output_type="np")[0], path, fps=request.fps)
        return time.perf_counter() - start_s

    def forward_times_s(self, request: GenerationRequest) -> list[float]:
        """Return the seconds of each pass of the transformer while it denoises."""
        with timed_calls(self.pipeline.transformer, self._device) as times_s:
            self.denoise(request)
        return times_s()

    def decode_s(self, request: GenerationRequest) -> float:
        """Return the seconds that the VAE takes for the clip's latents."""
        vae = self.pipeline.vae
        latents = self.latents(request).to(vae.dtype)
        with torch.inference_mode():
            return call_s(lambda: vae.decode(latents, return_dict=False), self._device)

    def close(self) -> None:
        """Free its memory."""
        self.pipeline = None
        release_unused(self._device)


class LibrarySdxl:
    """``StableDiffusionXLPipeline`` in float16, its VAE upcast to float32 by itself.

    The best decodes in bfloat16, which its pipeline has no switch for: it takes latents and
    decodes them in one call.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: torch.device,
        is_best: bool = False,
        compile_unet: bool = False,
        share: LibrarySdxl | None = None,
    ) -> None:
        """Load the pipeline.

        Args:
            folder: the model folder that our side reads too.
            device: where it runs.
            is_best: see the module.
            compile_unet: compile the best's whole UNet, which takes two minutes, in place of its
                transformer blocks alone.
            share: whose text encoders to use too.
        """
        diffusers, on_gpu = _diffusers(), device.type == "cuda"
        self._device = device
        self._own_vae: Any = None
        shared: dict[str, Any] = {}
        if share is not None:
            names = ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
            shared = {name: getattr(share.pipeline, name) for name in names}
        variant = "fp16" if any((folder / "unet").glob("*.fp16.safetensors")) else None
        if is_best:
            self._own_vae = diffusers.AutoencoderKL.from_pretrained(
                folder,
                subfolder="vae",
                variant=variant,
                dtype=torch.bfloat16 if on_gpu else torch.float32,
            )
            shared["vae"] = self._own_vae
        shared["variant"] = variant
        dtype = torch.float16 if on_gpu else torch.float32
        make = diffusers.StableDiffusionXLPipeline.from_pretrained
        self.pipeline: Any = make(folder, dtype=dtype, **shared).to(device)
        self.pipeline.set_progress_bar_config(disable=True)
        if not is_best:
            return
        self.pipeline.unet.to(memory_format=torch.channels_last)
        self._own_vae.to(memory_format=torch.channels_last)
        if on_gpu and compile_unet:
            self.pipeline.unet.compile(fullgraph=True)
        elif on_gpu:
            self.pipeline.unet.compile_repeated_blocks(fullgraph=True)

    def latents(self, request: GenerationRequest) -> torch.Tensor:
        """Return the noise that our side draws for ``request``, in the UNet's precision."""
        unet = self.pipeline.unet
        noise = sdxl_latents(
            seeds=request.item_seeds,
            height=request.height,
            width=request.width,
            geometry=SdxlGeometry.from_configs(unet=unet.config, vae=self.pipeline.vae.config),
            device=self._device,
        )
        return noise.to(unet.dtype)

    def images(self, request: GenerationRequest, folder: Path, stem: str) -> float:
        """Return the seconds from the prompt to PNG files in ``folder``."""
        start_s = time.perf_counter()
        for index, image in enumerate(self._pictures(request)):
            image.save(folder / f"{stem}-{index + 1}.png")
        return time.perf_counter() - start_s

    def _pictures(self, request: GenerationRequest) -> Sequence[Any]:
        has_own_decode = self._own_vae is not None
        made = self.pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative_prompt or None,
            height=request.height,
            width=request.width,
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            num_images_per_prompt=request.num_images,
            latents=self.latents(request),
            output_type="latent" if has_own_decode else "pil",
        ).images
        return self._decoded(made) if has_own_decode else made

    @torch.inference_mode()
    def _decoded(self, latents: torch.Tensor) -> Sequence[Any]:
        vae = self._own_vae
        scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
        images = vae.decode(scaled, return_dict=False)[0]
        return self.pipeline.image_processor.postprocess(images.float(), output_type="pil")

    def close(self) -> None:
        """Free its memory."""
        self.pipeline = self._own_vae = None
        release_unused(self._device)


class LibraryQwen:
    """``AutoModelForCausalLM.generate``, greedy; the best with a static cache and compilation."""

    def __init__(self, folder: Path, *, device: torch.device) -> None:
        """Load the model in bfloat16 (on a CPU in float32)."""
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        load = _transformers().AutoModelForCausalLM.from_pretrained
        self.model: Any = load(folder, dtype=dtype).to(device).eval()
        self._device = device

    def tokens(self, input_ids: torch.Tensor, count: int, *, is_best: bool = False) -> list[int]:
        """Return exactly ``count`` new tokens after ``input_ids``, (1, T)."""
        options: dict[str, Any] = {"cache_implementation": "static"} if is_best else {}
        found = self.model.generate(
            input_ids,
            attention_mask=torch.ones_like(input_ids),
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            repetition_penalty=1.0,
            min_new_tokens=count,
            max_new_tokens=count,
            **options,
        )
        return found[0, input_ids.shape[1] :].tolist()

    def seconds(self, input_ids: torch.Tensor, count: int, *, is_best: bool = False) -> float:
        """Return how long ``tokens`` takes."""
        return call_s(lambda: self.tokens(input_ids, count, is_best=is_best), self._device)

    def close(self) -> None:
        """Free its memory."""
        self.model = None
        release_unused(self._device)


def _diffusers() -> Any:
    _transformers()
    with library_imports:
        importlib.import_module("diffusers.utils.logging").disable_progress_bar()
        return importlib.import_module("diffusers")


def _transformers() -> Any:
    with library_imports:
        importlib.import_module("transformers.utils.logging").disable_progress_bar()
        return importlib.import_module("transformers")


# ------------------------------------------------------------------------------------------ timing


def call_s(call: Callable[[], object], device: torch.device) -> float:
    """Return how long a call takes, until the device has done what it asked for."""
    synchronize(device)
    start_s = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start_s


@contextmanager
def timed_calls(
    module: torch.nn.Module, device: torch.device
) -> Generator[Callable[[], list[float]]]:
    """Time every call of ``module`` within the block, on CUDA with device events.

    Yields a function that returns the seconds of each call; ask it after the block's work.
    """
    marks: list[Any] = []

    def mark(*_: object) -> None:
        if device.type != "cuda":
            marks.append(time.perf_counter())
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        marks.append(event)

    def times_s() -> list[float]:
        synchronize(device)
        pairs = zip(marks[::2], marks[1::2], strict=True)
        if device.type != "cuda":
            return [end - begin for begin, end in pairs]
        return [begin.elapsed_time(end) / 1000 for begin, end in pairs]

    handles = [
        module.register_forward_pre_hook(mark),
        module.register_forward_hook(mark),
    ]
    try:
        yield times_s
    finally:
        for handle in handles:
            handle.remove()


# ------------------------------------------------------------------------------------------- files


def export(frames: Any, path: Path, *, fps: int) -> None:
    """Write the pipeline's frames, (F, H, W, 3) float in [0, 1], as an MP4.

    By the library's ``export_to_video`` where what it needs is installed, else by our own writer.
    """
    if has_exporter():
        exporter: Any = importlib.import_module("diffusers.utils.export_utils")
        exporter.export_to_video(list(frames), str(path), fps=fps)
        return
    height, width = frames.shape[1:3]
    with VideoWriter(path, width=width, height=height, fps=fps) as writer:
        for frame in frames:
            writer.write((frame * 255).round().astype(np.uint8))


@functools.cache
def has_exporter() -> bool:
    """Whether ``export_to_video`` can work here: imageio with its ffmpeg."""
    found = all(importlib.util.find_spec(name) for name in ("imageio", "imageio_ffmpeg"))
    if not found:
        logging.getLogger(__name__).info("imageio-ffmpeg is not installed: our writer is used")
    return found
