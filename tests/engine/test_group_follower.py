"""A follower's answers, without the other ranks: what it does while a job's networks load."""

import queue
import threading
from multiprocessing import Pipe

import pytest
import torch
from group_images import make_image_request
from group_jobs import make_request, make_settings

from ourvidz.catalog.techniques import techniques_of
from ourvidz.engine.context import workload_of
from ourvidz.engine.group.follower import Follower
from ourvidz.engine.group.messages import Begin, End, Failed, FollowerSettings, Ready
from ourvidz.engine.group.ranks import Ranks
from ourvidz.models.sdxl import load as sdxl_load
from ourvidz.worker.assemble import model_locator

WAIT_S = 60.0


class Alone:
    """One follower, driven by hand."""

    def __init__(self, size=2):
        self.leader, connection = Pipe()
        self.messages = queue.SimpleQueue()
        self.follower = Follower(
            ranks=Ranks(rank=1, size=size, device=torch.device("cpu"), halves=()),
            settings=FollowerSettings(
                dtype="auto", vram_bytes=None, host_cache_bytes=0, cache_dir=None
            ),
            connection=connection,
            messages=self.messages,
        )

    @property
    def residency(self):
        return self.follower._residency

    def handle_next(self):
        self.follower.handle(self.messages.get(timeout=WAIT_S))

    def answer(self):
        assert self.leader.poll(WAIT_S)
        return self.leader.recv()


@pytest.fixture
def alone():
    found = Alone()
    yield found
    found.residency.close()


def begin_of(request, job=1, folder=None, **values):
    return Begin(
        job=job,
        family=request.family,
        request=request,
        folders={request.model: folder or model_locator(make_settings())(request.model)},
        variants={},
        techniques=techniques_of(request.fidelity),
        **values,
    )


@pytest.fixture
def may_load(monkeypatch):
    """A UNet loads once this is set."""
    event = threading.Event()
    load = sdxl_load.load_unet

    def wait_and_load(*arguments, **options):
        assert event.wait(WAIT_S)
        return load(*arguments, **options)

    monkeypatch.setattr(sdxl_load, "load_unet", wait_and_load)
    yield event
    event.set()


def test_other_messages_are_handled_while_a_job_loads(alone, may_load):
    begin = begin_of(make_image_request(num_images=2))
    handling = threading.Thread(
        target=lambda: [alone.follower.handle(each) for each in (begin, End(job=7))]
    )
    handling.start()
    handling.join(WAIT_S / 2)
    assert not handling.is_alive()
    assert not alone.leader.poll()
    may_load.set()
    alone.handle_next()
    assert alone.answer() == Ready(job=1)


def test_a_job_that_ends_while_it_loads_is_not_answered(alone, may_load):
    request = make_image_request(num_images=2)
    alone.follower.handle(begin_of(request))
    alone.follower.handle(End(job=1))
    may_load.set()
    alone.handle_next()
    assert not alone.leader.poll()
    alone.residency.unload(request.model)  # no job holds it


def test_what_can_not_load_is_answered(alone, tmp_path):
    alone.follower.handle(begin_of(make_request(), folder=tmp_path))
    alone.handle_next()
    reply = alone.answer()
    assert isinstance(reply, Failed)
    assert reply.job == 1


def test_a_job_is_expected_to_take_what_the_leader_measured(alone):
    request = make_image_request(num_images=2)
    alone.follower.handle(begin_of(request, activation_bytes=5 * 2**30))
    alone.handle_next()
    assert alone.residency.activation_bytes(workload_of(request)) == 5 * 2**30


def test_a_decode_is_expected_to_take_what_its_stripe_does(alone):
    request = make_request(height=480, width=832)
    alone.follower.handle(begin_of(request))
    alone.handle_next()
    assert alone.answer() == Ready(job=1)
    expected = alone.residency.activation_bytes("decode 832x480/2")
    whole = Alone(size=1)
    whole.follower.handle(begin_of(request))
    whole.handle_next()
    # Two take twice as many frames a step, each of half their lines.
    of_all = whole.residency.activation_bytes("decode 832x480")
    assert 0.8 * of_all < expected < 1.3 * of_all
    whole.residency.close()
