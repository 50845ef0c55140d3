"""The networks of pocket-image: built, encoding text and pixels, exported and loaded again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import (
    StableDiffusionXLPipeline,
)
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from training.pocket import image_data
from training.pocket.captions import DEFAULT_NEGATIVE_PROMPT
from training.pocket.image_settings import Settings

# SDXL base 1.0's own numbers (its published vae/ and scheduler/ configs).
SCALING_FACTOR: Final = 0.13025
SCHEDULER: Final[dict[str, Any]] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "interpolation_type": "linear",
    "use_karras_sigmas": False,
    "timestep_spacing": "leading",
    "steps_offset": 1,
}
TIME_IDS: Final = 6  # original size, crop corner, target size
FACTS_FILE: Final = "ourvidz.json"

# The library annotates its own constructors and optional parts too narrowly: `Any` where it does.


def build_vae(settings: Settings) -> AutoencoderKL:
    """The untrained VAE, of the library's class: 8 pixels a latent pixel, 4 latent channels."""
    shape: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": settings.vae_channels,
    }
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=settings.groups,
        sample_size=settings.size,
        scaling_factor=SCALING_FACTOR,
        force_upcast=True,
        **shape,
    )


def build_unet(settings: Settings) -> UNet2DConditionModel:
    """The untrained UNet in SDXL's shape: no attention on the first level, text and size embeds."""
    shape: dict[str, Any] = {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": settings.unet_channels,
        "transformer_layers_per_block": (1, 1, 1),
        "attention_head_dim": settings.unet_heads,
    }
    return UNet2DConditionModel(
        sample_size=settings.size // 8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        cross_attention_dim=sum(settings.text_widths),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=settings.time_id_width,
        projection_class_embeddings_input_dim=(
            settings.text_widths[1] + TIME_IDS * settings.time_id_width
        ),
        norm_num_groups=settings.groups,
        **shape,
    )


def build_text_encoders(
    settings: Settings, tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Both untrained text encoders, of the library's classes, with SDXL's two activations."""
    special: list[dict[str, Any]] = [
        {
            "bos_token_id": t.bos_token_id,
            "eos_token_id": t.eos_token_id,
            "pad_token_id": t.pad_token_id,
        }
        for t in tokenizers
    ]
    configs = [
        CLIPTextConfig(
            vocab_size=settings.vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=settings.text_heads,
            max_position_embeddings=image_data.TEXT_LENGTH,
            hidden_act=activation,
            **ids,
        )
        for width, layers, activation, ids in zip(
            settings.text_widths,
            settings.text_layers,
            ("quick_gelu", "gelu"),
            special,
            strict=True,
        )
    ]
    encoders = CLIPTextModel(configs[0]), CLIPTextModelWithProjection(configs[1])
    encoder: Any
    for encoder in encoders:
        # The UNet reads hidden states before any final norm: CLIP's own init makes them tiny.
        nn.init.normal_(encoder.get_input_embeddings().weight, std=0.5)
        for name, parameter in encoder.named_parameters():
            if "position_embedding" in name:
                nn.init.normal_(parameter, std=0.2)
    return encoders


def scheduler() -> EulerDiscreteScheduler:
    """SDXL base's scheduler."""
    return EulerDiscreteScheduler(**SCHEDULER)


def encode_pixels(vae: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log variance, each [B, 4, H/8, W/8], of pixels [B, 3, H, W] in -1..1."""
    moments = vae.quant_conv(vae.encoder(pixels))
    mean, log_variance = moments.float().chunk(2, dim=1)
    return mean, log_variance.clamp(-30, 20)


@torch.no_grad()
def standardise(vae: Any, mean: Tensor, std: Tensor) -> None:
    """Moves a shift and a scale of latents into the 1x1 convolutions on either side of them.

    Afterwards latents times `SCALING_FACTOR` have mean 0 and deviation 1 in every channel, and
    decode to what they did before.

    Args:
        vae: Changed in place.
        mean: float [4], of latents as they are.
        std: float [4], likewise.
    """
    scale = 1 / (SCALING_FACTOR * std)
    into, out_of = vae.quant_conv, vae.post_quant_conv
    channels = scale.numel()
    into.weight[:channels] *= scale[:, None, None, None]
    into.bias[:channels] = (into.bias[:channels] - mean) * scale
    into.bias[channels:] += 2 * scale.log()
    out_of.bias += out_of.weight[:, :, 0, 0] @ mean
    out_of.weight /= scale[None, :, None, None]


class Models:
    """The four networks and two tokenizers of one checkpoint."""

    def __init__(
        self,
        settings: Settings,
        tokenizers: tuple[CLIPTokenizer, CLIPTokenizer],
        device: torch.device,
    ) -> None:
        self.tokenizers = tokenizers
        torch.manual_seed(settings.seed)
        # The library's own annotations are too narrow for how its modules are used.
        self.vae: Any = build_vae(settings)
        self.unet: Any = build_unet(settings)
        self.text: Any = nn.ModuleList(build_text_encoders(settings, tokenizers))
        for module in (self.vae, self.unet):
            if device.type == "cuda":
                module.to(memory_format=torch.channels_last)
        for module in (self.vae, self.unet, self.text):
            module.to(device)

    def encode_text(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Embeds tokens int64 [B, 77] (padded by the first tokenizer's rule) as SDXL does.

        Returns:
            [B, 77, both widths] and the pooled [B, second width].
        """
        second_tokenizer: Any = self.tokenizers[1]
        is_end = tokens.eq(second_tokenizer.eos_token_id)
        is_padding = is_end.cumsum(1) > is_end.long()
        second = tokens.masked_fill(is_padding, second_tokenizer.pad_token_id)
        one = self.text[0](tokens, output_hidden_states=True)
        two = self.text[1](second, output_hidden_states=True)
        return torch.cat((one.hidden_states[-2], two.hidden_states[-2]), dim=-1), two.text_embeds


def _half_copy(module: Any) -> Any:
    """The same module in float16 on the CPU."""
    if isinstance(module, AutoencoderKL | UNet2DConditionModel):
        copy: Any = type(module).from_config(module.config)
    else:
        copy = type(module)(module.config)
    copy.load_state_dict({k: v.contiguous().cpu() for k, v in module.state_dict().items()})
    return copy.to(torch.float16)


def export(models: Models, folder: Path) -> None:
    """Writes the library's pipeline layout in float16, and the facts that ourvidz reads."""
    sampler: Any = scheduler()
    pipeline = StableDiffusionXLPipeline(
        vae=_half_copy(models.vae),
        text_encoder=_half_copy(models.text[0]),
        text_encoder_2=_half_copy(models.text[1]),
        tokenizer=models.tokenizers[0],
        tokenizer_2=models.tokenizers[1],
        unet=_half_copy(models.unet),
        scheduler=sampler,
        force_zeros_for_empty_prompt=True,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    for name in ("text_encoder", "text_encoder_2"):
        image_data.load_as_float32(folder / name / "config.json")
    side = models.vae.config["sample_size"]
    facts = {
        "height": side,
        "width": side,
        "max_sequence_length": image_data.TEXT_LENGTH,
        "default_negative_prompt": DEFAULT_NEGATIVE_PROMPT,
    }
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def load_pipeline(folder: Path, device: torch.device) -> Any:
    """The exported pipeline in float32, silent."""
    pipeline = StableDiffusionXLPipeline.from_pretrained(
        folder, dtype=torch.float32, add_watermarker=False
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
