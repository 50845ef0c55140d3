"""LPIPS weights of random values, in the files and under the names of the published ones."""

import torch
from safetensors.torch import save_file

# torchvision's ``features`` by place: (channels, kernel, stride, padding), "relu", a pool's window.
ALEX = (
    *((64, 11, 4, 2), "relu", 3, (192, 5, 1, 2), "relu", 3),
    *((384, 3, 1, 1), "relu", (256, 3, 1, 1), "relu", (256, 3, 1, 1), "relu", 3),
)
VGG = tuple(
    each
    for count, channels in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    for each in (*((channels, 3, 1, 1), "relu") * count, 2)
)
# One past the last layer of each of lpips' slices.
ENDS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}
LAYERS = {"alex": ALEX, "vgg": VGG}
CHANNELS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
FILES = {"alex": "alexnet-owt-7be5be79", "vgg": "vgg16-397923af"}


def backbone(network):
    """Values that keep the size of what goes through."""
    generator = torch.Generator().manual_seed(0)
    tensors, inputs = {"classifier.1.weight": torch.zeros(2, 2)}, 3
    for place, layer in enumerate(LAYERS[network]):
        if not isinstance(layer, tuple):
            continue
        channels, kernel = layer[:2]
        size = (channels, inputs, kernel, kernel)
        spread = (2 / (inputs * kernel * kernel)) ** 0.5
        tensors[f"features.{place}.weight"] = torch.randn(size, generator=generator) * spread
        tensors[f"features.{place}.bias"] = torch.randn(channels, generator=generator) * 0.1
        inputs = channels
    return tensors


def heads(network):
    """None below 0, as trained ones are; some are 0."""
    generator = torch.Generator().manual_seed(1)
    return {
        f"lin{index}.model.1.weight": torch.randn((1, channels, 1, 1), generator=generator).relu_()
        for index, channels in enumerate(CHANNELS[network])
    }


def write_weights(folder, network="alex", *, is_safetensors=False):
    """Fill a folder as a person would: the backbone's file beside the heads'."""
    folder.mkdir(exist_ok=True)
    files = {FILES[network]: backbone(network), network: heads(network)}
    for name, tensors in files.items():
        if is_safetensors:
            save_file(tensors, folder / f"{name}.safetensors")
        else:  # the published heads are in torch's older format
            is_new = name != network
            torch.save(tensors, folder / f"{name}.pth", _use_new_zipfile_serialization=is_new)
    return folder
