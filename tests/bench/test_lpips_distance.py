"""LPIPS on random weights of the real layout, against a formulation in numpy, layer by layer."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view

from ourvidz.bench.lpips import Lpips
from ourvidz.core.errors import CheckpointInvalid, InvalidRequest, ModelMissing
from tests.bench.lpips_weights import ENDS, LAYERS, backbone, heads, write_weights

SIZES = {"alex": (72, 64), "vgg": (32, 40)}  # height and width


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("lpips") / "alex")


@pytest.fixture(scope="module")
def alex(folder):
    return Lpips(folder)


def saved(folder, tensors):
    folder.mkdir(exist_ok=True)
    torch.save(tensors, folder / "weights.pth")
    return folder


def changed(**changes):
    """All of AlexNet's in one dictionary; names have ``_`` for a dot, and None takes away."""
    tensors = {**backbone("alex"), **heads("alex")}
    for name, value in changes.items():
        tensors[name.replace("_", ".")] = value
    return {name: value for name, value in tensors.items() if value is not None}


def frames(count=1, *, height=72, width=64, seed=0):
    """Soft shapes rather than noise, so that noise can be added."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, height // 8, width // 8, 3))
    return list(np.kron(coarse, np.ones((1, 8, 8, 1))).astype(np.uint8))


def noisy(images, amplitude):
    noise = np.random.default_rng(1).normal(0, amplitude, np.shape(images))
    return list(np.clip(images + noise, 0, 255).round().astype(np.uint8))


# --------------------------------------------------------------------------- numpy's formulation


def convolved(values, weight, bias, stride, padding):
    padded = np.pad(values, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("ihwkl,oikl->ohw", windows, weight, optimize=True) + bias[:, None, None]


def pooled(values, window):
    return sliding_window_view(values, (window, window), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


def compared(image, network, tensors):
    """What comes out of each of the five slices, every pixel's values of length 1."""
    mean, deviation = np.array([-0.030, -0.088, -0.188]), np.array([0.458, 0.448, 0.450])
    state = ((image / 255 * 2 - 1 - mean) / deviation).transpose(2, 0, 1)
    found = []
    for place, layer in enumerate(LAYERS[network][: ENDS[network][-1]]):
        if layer == "relu":
            state = np.maximum(state, 0)
        elif isinstance(layer, int):
            state = pooled(state, layer)
        else:
            weight, bias = (tensors[f"features.{place}.{kind}"] for kind in ("weight", "bias"))
            state = convolved(state, weight, bias, *layer[2:])
        if place + 1 in ENDS[network]:
            found.append(state / (np.sqrt((state**2).sum(axis=0)) + 1e-10))
    return found


def expected(one, other, network):
    tensors = {
        name: tensor.numpy().astype(np.float64)
        for name, tensor in {**backbone(network), **heads(network)}.items()
    }
    total = 0.0
    slices = zip(*(compared(each, network, tensors) for each in (one, other)), strict=True)
    for index, (first, second) in enumerate(slices):
        weights = tensors[f"lin{index}.model.1.weight"].reshape(-1)
        total += np.tensordot(weights, (first - second) ** 2, axes=1).mean()
    return total


# --------------------------------------------------------------------------------------- the figure


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_it_is_the_paper_s_formula(tmp_path, network):
    height, width = SIZES[network]
    first, other = (frames(height=height, width=width, seed=seed) for seed in range(2))
    scorer = Lpips(write_weights(tmp_path / network, network))
    for second in (other, noisy(first, 10)):
        found = scorer.distance(first, second)
        assert found.distance == pytest.approx(expected(first[0], second[0], network), rel=1e-4)
        assert (found.network, found.num_frames) == (network, 1)


def test_safetensors_and_state_dictionaries_say_the_same(alex, tmp_path):
    first, second = frames(seed=0), frames(seed=1)
    other = Lpips(write_weights(tmp_path / "safe", is_safetensors=True))
    assert other.distance(first, second) == alex.distance(first, second)


def test_equal_outputs_are_0_apart(alex):
    assert alex.distance(frames(3), frames(3)).distance == 0
    black = [np.zeros((64, 64, 3), dtype=np.uint8)]
    assert alex.distance(black, black).distance == 0


def test_what_a_layer_does_not_see_is_0_apart(tmp_path):
    blind = changed(features_0_bias=torch.full((64,), -1e4))  # no ReLU lets anything through
    found = Lpips(saved(tmp_path / "blind", blind)).distance(frames(seed=0), frames(seed=1))
    assert found.distance == 0  # and not 0 / 0


def test_both_directions_are_alike(alex):
    first, second = frames(2, seed=0), frames(2, seed=1)
    there, back = alex.distance(first, second), alex.distance(second, first)
    assert there.distance == pytest.approx(back.distance, rel=1e-6)


def test_more_noise_is_further_away(alex):
    images = frames()
    found = [alex.distance(noisy(images, level), images).distance for level in (2, 10, 40)]
    assert 0 < found[0] < found[1] < found[2]


def test_several_frames_are_their_mean(alex):
    first, second = frames(3), noisy(frames(3), 20)
    second[1] = first[1]
    apart = [alex.distance([first[at]], [second[at]]).distance for at in range(3)]
    together = alex.distance(first, second)
    assert together.distance == pytest.approx(sum(apart) / 3)
    assert together.to_dict() == {
        "distance": together.distance,
        "num_frames": 3,
        "network": "alex",
    }


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("found", "reference", "words"),
    [
        (frames(), frames(height=80), "one output is 64x72, the other 64x80"),
        (frames(2), frames(3), "ends after 2 frames"),
        ([], [], "no frames"),
        (frames(height=24), frames(height=24), "64x24 are smaller than the 31x31"),
    ],
)
def test_what_can_not_be_compared_is_refused(alex, found, reference, words):
    with pytest.raises(InvalidRequest, match=words):
        alex.distance(found, reference)


@pytest.mark.parametrize(("network", "smallest"), [("alex", 31), ("vgg", 16)])
def test_the_smallest_frames_leave_a_pixel(tmp_path, network, smallest):
    scorer = Lpips(write_weights(tmp_path / network, network))
    first, second = (
        [np.full((smallest, smallest, 3), value, dtype=np.uint8)] for value in (20, 200)
    )
    assert scorer.distance(first, second).distance > 0
    less = [first[0][1:]]
    with pytest.raises(InvalidRequest, match=f"{smallest}x{smallest - 1} are smaller"):
        scorer.distance(less, less)


def test_a_folder_without_weights_is_refused(tmp_path):
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(ModelMissing, match=r"no \.pth or \.safetensors") as caught:
            Lpips(path)
        assert (caught.value.param, str(path) in caught.value.message) == ("lpips_model", True)
        assert "two files" in caught.value.hint


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (changed(features_8_bias=None), r"lacks 1 tensors of 'alex', 'features\.8\.bias'"),
        (backbone("alex"), r"lacks 5 tensors of 'alex', 'lin0\.model\.1\.weight'"),
        (heads("alex"), "holds no backbone"),
        (changed(features_0_weight=torch.zeros(64, 3, 7, 7)), r"another backbone.*\(64, 3, 7, 7\)"),
        ({**backbone("alex"), **heads("vgg")}, r"lin1.* is \(1, 128, 1, 1\), not \(1, 192, 1, 1\)"),
        (changed(lin2_model_1_weight=-torch.ones(1, 384, 1, 1)), "lin2.*below 0"),
        (changed(features_3_bias=torch.full((192,), torch.nan)), "features.3.bias.*no numbers"),
        (torch.zeros(3), "no dictionary"),
    ],
)
def test_wrong_weights_are_refused_by_name(tmp_path, tensors, words):
    with pytest.raises(CheckpointInvalid, match=words) as caught:
        Lpips(saved(tmp_path / "wrong", tensors))
    assert caught.value.param == "lpips_model"
    assert caught.value.hint


def test_two_networks_in_a_folder_are_refused(folder, tmp_path):
    both = saved(tmp_path / "both", backbone("alex"))
    torch.save(changed(), both / "again.pth")
    with pytest.raises(CheckpointInvalid, match=r"holds 'features\.0\.weight' twice.*weights\.pth"):
        Lpips(both)


class Harmful:
    def __reduce__(self):
        return (print, ("code in a checkpoint",))


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    with pytest.raises(CheckpointInvalid, match="more than tensors"):
        Lpips(saved(tmp_path / "pickle", {"features.0.weight": Harmful()}))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_cut_files_are_refused(tmp_path, suffix, share):
    path = write_weights(tmp_path / "cut", is_safetensors=suffix == ".safetensors")
    for file in path.iterdir():
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointInvalid, match="is cut"):
        Lpips(path)
