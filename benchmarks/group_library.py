"""One forward of diffusers' Wan transformer by its own context parallelism, as JSON.

``torchrun --nproc-per-node N -m benchmarks.group_library --models DIR``: Ulysses over N GPUs,
blocks compiled, cuDNN attention, 480x832x81, batch 1; seconds of ten forwards after three.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

_TOKENS_OF_TEXT, _TEXT_WIDTH = 512, 4096
_WARM_UPS, _REPEATS = 3, 10


def main() -> None:
    """Run on every rank; rank 0 prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    folder = parser.parse_args().models / "wan2.1-t2v-1.3b" / "transformer"
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    dist.init_process_group("nccl", device_id=device)
    transformer = _load(folder, device, size)
    torch.manual_seed(0)
    latents = torch.randn(1, 16, 21, 60, 104, device=device, dtype=torch.bfloat16)
    text = torch.randn(1, _TOKENS_OF_TEXT, _TEXT_WIDTH, device=device, dtype=torch.bfloat16)
    timestep = torch.tensor([500.0], device=device)
    times_s: list[float] = []
    with torch.inference_mode():
        for _ in range(_WARM_UPS + _REPEATS):
            dist.barrier()
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            transformer(latents, timestep, text, return_dict=False)
            end.record()
            end.synchronize()
            times_s.append(start.elapsed_time(end) / 1000)
    dist.destroy_process_group()
    if rank == 0:
        print(json.dumps([round(each, 5) for each in times_s[_WARM_UPS:]]))


def _load(folder: Path, device: torch.device, size: int) -> Any:
    from diffusers.models._modeling_parallel import ContextParallelConfig
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    make: Any = WanTransformer3DModel.from_pretrained
    transformer = make(folder, dtype=torch.bfloat16).to(device).eval()
    transformer.set_attention_backend("_native_cudnn")
    if size > 1:
        transformer.enable_parallelism(config=ContextParallelConfig(ulysses_degree=size))
    transformer.compile_repeated_blocks(fullgraph=True)
    return transformer


if __name__ == "__main__":
    main()
