"""What pocket-video is made of: sizes and settings, the untrained modules, the exported folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import WanPipeline
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from training.pocket import common, tokenizer
from training.pocket.captions import DEFAULT_NEGATIVE_PROMPT


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Scenes of one size: how many are kept as latents, and how often a batch of them comes.

    Attributes:
        num_frames: Frames of a clip, 4n + 1; 1 for single frames.
        height: Pixels.
        width: Pixels.
        count: Scenes kept by each process.
        batch: Rows of a step of each process.
        early: Share of the steps until `Settings.early_until`.
        share: Share of the steps from then on.
    """

    num_frames: int
    height: int
    width: int
    count: int
    batch: int
    early: float
    share: float


# Words and who is where are learned on single frames, which cost a fraction of a clip; most early
# steps are theirs. Later native clips are the rule, shorter and smaller ones as the presets ask
# for them, and single frames keep their third, as four of the job types make images.
_BUCKETS = (
    Bucket(num_frames=33, height=160, width=96, count=12_000, batch=144, early=0.16, share=0.42),
    Bucket(num_frames=25, height=160, width=96, count=1_500, batch=192, early=0.02, share=0.05),
    Bucket(num_frames=17, height=160, width=96, count=1_500, batch=256, early=0.04, share=0.05),
    Bucket(num_frames=33, height=128, width=80, count=2_500, batch=224, early=0.02, share=0.06),
    Bucket(num_frames=21, height=128, width=80, count=2_000, batch=288, early=0.02, share=0.05),
    Bucket(num_frames=17, height=128, width=80, count=1_000, batch=320, early=0.02, share=0.03),
    Bucket(num_frames=1, height=160, width=96, count=36_000, batch=768, early=0.60, share=0.27),
    Bucket(num_frames=1, height=128, width=80, count=8_000, batch=768, early=0.12, share=0.07),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that the result depends on.

    Attributes:
        pair_share: Share of single frames that show two objects: which of them is where is the
            last thing learned.
        early_until: Share of training time during which `Bucket.early` counts.
        null_share: Share of rows trained without a caption (guidance needs that prediction).
        time_shift: Noise levels are uniform, then shifted as flow schedulers do.
    """

    heads: int = 4
    head_dim: int = 48
    layers: int = 6
    ffn_dim: int = 576
    freq_dim: int = 128
    text_dim: int = 128
    text_layers: int = 4
    text_heads: int = 4
    text_ffn_dim: int = 256
    buckets: tuple[Bucket, ...] = _BUCKETS
    captions: int = 6
    pair_share: float = 0.5
    early_until: float = 0.35
    learning_rate: float = 1.2e-3
    weight_decay: float = 0.01
    clip_gradient: float = 1.0
    ema: float = 0.999
    null_share: float = 0.12
    time_shift: float = 3.0
    seed: int = 11


def build(
    settings: Settings, *, latent_channels: int
) -> tuple[WanTransformer3DModel, UMT5EncoderModel]:
    """The untrained modules, of the library's classes."""
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=settings.heads,
        attention_head_dim=settings.head_dim,
        in_channels=latent_channels,
        out_channels=latent_channels,
        text_dim=settings.text_dim,
        freq_dim=settings.freq_dim,
        ffn_dim=settings.ffn_dim,
        num_layers=settings.layers,
        rope_max_seq_len=256,
    )
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.normal_(transformer.condition_embedder.time_proj.weight, std=0.02)
    nn.init.zeros_(transformer.proj_out.weight)
    config = UMT5Config(
        vocab_size=tokenizer.VOCAB_SIZE,
        d_model=settings.text_dim,
        d_kv=settings.text_dim // settings.text_heads,
        d_ff=settings.text_ffn_dim,
        num_layers=settings.text_layers,
        num_heads=settings.text_heads,
        dropout_rate=0.0,
        tie_word_embeddings=True,  # pyright: ignore[reportCallIssue]  # it goes through `**kwargs`
    )
    return transformer, UMT5EncoderModel(config)


class Model(nn.Module):
    """Text encoder and transformer as one module: token ids in, velocity out."""

    def __init__(self, transformer: WanTransformer3DModel, text_encoder: UMT5EncoderModel) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder
        # The residual stream in float32, also where autocast would make it bfloat16.
        transformer.patch_embedding.register_forward_hook(_to_float)

    def forward(self, noisy: Tensor, sigma: Tensor, tokens: Tensor) -> Tensor:
        """Predicts velocities [B, z, f, h, w] at noise levels `sigma` [B] for `tokens` [B, L]."""
        mask = (tokens > 0).long()
        text = self.text_encoder(tokens, mask).last_hidden_state * mask[..., None]
        return self.transformer(noisy, sigma * 1000, text, return_dict=False)[0].float()


def _to_float(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return output.float()


def export(
    folder: Path,
    *,
    transformer: WanTransformer3DModel,
    text_encoder: UMT5EncoderModel,
    tokens: PreTrainedTokenizerFast,
    vae_folder: Path,
) -> None:
    """Writes the pipeline's layout in half precision, loadable by `WanPipeline`."""
    half_transformer = common.twin(transformer)
    for parameter in half_transformer.parameters():
        parameter.data = parameter.data.half()
    half_text = UMT5EncoderModel(text_encoder.config)
    half_text.load_state_dict(text_encoder.state_dict())
    kind: Any = WanPipeline  # declares one scheduler and `AutoTokenizer`, and takes any
    pipeline = kind(
        tokenizer=tokens,
        text_encoder=half_text.half(),
        vae=AutoencoderKLWan.from_pretrained(vae_folder, torch_dtype=torch.float16),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
        transformer=half_transformer,
    )
    pipeline.save_pretrained(folder)
    _forget_origin(folder / "vae" / "config.json")
    facts = {
        "max_sequence_length": tokenizer.MAX_SEQUENCE_LENGTH,
        "height": 160,
        "width": 96,
        "num_frames": 33,
        "fps": 16,
        "default_negative_prompt": DEFAULT_NEGATIVE_PROMPT,
    }
    (folder / "ourvidz.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _forget_origin(config: Path) -> None:
    """Drops the folder that the library notes down: a path of the machine that trained."""
    values = json.loads(config.read_text(encoding="utf-8"))
    values.pop("_name_or_path", None)
    config.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
