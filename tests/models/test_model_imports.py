"""What importing costs: nothing heavy before something is loaded or run."""

from __future__ import annotations

import gc
import importlib
import json
import subprocess
import sys
import textwrap
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from ourvidz.models import imports
from ourvidz.models.imports import library_imports

HEAVY = ("torch", "diffusers", "transformers")
LIGHT = [
    f"ourvidz.models{name}"
    for name in (
        "",
        ".events",
        ".wan",
        ".wan.config",
        ".sdxl",
        ".sdxl.config",
        ".qwen",
        ".qwen.config",
    )
]
# All that executes, in one interpreter: torch is needed there, the libraries not yet.
EXECUTING = [
    f"ourvidz.models.{name}"
    for name in (
        "loading",
        "schedulers",
        "noise",
        "frames",
        "tokenizers",
        "wan.load",
        "wan.encode",
        "wan.denoise",
        "wan.decode",
        "sdxl.load",
        "sdxl.encode",
        "sdxl.denoise",
        "sdxl.decode",
        "qwen.load",
        "qwen.encode",
        "qwen.generate",
    )
]


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nsys.stdout.write(' '.join(set(sys.modules) & {set(HEAVY)}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_packages_and_configs_are_free_of_torch():
    statement = "\n".join(f"import {module}" for module in LIGHT)
    assert loaded_by(statement) == set()


@pytest.mark.slow
def test_executing_modules_need_torch_alone():
    statement = "\n".join(f"import {module}" for module in EXECUTING)
    assert loaded_by(statement) == {"torch"}


# -------------------------------------------------------------------------------- library_imports

CLASSES = """
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from transformers import AutoTokenizer, CLIPTextModel, UMT5EncoderModel
"""

# What one can tell of the classes, of a network made with one, and of whole packages.
FACTS = """
import inspect, json, sys, types, torch
torch.manual_seed(0)
network = WanTransformer3DModel(
    num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8,
    freq_dim=8, ffn_dim=16, num_layers=1, rope_max_seq_len=32,
)
made = network(torch.ones(1, 4, 1, 4, 4), torch.ones(1), torch.ones(1, 3, 8), return_dict=False)[0]
classes = [
    AutoencoderKL, AutoencoderKLWan, WanTransformer3DModel, UNet2DConditionModel,
    DPMSolverMultistepScheduler, UniPCMultistepScheduler, AutoTokenizer, CLIPTextModel,
    UMT5EncoderModel,
]
facts = {
    "classes": [[base.__module__ + "." + base.__qualname__ for base in each.__mro__]
                for each in classes],
    "sources": [hash_of(inspect.getsource(each)) for each in classes],
    "weights": list(network.state_dict()),
    "output": made.double().flatten().tolist(),
}
# Afterwards the packages have all their names, and they are the library's own.
import diffusers, diffusers.models.unets, scipy.stats, transformers.models
from diffusers import UNet2DConditionModel as whole_unet, WanPipeline
from diffusers.models.autoencoders import *
packages = ["diffusers.models.autoencoders", "diffusers.models.transformers",
            "diffusers.models.unets", "scipy.integrate", "scipy.stats"]
import importlib
facts["packages"] = {}
for name in packages:
    package = importlib.import_module(name)
    names = [each for each in dir(package) if not each.startswith("__")]
    facts["packages"][name] = [names, [type(getattr(package, each)).__name__ for each in names]]
    assert type(package) is types.ModuleType, name
    assert importlib.util.find_spec(name).loader is package.__loader__, name
assert whole_unet is UNet2DConditionModel
assert AutoencoderKLWan is sys.modules["diffusers.models.autoencoders.autoencoder_kl_wan"
                                       ].AutoencoderKLWan
assert transformers.models.umt5.modeling_umt5.UMT5EncoderModel is UMT5EncoderModel
assert transformers.models.bert.__name__ == "transformers.models.bert"  # not imported before
facts["models"] = type(transformers.models).__name__
facts["mean"] = float(scipy.stats.norm.mean())
print(json.dumps(facts))
"""


def facts_of(imports):
    code = "import hashlib, importlib.util\ndef hash_of(text): "
    code += f"return hashlib.sha256(text.encode()).hexdigest()\n{imports}\n{FACTS}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


HELD = "from ourvidz.models.imports import library_imports\nwith library_imports:"


@pytest.mark.slow
def test_what_is_imported_equals_the_usual_import():
    held = HELD + textwrap.indent(CLASSES, "    ")
    assert facts_of(held) == facts_of(CLASSES)


@pytest.mark.slow
def test_a_class_does_not_bring_its_siblings():
    code = f"{HELD}{textwrap.indent(CLASSES, '    ')}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = set(done.stdout.split())
    siblings = {"autoencoder_kl_cogvideox", "transformer_flux", "unet_motion_model"}
    assert not {name for name in modules if name.rpartition(".")[2] in siblings}
    assert not {"scipy.stats._stats_py", "scipy.integrate._ode"} & modules
    for kind in ("autoencoders", "transformers", "unets"):
        count = sum(name.startswith(f"diffusers.models.{kind}.") for name in modules)
        assert 1 <= count <= 4, kind


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a package that counts its initialisations; the name of it, which waits."""
    name = f"deferred_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "DEFERRED", frozenset({name}))
    monkeypatch.setattr(imports, "LOG", [], raising=False)
    for module, text in {
        "__init__": "LOG.append('init')\nfrom .other import OTHER",
        "wanted": "LOG.append('wanted')\nWANTED = 1",
        "other": f"LOG.append('other')\nimport {name}\nOTHER = hasattr({name}, 'LATER')",
    }.items():
        write(tmp_path / name, module, text)
    yield name
    for each in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[each]


def write(folder, module, text):
    head = "from ourvidz.models.imports import LOG\n"
    (folder / f"{module}.py").write_text(head + text, encoding="utf-8")
    importlib.invalidate_caches()


def hold_and_import(name):
    with library_imports:
        return importlib.import_module(name)


def test_an_initialiser_runs_when_a_name_is_asked_for(package):
    module = hold_and_import(f"{package}.wanted")
    assert module.WANTED == 1
    assert imports.LOG == ["wanted"]
    whole = sys.modules[package]
    assert whole.wanted is module
    assert whole.__file__.endswith("__init__.py")
    assert not hasattr(whole, "__wrapped__")  # as inspect asks everything
    assert imports.LOG == ["wanted"]
    assert whole.OTHER is False  # a name that comes later is not there within the initialiser
    assert "OTHER" in dir(whole)
    assert imports.LOG == ["wanted", "init", "other"]
    assert type(whole) is types.ModuleType
    with pytest.raises(AttributeError, match="NOTHING"):
        _ = whole.NOTHING


def test_names_of_a_waiting_package_can_be_listed_first(package):
    hold_and_import(f"{package}.wanted")
    assert {"OTHER", "other", "wanted"} <= set(dir(sys.modules[package]))


def test_an_initialiser_that_fails_is_tried_again(package, tmp_path):
    write(tmp_path / package, "__init__", "LOG.append('init')\nimport nothing_of_this_name")
    hold_and_import(f"{package}.wanted")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nothing_of_this_name"):
            _ = sys.modules[package].OTHER
    assert imports.LOG == ["wanted", "init", "init"]


def test_a_package_that_puts_another_module_in_its_place(package, tmp_path):
    (tmp_path / package / "inner").mkdir()
    text = "import sys, types\nLOG.append('init')\nlazy = types.ModuleType(__name__)\n"
    text += "lazy.VALUE = 7\nlazy.__path__ = __path__\nsys.modules[__name__] = lazy"
    write(tmp_path / package / "inner", "__init__", text)
    write(tmp_path / package / "inner", "wanted", "WANTED = 2")
    inner = f"{package}.inner"
    imports.DEFERRED = frozenset({inner})  # the fixture's patch puts the real one back
    hold_and_import(f"{inner}.wanted")
    before = sys.modules[inner]
    assert before.VALUE == 7
    assert before.VALUE == 7  # also of who still has the one from before
    assert sys.modules[inner] is not before
    assert sys.modules[package].inner is sys.modules[inner]
    assert imports.LOG.count("init") == 2  # the outer one's at once, since it was not to wait


def test_what_is_no_package_is_imported_as_usual(package):
    module = f"{package}.wanted"
    imports.DEFERRED = frozenset({module})
    assert type(hold_and_import(module)) is types.ModuleType
    assert imports.LOG == ["init", "other", "wanted"]


def test_threads_that_ask_at_once_initialise_once(package):
    hold_and_import(f"{package}.wanted")
    whole = sys.modules[package]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: whole.OTHER, range(64)))
    assert found == [False] * 64
    assert imports.LOG.count("init") == 1


def test_the_collector_rests_while_libraries_are_imported():
    assert gc.isenabled()
    with library_imports:
        assert not gc.isenabled()
        with library_imports:
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with library_imports:
            pass
        assert not gc.isenabled()  # whoever switched it off wants it so
    finally:
        gc.enable()


def test_what_many_imports_made_counts_as_old(monkeypatch):
    monkeypatch.setattr(imports, "_MANY_MODULES", 0)
    name = "ourvidz_test_of_old_objects"
    with library_imports:
        sys.modules[name] = types.ModuleType(name)
        kept = [[] for _ in range(5000)]
    del sys.modules[name]
    young = {id(each) for each in gc.get_objects(generation=0)}
    assert not young & {id(each) for each in kept}
    assert gc.get_freeze_count() == 0
