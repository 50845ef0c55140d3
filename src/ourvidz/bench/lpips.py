"""LPIPS between two outputs, for who has its weights: none are shipped or fetched.

Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features as a
perceptual metric", CVPR 2018, version 0.1: how far apart the features of a network trained on
photographs are, weighted as people judged patches. The ``lpips`` package needs torchvision, and
fetches the network by itself; this reads both from a folder, and gives the same numbers.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, MissingDependency, ModelMissing
from ourvidz.media.frames import RgbFrame
from ourvidz.perf.quality import pairs

if TYPE_CHECKING:
    import torch

# All from richzhang/PerceptualSimilarity, release 0.1.4: ``ScalingLayer`` of lpips/lpips.py, for
# values from -1 to 1, and ``normalize_tensor`` of lpips/__init__.py.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10

_KEYS = re.compile(r"features\.\d+\.(weight|bias)|lin\d\.model\.1\.weight")
_FIRST = "features.0.weight"
_HINT = (
    "Name a folder with two files: torchvision's alexnet or vgg16 weights, and the heads alex.pth "
    "or vgg.pth of the lpips package (v0.1), each as .pth or .safetensors."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LpipsDistance:
    """How far an output is from a reference to one network."""

    distance: float  # mean over frames; 0 for equal outputs
    num_frames: int
    network: str  # "alex" or "vgg": their distances can't be compared with each other

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "distance": self.distance,
            "num_frames": self.num_frames,
            "network": self.network,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class _Convolution:
    place: int  # among torchvision's ``features``
    channels: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    is_pooled: bool = False  # what it is given goes through max pooling first
    is_read: bool = False  # what its ReLU gives is compared


@dataclass(frozen=True, kw_only=True, slots=True)
class _Network:
    name: str
    pool: int  # window, with a stride of 2
    smallest: int  # width and height in pixels that leave a pixel in the last layer
    convolutions: tuple[_Convolution, ...]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """What the files have to hold."""
        found: dict[str, tuple[int, ...]] = {}
        inputs = (3, *(each.channels for each in self.convolutions))
        for conv, given in zip(self.convolutions, inputs, strict=False):
            found[f"features.{conv.place}.weight"] = (
                conv.channels,
                given,
                conv.kernel,
                conv.kernel,
            )
            found[f"features.{conv.place}.bias"] = (conv.channels,)
        read = (each for each in self.convolutions if each.is_read)
        for index, conv in enumerate(read):
            found[_head(index)] = (1, conv.channels, 1, 1)
        return found


# The layers are those of torchvision/models/alexnet.py and vgg.py (configuration D); which are
# compared says lpips/pretrained_networks.py: the ends of its five slices.
_ALEX = _Network(
    name="alex",
    pool=3,
    smallest=31,
    convolutions=(
        _Convolution(place=0, channels=64, kernel=11, stride=4, padding=2, is_read=True),
        _Convolution(place=3, channels=192, kernel=5, padding=2, is_pooled=True, is_read=True),
        _Convolution(place=6, channels=384, is_pooled=True, is_read=True),
        _Convolution(place=8, channels=256, is_read=True),
        _Convolution(place=10, channels=256, is_read=True),
    ),
)
_VGG = _Network(
    name="vgg",
    pool=2,
    smallest=16,
    convolutions=(
        _Convolution(place=0, channels=64),
        _Convolution(place=2, channels=64, is_read=True),
        _Convolution(place=5, channels=128, is_pooled=True),
        _Convolution(place=7, channels=128, is_read=True),
        _Convolution(place=10, channels=256, is_pooled=True),
        _Convolution(place=12, channels=256),
        _Convolution(place=14, channels=256, is_read=True),
        _Convolution(place=17, channels=512, is_pooled=True),
        _Convolution(place=19, channels=512),
        _Convolution(place=21, channels=512, is_read=True),
        _Convolution(place=24, channels=512, is_pooled=True),
        _Convolution(place=26, channels=512),
        _Convolution(place=28, channels=512, is_read=True),
    ),
)


class Lpips:
    """The backbone and the heads of LPIPS from a folder of safetensors or ``.pth`` files."""

    def __init__(self, folder: Path) -> None:
        """Load AlexNet or VGG16, whichever the files hold, on the CPU, in float32.

        Raises:
            MissingDependency: The ``engine`` extra is not installed.
            ModelMissing: No such folder, or no such files in it.
            CheckpointInvalid: They hold another network, not all of it, or more than tensors.
        """
        try:
            import safetensors
            import torch
        except ImportError as error:
            raise MissingDependency(
                "LPIPS needs torch and safetensors.", hint="Install ourvidz[engine]."
            ) from error
        del safetensors
        found = _read_all(folder)
        self._network = _recognised(found, folder)
        _require_whole(found, self._network, folder)
        self._tensors = {name: found[name].to(torch.float32) for name in self._network.shapes}

    def distance(self, found: Iterable[RgbFrame], reference: Iterable[RgbFrame]) -> LpipsDistance:
        """Return how far frames, (H, W, 3) uint8 RGB in time order, are from others.

        Holds two frames at a time.

        Raises:
            InvalidRequest: No frames, another number or size of them, or smaller than 31 x 31
                for AlexNet, 16 x 16 for VGG16.
        """
        import torch

        num_frames = 0
        total = 0.0
        with torch.inference_mode():
            for one, other in pairs(found, reference):
                self._require_size(one)
                total += self._pair(one, other)
                num_frames += 1
        return LpipsDistance(
            distance=total / num_frames, num_frames=num_frames, network=self._network.name
        )

    def _require_size(self, frame: RgbFrame) -> None:
        smallest = self._network.smallest
        if min(frame.shape[:2]) < smallest:
            raise InvalidRequest(
                f"frames of {frame.shape[1]}x{frame.shape[0]} are smaller than the "
                f"{smallest}x{smallest} that LPIPS with {self._network.name!r} needs",
                param="path",
            )

    def _pair(self, one: RgbFrame, other: RgbFrame) -> float:
        import torch

        both = [torch.tensor(each).permute(2, 0, 1) for each in (one, other)]
        values = torch.stack(both).to(torch.float32) / 127.5 - 1
        shift, scale = (torch.tensor(each).view(1, 3, 1, 1) for each in (_SHIFT, _SCALE))
        total = 0.0
        for index, features in enumerate(self._features((values - shift) / scale)):
            length = features.square().sum(dim=1, keepdim=True).sqrt()
            unit = features / (length + _EPSILON)
            difference = (unit[:1] - unit[1:]).square()
            total += float((difference * self._tensors[_head(index)]).sum(dim=1).mean())
        return total

    def _features(self, values: torch.Tensor) -> Iterator[torch.Tensor]:
        from torch.nn import functional

        for conv in self._network.convolutions:
            if conv.is_pooled:
                values = functional.max_pool2d(values, self._network.pool, stride=2)
            values = functional.conv2d(
                values,
                self._tensors[f"features.{conv.place}.weight"],
                self._tensors[f"features.{conv.place}.bias"],
                stride=conv.stride,
                padding=conv.padding,
            ).relu_()
            if conv.is_read:
                yield values


# ---------------------------------------------------------------------------------------- reading


def _head(index: int) -> str:
    return f"lin{index}.model.1.weight"


def _read_all(folder: Path) -> dict[str, torch.Tensor]:
    readers = {".safetensors": _read_safetensors, ".pth": _read_pickle, ".pt": _read_pickle}
    files = sorted(each for each in folder.glob("*") if each.suffix in readers and each.is_file())
    if not files:
        raise ModelMissing(
            f"{str(folder)!r} holds no .pth or .safetensors file.", param="lpips_model", hint=_HINT
        )
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        for name, tensor in readers[file.suffix](file):
            if name in tensors:
                raise CheckpointInvalid(
                    f"{str(folder)!r} holds {name!r} twice, once in {file.name!r}.",
                    param="lpips_model",
                    hint=f"Keep one network a folder. {_HINT}",
                )
            tensors[name] = tensor
    return tensors


def _read_safetensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    import safetensors

    library: Any = safetensors
    try:
        with library.safe_open(file, framework="pt", device="cpu") as content:
            for name in filter(_KEYS.fullmatch, content.keys()):
                yield name, content.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise _unreadable(file, error) from error


def _read_pickle(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield what is asked for of a state dictionary, weights only: nothing in it is run."""
    import torch

    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(content, Mapping):
        raise CheckpointInvalid(
            f"{str(file)!r} is no dictionary of tensors.", param="lpips_model", hint=_HINT
        )
    for name, value in cast("Mapping[Any, Any]", content).items():
        if isinstance(name, str) and _KEYS.fullmatch(name) and isinstance(value, torch.Tensor):
            yield name, value


def _unreadable(file: Path, error: Exception) -> CheckpointInvalid:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return CheckpointInvalid(
        f"{str(file)!r} is cut, or holds more than tensors: {reason}",
        param="lpips_model",
        hint="Take the file from where the weights were published.",
    )


def _recognised(found: Mapping[str, torch.Tensor], folder: Path) -> _Network:
    shape = None if _FIRST not in found else tuple(found[_FIRST].shape)
    for network in (_ALEX, _VGG):
        if shape == network.shapes[_FIRST]:
            return network
    what = "no backbone" if shape is None else f"another backbone, whose {_FIRST!r} is {shape}"
    raise CheckpointInvalid(f"{str(folder)!r} holds {what}.", param="lpips_model", hint=_HINT)


def _require_whole(found: Mapping[str, torch.Tensor], network: _Network, folder: Path) -> None:
    shapes = network.shapes
    if missing := [name for name in shapes if name not in found]:
        raise CheckpointInvalid(
            f"{str(folder)!r} lacks {len(missing)} tensors of {network.name!r}, {missing[0]!r} "
            "for one.",
            param="lpips_model",
            hint=_HINT,
        )
    for name, shape in shapes.items():
        tensor = found[name]
        if tuple(tensor.shape) != shape:
            raise CheckpointInvalid(
                f"{name!r} is {tuple(tensor.shape)}, not {shape} as {network.name!r} has it.",
                param="lpips_model",
                hint=_HINT,
            )
        if not bool(tensor.isfinite().all()):
            raise CheckpointInvalid(
                f"{name!r} has values that are no numbers.", param="lpips_model", hint=_HINT
            )
        # Trained heads have none, and with one it is no distance.
        if name.startswith("lin") and bool((tensor < 0).any()):
            raise CheckpointInvalid(
                f"{name!r} has values below 0: the heads of LPIPS were trained to have none.",
                param="lpips_model",
                hint=_HINT,
            )
