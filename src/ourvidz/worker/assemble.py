"""Puts a worker together from the settings: where models are, which device, which environment."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ourvidz.catalog.catalogue import Catalogue
from ourvidz.catalog.config import ModelEntry, Settings
from ourvidz.catalog.few_step import BY_ID
from ourvidz.checkpoints.confirmations import offers_high
from ourvidz.checkpoints.locate import find_model
from ourvidz.core.clock import Clock
from ourvidz.core.errors import MissingDependency, ModelMissing
from ourvidz.models.imports import library_imports
from ourvidz.perf.environment import environment
from ourvidz.perf.fingerprint import Fingerprints
from ourvidz.perf.prediction import Forecaster
from ourvidz.perf.records import RecordReader
from ourvidz.perf.sampling import open_sampler

if TYPE_CHECKING:
    from ourvidz.engine.chat import ChatEndpoint
    from ourvidz.worker.engine_runner import EngineRunner
    from ourvidz.worker.run import Worker

_ENGINE_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def require_engine_packages() -> None:
    """Refuse to go on without the packages of the ``engine`` extra.

    Raises:
        MissingDependency: naming the missing packages and the command that installs them.
    """
    missing = [name for name in _ENGINE_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"Generating needs packages that are not installed: {', '.join(missing)}.",
            hint="pip install torch, then pip install 'ourvidz[engine]'",
        )


def model_locator(settings: Settings) -> Callable[[str], Path]:
    """Return the function that finds a model's folder: configured path, data directory, package.

    It raises ``ModelMissing`` with the command that fetches the model.
    """

    def locate(model_id: str) -> Path:
        entry = settings.models.get(model_id)
        if entry is not None and _is_lora(entry):
            return locate(entry.base)
        configured = settings.model_paths.get(model_id)
        if configured is None:
            return find_model(model_id, [settings.resolved_models_dir])
        if not configured.is_dir():
            raise ModelMissing(
                f"model_paths names {str(configured)!r} for {model_id!r}, which is not a folder.",
                hint="For a single-file checkpoint: `ourvidz models convert FILE --as "
                f"{model_id}`.",
            )
        return configured

    return locate


def _is_lora(entry: ModelEntry) -> bool:
    known = BY_ID.get(entry.few_step or "")
    return entry.lora is not None or (known is not None and known.lora is not None)


def assemble_worker(
    *,
    settings: Settings,
    catalogue: Catalogue,
    clock: Clock,
    records: RecordReader | None = None,
) -> Worker:
    """Return a worker that runs jobs in this process.

    Args:
        records: past jobs, for the ETA; None: it knows only its own.

    Raises:
        MissingDependency: the ``engine`` extra is not installed.
        ConfigInvalid: the device is not on this machine.
    """
    require_engine_packages()
    # Only now: the engine imports torch, and everything above must work without it.
    with library_imports:
        from ourvidz.engine.device import precision_of, runtime_versions
        from ourvidz.engine.embed_files import EmbedFiles
        from ourvidz.engine.engine import Engine
        from ourvidz.engine.variants import Variant
        from ourvidz.worker.expectations import Expectations
        from ourvidz.worker.run import Worker

    variants = {
        model.id: Variant(
            base=model.base,
            # A relative path lies in the model's own folder.
            loras=tuple(
                (settings.resolved_models_dir / model.id / lora.file, lora.strength)
                for lora in model.loras
            ),
        )
        for model in catalogue.models.values()
        if model.base is not None
    }
    high_models = [model.id for model in catalogue.models.values() if offers_high(settings, model)]
    engine = Engine(
        locate=model_locator(settings),
        token_limits={model.id: model.prompt_token_limit for model in catalogue.models.values()},
        clock=clock,
        device=settings.device,
        dtype=settings.dtype,
        techniques_off=settings.techniques_off,
        cache_dir=settings.data_dir / "cache",
        vram_gib=settings.vram_gib,
        host_cache_gib=settings.host_cache_gib,
        embed_files=EmbedFiles(
            settings.data_dir / "cache" / "embeds", max_bytes=settings.embed_cache_bytes
        ),
        variants=variants,
        endpoint=_endpoint(settings),
        high_models=high_models,
        group_size=settings.group_size,
    )
    return Worker(
        engine=engine,
        clock=clock,
        environment=environment(),
        fingerprints=Fingerprints(
            device=str(engine.device),
            precision=precision_of(settings.dtype, engine.device),
            locate=model_locator(settings),
            loras={model_id: variant.loras for model_id, variant in variants.items()},
            techniques_off=settings.techniques_off,
            high_models=high_models,
            runtime=runtime_versions(),
            cache_dir=settings.data_dir / "cache",
            group_size=settings.group_size,
        ),
        sampler=open_sampler(str(engine.device), clock=clock),
        expectations=Expectations(forecaster=Forecaster(records, clock=clock)),
    )


def assemble_runner(
    *,
    settings: Settings,
    catalogue: Catalogue,
    clock: Clock,
    records: RecordReader | None = None,
) -> EngineRunner:
    """Return the engine as the worker service drives it; ``records`` as in ``assemble_worker``.

    Raises:
        MissingDependency: the ``engine`` extra is not installed.
        ConfigInvalid: the device is not on this machine.
    """
    worker = assemble_worker(settings=settings, catalogue=catalogue, clock=clock, records=records)
    from ourvidz.worker.engine_runner import EngineRunner

    return EngineRunner(
        worker=worker,
        catalogue=catalogue,
        negative_prompts=settings.negative_prompts,
        has_own_enhancer=settings.enhancer_url is None,
    )


def _endpoint(settings: Settings) -> ChatEndpoint | None:
    from ourvidz.engine.chat import ChatEndpoint

    if settings.enhancer_url is None:
        return None
    key = settings.enhancer_api_key
    return ChatEndpoint(
        url=settings.enhancer_url,
        model=settings.enhancer_model,
        key=key.get_secret_value() if key else None,
        timeout_s=settings.enhancer_timeout_s,
    )
