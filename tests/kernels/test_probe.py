import json

import pytest
import torch

from ourvidz.kernels import probe
from ourvidz.kernels.attention_ways import exact_ways, ways_8bit
from ourvidz.kernels.probe import choose, explain, fastest_attention, forget

KEY = {"gpu": "any", "dtype": "torch.bfloat16", "shape": "1x2x3"}
FILE = "kernel-choices.json"


@pytest.fixture(autouse=True)
def _empty_memory():
    forget()
    yield
    forget()


class Timer:
    """Times by the order in which candidates are listed; remembers what it ran."""

    def __init__(self, seconds):
        self.seconds = dict(seconds)
        self.asked = []

    def __call__(self, run):
        name = run()
        self.asked.append(name)
        return self.seconds[name]


def candidates(*names):
    return {name: (lambda name=name: name) for name in names}


def test_the_fastest_is_chosen_and_measured_once():
    timer = Timer({"a": 3.0, "b": 1.0, "c": 2.0})
    runs = candidates("a", "b", "c")
    assert choose("thing", runs, key=KEY, timer=timer) == "b"
    assert choose("thing", runs, key=KEY, timer=timer) == "b"
    assert timer.asked == ["a", "b", "c"]
    assert explain("thing", runs, key=KEY)["seconds"] == timer.seconds


def test_another_key_name_or_set_of_candidates_is_measured_again():
    timer = Timer({"a": 3.0, "b": 1.0})
    choose("thing", candidates("a", "b"), key=KEY, timer=timer)
    choose("thing", candidates("a", "b"), key={**KEY, "shape": "4"}, timer=timer)
    choose("other", candidates("a", "b"), key=KEY, timer=timer)
    assert choose("thing", candidates("a"), key=KEY, timer=timer) == "a"
    assert len(timer.asked) == 7


def test_one_that_raises_is_passed_over_and_its_reason_kept():
    def fail():
        raise RuntimeError("no kernel image")

    runs = {"broken": fail, **candidates("works")}
    assert choose("thing", runs, key=KEY, timer=Timer({"works": 1.0})) == "works"
    assert explain("thing", runs, key=KEY)["failures"] == {
        "broken": "RuntimeError: no kernel image"
    }


def test_none_that_works_is_an_error():
    def fail():
        raise RuntimeError("no kernel image")

    with pytest.raises(RuntimeError, match="no candidate ran"):
        choose("thing", {"broken": fail}, key=KEY, timer=Timer({}))
    with pytest.raises(ValueError, match="nothing to choose from"):
        choose("thing", {}, key=KEY)


def test_a_file_outlives_the_process(tmp_path):
    timer = Timer({"a": 3.0, "b": 1.0})
    folder = tmp_path / "cache"
    assert choose("thing", candidates("a", "b"), key=KEY, cache=folder, timer=timer) == "b"
    forget()
    again = Timer({})
    assert choose("thing", candidates("a", "b"), key=KEY, cache=folder, timer=again) == "b"
    assert again.asked == []
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_two_answers_share_a_file(tmp_path):
    timer = Timer({"a": 3.0, "b": 1.0})
    choose("one", candidates("a", "b"), key=KEY, cache=tmp_path, timer=timer)
    choose("two", candidates("a", "b"), key=KEY, cache=tmp_path, timer=timer)
    content = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert sorted(json.loads(key)[0] for key in content) == ["one", "two"]


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"', "\x00\xff"])
def test_a_corrupt_file_is_replaced(tmp_path, content):
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    timer = Timer({"a": 1.0, "b": 2.0})
    assert choose("thing", candidates("a", "b"), key=KEY, cache=tmp_path, timer=timer) == "a"
    assert len(json.loads((tmp_path / FILE).read_text(encoding="utf-8"))) == 1


@pytest.mark.parametrize("entry", [None, 3, {}, {"winner": "gone"}, {"winner": ["a"]}])
def test_an_entry_that_names_no_candidate_is_measured_again(tmp_path, entry):
    key = probe._entry_key("thing", ["a"], KEY)
    (tmp_path / FILE).write_text(json.dumps({key: entry}), encoding="utf-8")
    timer = Timer({"a": 1.0})
    assert choose("thing", candidates("a"), key=KEY, cache=tmp_path, timer=timer) == "a"
    assert timer.asked == ["a"]


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    timer = Timer({"a": 1.0})
    assert choose("thing", candidates("a"), key=KEY, cache=blocked / "cache", timer=timer) == "a"


@pytest.mark.parametrize("factor", [1.2, 0.8, float("nan")])
def test_a_fast_run_with_a_wrong_result_is_passed_over(factor):
    right = torch.ones(4)
    runs = {
        "wrong": probe._checked(lambda: right * factor, right),
        "right": probe._checked(lambda: right * 1.03, right),
    }
    seconds = iter([1.0])

    def timer(run):
        run()
        run()
        return next(seconds)

    assert choose("thing", runs, key=KEY, timer=timer) == "right"
    assert "relative error" in explain("thing", runs, key=KEY)["failures"]["wrong"]


def test_off_cuda_nothing_is_measured():
    cpu = torch.device("cpu")
    timer = Timer({})
    q = torch.zeros(1, 8, 2, 64, dtype=torch.bfloat16)
    shape = (1, 8, 2, 64)
    assert fastest_attention(exact_ways(q), shape, q.dtype, cpu, timer=timer) == "default"
    (name,) = ways_8bit(q)
    assert fastest_attention(ways_8bit(q), shape, q.dtype, cpu, timer=timer) == name
    assert timer.asked == []


def test_a_head_size_that_8_bits_are_not_made_for_has_no_such_way():
    assert ways_8bit(torch.zeros(1, 8, 2, 48)) == {}


@pytest.mark.gpu
@pytest.mark.parametrize("find", [exact_ways, ways_8bit], ids=["exact", "8bit"])
def test_on_a_gpu_a_way_is_chosen_and_all_that_ran_are_right(find):
    device = torch.device("cuda")
    shape = (1, 1024, 2, 128)
    ways = find(torch.zeros(shape, dtype=torch.bfloat16, device=device))
    assert fastest_attention(ways, shape, torch.bfloat16, device) in ways
    (entry,) = [found for key, found in probe._choices.items() if '"1x1024x1024x2x128"' in key]
    assert not [why for why in entry["failures"].values() if "relative error" in why]
