"""LoRA files: read in the styles they are shared in, fused into loaded weights, taken out again.

What a file may hold of one module ``W`` (out, in...), rank ``r``:

* a low-rank change: ``down`` (r, in...) and ``up`` (out, r, 1...) with an optional ``alpha``,
  called ``lora_A``/``lora_B`` (peft, diffusers) or ``lora_down``/``lora_up`` (kohya, Wan's tools):
  ``W += strength * alpha / r * up @ down``, where a missing ``alpha`` is ``r``;
* a whole change: ``diff`` of the weight, ``diff_b`` of the bias and ``diff_m`` of Wan's modulation
  (extracted files, such as those of CausVid and lightx2v, have them): ``W += strength * diff``.

Modules are named as in diffusers, as in Wan's original code, or as in SDXL's (LDM), with dots or,
as kohya does, with underscores. A name that the module does not have is refused: weights that
silently stay out make a model that nobody trained. diffusers' own conversion for Wan drops norm
and other ``diff`` tensors (0.42.1, ``_convert_non_diffusers_wan_lora_to_diffusers``) and its loader
needs peft, so the mapping here is ours; a test holds it against theirs where both know a name.

Fusing costs nothing in a step. Cost once: reading the file and, per weight, ``2 r out in`` FLOPs
(Wan 1.3B, rank 32: 0.09 TFLOP) and three passes over the weight in float32.
"""

from __future__ import annotations

import copy
import re
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import CheckpointInvalid, ModelMissing

ModuleT = TypeVar("ModuleT", bound=torch.nn.Module)

_HINT = "Check that the LoRA was made for this model (family and size)."
_HINT_PICKLE = "Take the safetensors file from where the LoRA was published."

# How each part ends in a key, after the module's name and a dot.
_PARTS = {
    "lora_A.weight": "down",
    "lora_A.default.weight": "down",
    "lora_down.weight": "down",
    "lora.down.weight": "down",
    "lora_B.weight": "up",
    "lora_B.default.weight": "up",
    "lora_up.weight": "up",
    "lora.up.weight": "up",
    "alpha": "alpha",
    "diff": "diff",
    "diff_b": "diff_b",
    "lora_B.bias": "diff_b",  # peft's lora_bias
    "lora_up.bias": "diff_b",
}
_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "unet.",
    "lora_unet__",
    "lora_unet_",
    "lora_transformer_",
)
_TEXT_ENCODER_PREFIXES = ("text_encoder", "lora_te_", "lora_te1_", "lora_te2_", "te1.", "te2.")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Change:
    """What a LoRA adds to one parameter at strength 1."""

    down: torch.Tensor | None = None  # (r, in...)
    up: torch.Tensor | None = None  # (out, r, 1...)
    scale: float = 1.0  # alpha / r, of down and up
    diff: torch.Tensor | None = None  # the parameter's shape

    def delta(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
        """Return the change, ``shape``, float32, on ``device``."""
        delta = torch.zeros(shape, dtype=torch.float32, device=device)
        if self.down is not None and self.up is not None:
            down, up = (part.to(device).float().flatten(1) for part in (self.down, self.up))
            delta += (self.scale * (up @ down)).reshape(shape)
        if self.diff is not None:
            delta += self.diff.to(device).float()
        return delta


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lora:
    """A LoRA file, mapped to the parameters of one module class. Its tensors are on the CPU."""

    file: Path
    changes: Mapping[str, Change]  # by parameter name


def read_lora(file: Path, module: torch.nn.Module, *, cancel: CancelToken | None = None) -> Lora:
    """Read a LoRA for ``module``, whose weights are not touched.

    Args:
        file: safetensors.
        module: gives names and shapes; a Wan transformer and an SDXL UNet are known by their
            original names too.
        cancel: asked before every tensor.

    Raises:
        ModelMissing: no such file.
        CheckpointInvalid: not safetensors, a pickle, a key that names nothing in the module, half
            of a pair, or a tensor of another shape; the message names them.
        Cancelled: ``cancel`` was set.
    """
    parts = _group(_read(file, cancel), _known_names(module), file)
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    changes: dict[str, Change] = {}
    for place, group in parts.items():
        changes |= _changes(place, group, shapes, file)
    if not changes:
        raise CheckpointInvalid(f"{file} holds nothing that changes weights.", hint=_HINT)
    return Lora(file=file, changes=changes)


# ------------------------------------------------------------------------------------- fusing


class FusedLora:
    """LoRAs inside a module's weights, until ``unfuse``."""

    def __init__(self, module: torch.nn.Module, originals: dict[str, torch.Tensor]) -> None:
        self._module = module
        self._originals = originals

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that differ from the base."""
        return tuple(self._originals)

    @torch.inference_mode()  # weights may have been loaded under it
    def unfuse(self) -> None:
        """Put the base's weights back, bit for bit. Idempotent."""
        for name in tuple(self._originals):
            _parameter(self._module, name).copy_(self._originals[name])
            del self._originals[name]
        _fused.discard(self._module)


_fused: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()


def fuse(
    module: torch.nn.Module,
    loras: Sequence[tuple[Lora, float]],
    *,
    keep_on: torch.device | str = "cpu",
) -> FusedLora:
    """Add LoRAs to a module's weights in place: ``W = round(W + sum(strength * delta))``.

    The sum is made in float32 and rounded once. Parameters keep their memory, so what refers to
    it (captured graphs, other views) sees the new weights; what was derived from it (quantised
    copies) does not. For a module that other jobs use meanwhile, take ``fused_copy``.

    Args:
        module: floating parameters, on any device.
        loras: each with its strength; 1.0 is as trained, negative ones are legal.
        keep_on: where the originals of the touched weights wait for ``unfuse``: their size again,
            in host memory unless said otherwise.

    Raises:
        CheckpointInvalid: a LoRA was read for another module.
    """
    assert module not in _fused, "take the fused LoRAs out first"
    _check_shapes(module, loras)
    originals: dict[str, torch.Tensor] = {}
    fused = FusedLora(module, originals)
    _fused.add(module)
    try:
        _fuse_into(module, loras, originals, torch.device(keep_on))
    except BaseException:
        fused.unfuse()
        raise
    return fused


@torch.inference_mode()
def _fuse_into(
    module: torch.nn.Module,
    loras: Sequence[tuple[Lora, float]],
    originals: dict[str, torch.Tensor],
    keep_on: torch.device,
) -> None:
    for name in _touched(loras):
        parameter = _parameter(module, name)
        fused = _fused_values(parameter, name, loras)
        originals[name] = parameter.detach().to(keep_on, copy=True)
        parameter.copy_(fused)


@torch.no_grad()
def fused_copy(module: ModuleT, loras: Sequence[tuple[Lora, float]]) -> ModuleT:
    """Return a module like ``module`` with LoRAs in its weights; ``module`` stays as it is.

    What the LoRAs do not touch is shared. Both can run in turns, and dropping the copy is all it
    takes to be rid of it: the base needs no reload.

    Raises:
        CheckpointInvalid: a LoRA was read for another module.
    """
    _check_shapes(module, loras)
    tensors = [*module.parameters(), *module.buffers()]
    made = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    for name in _touched(loras):
        owner, _, attribute = name.rpartition(".")
        values = _fused_values(_parameter(module, name), name, loras)
        made.get_submodule(owner)._parameters[attribute] = torch.nn.Parameter(
            values, requires_grad=False
        )
    return made


def _touched(loras: Sequence[tuple[Lora, float]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for lora, _ in loras for name in lora.changes))


def _fused_values(
    parameter: torch.Tensor, name: str, loras: Sequence[tuple[Lora, float]]
) -> torch.Tensor:
    total = parameter.detach().to(torch.float32, copy=True)
    for lora, strength in loras:
        change = lora.changes.get(name)
        if change is not None:
            total += strength * change.delta(parameter.shape, parameter.device)
    return total.to(parameter.dtype)


def _parameter(module: torch.nn.Module, name: str) -> torch.nn.Parameter:
    owner, _, attribute = name.rpartition(".")
    parameter = module.get_submodule(owner)._parameters[attribute]
    assert parameter is not None
    return parameter


def _check_shapes(module: torch.nn.Module, loras: Sequence[tuple[Lora, float]]) -> None:
    parameters = dict(module.named_parameters())
    for lora, _ in loras:
        for name, change in lora.changes.items():
            if name not in parameters:
                raise CheckpointInvalid(f"{lora.file} changes {name!r}, which is not here.")
            parameter = parameters[name]
            is_quantised = not parameter.is_floating_point() or parameter.element_size() < 2
            assert not is_quantised, name
            _check_change(name, change, parameter.shape, lora.file)


# ------------------------------------------------------------------------------------ reading


def _read(file: Path, cancel: CancelToken | None) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise ModelMissing(f"{file} is not there.", hint="Fetch the LoRA, or mend its path.")
    if file.suffix != ".safetensors":
        raise CheckpointInvalid(
            f"{file} is not called .safetensors; other files may hold code and are not read.",
            hint=_HINT_PICKLE,
        )
    try:
        with safe_open(file, framework="pt", device="cpu") as content:
            for key in content.keys():  # noqa: SIM118 (not a dictionary)
                if cancel is not None:
                    cancel.raise_if_cancelled()
                yield key, content.get_tensor(key).clone()  # the file is mapped: it may change
    except SafetensorError as error:
        raise CheckpointInvalid(
            f"{file} is truncated or not safetensors: {error}", hint=_HINT_PICKLE
        ) from error


def _group(
    tensors: Iterator[tuple[str, torch.Tensor]], known: Mapping[str, str], file: Path
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the parts by module (or bare parameter) of ours, refusing what has no place."""
    groups: dict[str, dict[str, torch.Tensor]] = {}
    unknown: list[str] = []
    for key, tensor in tensors:
        name, part = _split(key)
        place = None if part is None else _place(name, known)
        if part is None or place is None:
            unknown.append(key)
        elif part in groups.setdefault(place, {}):
            raise CheckpointInvalid(
                f"{file} holds the {part} of {place!r} twice, once as {key!r}.", hint=_HINT
            )
        else:
            groups[place][part] = tensor
    if unknown:
        raise CheckpointInvalid(_unknown_text(unknown, file), hint=_HINT)
    return groups


def _split(key: str) -> tuple[str, str | None]:
    for ending, part in _PARTS.items():
        if key.endswith(f".{ending}"):
            return key.removesuffix(f".{ending}"), part
    if key.endswith(".diff_m"):
        return f"{key.removesuffix('.diff_m')}.modulation", "diff"
    return key, None


def _place(name: str, known: Mapping[str, str]) -> str | None:
    candidates = [name, *(name.removeprefix(prefix) for prefix in _PREFIXES)]
    found = (known.get(_flat(candidate)) for candidate in candidates)
    return next((place for place in found if place is not None), None)


def _unknown_text(unknown: Sequence[str], file: Path) -> str:
    names = ", ".join(map(repr, sorted(unknown)[:3]))
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    if all(key.startswith(_TEXT_ENCODER_PREFIXES) for key in unknown):
        return f"{file} changes a text encoder, which is not supported: {names}{more}."
    return f"{file} holds {names}{more}, for which this model has no place."


def _changes(
    place: str, group: dict[str, torch.Tensor], shapes: Mapping[str, torch.Size], file: Path
) -> dict[str, Change]:
    """Return the changes of one module's weight and bias, or of one bare parameter."""
    weight = place if place in shapes else f"{place}.weight"
    if ("down" in group) != ("up" in group) or (group.keys() == {"alpha"}):
        raise CheckpointInvalid(
            f"{file} has only {' and '.join(sorted(group))} for {place!r}: half of a pair.",
            hint="The file is damaged or incomplete: fetch it again.",
        )
    changes: dict[str, Change] = {}
    if "down" in group or "diff" in group:
        change = Change(down=group.get("down"), up=group.get("up"), diff=group.get("diff"))
        if change.down is not None and "alpha" in group:
            if group["alpha"].numel() != 1:
                raise CheckpointInvalid(
                    f"{file}: the alpha of {place!r} is not one number.", hint=_HINT
                )
            change = replace(change, scale=group["alpha"].item() / change.down.shape[0])
        changes[weight] = change
    if "diff_b" in group:
        changes[f"{place}.bias"] = Change(diff=group["diff_b"])
    for name, change in changes.items():
        if name not in shapes:
            raise CheckpointInvalid(f"{file} changes {name!r}, which is not here.", hint=_HINT)
        _check_change(name, change, shapes[name], file)
    return changes


def _check_change(name: str, change: Change, shape: torch.Size, file: Path) -> None:
    found = None
    if change.down is not None and change.up is not None:
        down, up = change.down, change.up
        fits = (
            len(shape) >= 2
            and down.ndim >= 2
            and up.ndim >= 2
            and up.shape[0] == shape[0]
            and up.flatten(1).shape[1] == down.shape[0]
            and down.shape[1:].numel() == shape[1:].numel()
        )
        found = None if fits else f"{tuple(up.shape)} x {tuple(down.shape)}"
    if change.diff is not None and change.diff.shape != shape:
        found = f"{tuple(change.diff.shape)}"
    if found is not None:
        raise CheckpointInvalid(
            f"{file} changes {name!r}, of shape {tuple(shape)}, by {found}.", hint=_HINT
        )


# -------------------------------------------------------------------------------------- names


def _flat(name: str) -> str:
    """Return a name as kohya writes it, which has lost the difference of dots and underscores."""
    return name.replace(".", "_")


def _known_names(module: torch.nn.Module) -> dict[str, str]:
    """Return the module names (and bare parameters) of ours by each flat name that files use."""
    places = _places(module)
    known = {_flat(place): place for place in places}
    originals = {"WanTransformer3DModel": _wan_name, "UNet2DConditionModel": _ldm_name}
    original_name = originals.get(type(module).__name__)
    if original_name is None:
        return known
    for place in places:
        # Ours wins where both name something: a diffusers file is the commoner one.
        known.setdefault(_flat(original_name(place, module)), place)
    return known


def _places(module: torch.nn.Module) -> list[str]:
    """Return the modules that have a weight or bias, and parameters of other names."""
    places: list[str] = []
    for prefix, owner in module.named_modules():
        own = [key for key, parameter in owner._parameters.items() if parameter is not None]
        dot = f"{prefix}." if prefix else ""
        if prefix and {"weight", "bias"} & set(own):
            places.append(prefix)
        places += [dot + key for key in own if key not in ("weight", "bias")]
    return places


# From diffusers' names to those of Wan's repository (``wan/modules/model.py``): the inverse of
# diffusers 0.42.1, ``loaders/single_file_utils.py``, ``convert_wan_transformer_to_diffusers``.
_WAN_NAMES = (
    (r"^(blocks\.\d+)\.norm2$", r"\1.norm3"),  # the two libraries count cross-attention's norm
    (r"^(blocks\.\d+)\.scale_shift_table$", r"\1.modulation"),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"\.to_([qkv])$", r".\1"),
    (r"\.to_out\.0$", ".o"),
    (r"\.add_([kv])_proj$", r".\1_img"),
    (r"\.norm_added_k$", ".norm_k_img"),
    (r"\.ffn\.net\.0\.proj$", ".ffn.0"),
    (r"\.ffn\.net\.2$", ".ffn.2"),
    (r"^condition_embedder\.(text|time)_embedder\.linear_1$", r"\1_embedding.0"),
    (r"^condition_embedder\.(text|time)_embedder\.linear_2$", r"\1_embedding.2"),
    (r"^condition_embedder\.time_proj$", "time_projection.1"),
    (r"^condition_embedder\.image_embedder\.norm1$", "img_emb.proj.0"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj$", "img_emb.proj.1"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2$", "img_emb.proj.3"),
    (r"^condition_embedder\.image_embedder\.norm2$", "img_emb.proj.4"),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out$", "head.head"),
)


def _wan_name(place: str, module: torch.nn.Module) -> str:
    del module
    for pattern, replacement in _WAN_NAMES:
        place = re.sub(pattern, replacement, place)
    return place


_LDM_NAMES = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_LDM_RESNET_NAMES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK = re.compile(
    r"^(?P<side>down|up)_blocks\.(?P<block>\d+)\.(?P<kind>\w+)\.(?P<layer>\d+)\.(?P<rest>.+)$"
)
_MID = re.compile(r"^mid_block\.(?P<kind>\w+)\.(?P<layer>\d+)\.(?P<rest>.+)$")


def _ldm_name(place: str, module: Any) -> str:
    """Return SDXL's own name of a UNet's module (Stability's ``openaimodel.py``, ``UNetModel``).

    There, layers are counted through all blocks: one convolution first, then
    ``layers_per_block`` layers and a downsampler a block; on the way up one layer more, the last
    one with the upsampler.
    """
    if place in _LDM_NAMES:
        return _LDM_NAMES[place]
    if match := _MID.match(place):
        layer = 1 if match["kind"] == "attentions" else 2 * int(match["layer"])
        return f"middle_block.{layer}.{_ldm_rest(match['kind'], match['rest'])}"
    match = _BLOCK.match(place)
    if match is None:
        return place
    per_block: int = module.config.layers_per_block + 1
    block, layer, kind = int(match["block"]), int(match["layer"]), match["kind"]
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * per_block}.0.op"
    if kind == "upsamplers":
        has_attention = hasattr(module.get_submodule(f"up_blocks.{block}"), "attentions")
        last = block * per_block + per_block - 1
        return f"output_blocks.{last}.{2 if has_attention else 1}.conv"
    rest = f"{int(kind == 'attentions')}.{_ldm_rest(kind, match['rest'])}"
    if match["side"] == "down":
        return f"input_blocks.{block * per_block + 1 + layer}.{rest}"
    return f"output_blocks.{block * per_block + layer}.{rest}"


def _ldm_rest(kind: str, rest: str) -> str:
    return _LDM_RESNET_NAMES.get(rest, rest) if kind == "resnets" else rest
