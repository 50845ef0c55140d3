"""What a follower loads for a job: the networks that it works with, never a text encoder."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from ourvidz.core.errors import IllegalState
from ourvidz.engine import sdxl, wan
from ourvidz.engine.context import JobContext
from ourvidz.engine.group.messages import Begin
from ourvidz.engine.group.ranks import Ranks
from ourvidz.engine.group.share_sdxl import ImagePart
from ourvidz.engine.residency import Component
from ourvidz.models.wan.fast import FastWan
from ourvidz.models.wan.stream import StreamingDecoder


def request_networks(
    context: JobContext, *, family: str, model_id: str
) -> Sequence[Future[Component]]:
    """Start loading what denoises and what decodes. Imports what that needs, so it may take long.

    Raises:
        ModelMissing, CheckpointInvalid: as loading does.
    """
    if family == "sdxl":
        sdxl.import_libraries()
        images = sdxl.request_components(context, model_id, with_encoders=False)
        return images.unet, images.vae
    wan.import_libraries()
    video = wan.request_components(context, model_id, with_text_encoder=False)
    return video.transformer, video.vae


def video_of(
    context: JobContext, message: Begin, ranks: Ranks, networks: Sequence[Future[Component]]
) -> tuple[FastWan, StreamingDecoder]:
    """Return what predicts and what decodes, of networks that have loaded.

    Raises:
        IllegalState: a model that ranks can't share, which the leader does not send.
        ModelMissing, CheckpointInvalid, OutOfMemory: as loading does.
    """
    model_id = message.request.model
    transformer, vae = (context.take(each) for each in networks)
    if model_id in context.variants:
        transformer = context.denoiser_of(model_id, "transformer", transformer)
    predictor = wan.predictor_of(context, model_id, transformer)
    decoder = wan.decoder_of(context, message.request, vae, num_stripes=ranks.size)
    if not isinstance(predictor, FastWan) or not isinstance(decoder, StreamingDecoder):
        raise IllegalState(f"{model_id} can't be shared by ranks.")
    return predictor, decoder


def images_of(
    context: JobContext, message: Begin, ranks: Ranks, networks: Sequence[Future[Component]]
) -> ImagePart:
    """Return a rank's part of a batch of images, of networks that have loaded; errors as theirs."""
    model_id = message.request.model
    unet, vae = (context.take(each) for each in networks)
    if model_id in context.variants:
        unet = context.denoiser_of(model_id, "unet", unet)
    return ImagePart(
        ranks=ranks,
        unet=sdxl.predictor_of(context, model_id, unet),
        decode=partial(sdxl.decode_on_device, context, model_id, vae),
        size=(message.request.height, message.request.width),
        num_branches=2 if message.request.uses_guidance else 1,
    )
