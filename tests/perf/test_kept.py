"""Records kept in memory: nothing is read twice, nothing is passed over."""

from dataclasses import dataclass, field

from ourvidz.perf.kept import KeptRecords


@dataclass(frozen=True)
class Body:
    id: int
    job_id: str = ""
    job_type: str = "video_fast"
    workload: str = ""
    at: float = 0.0
    body: dict = field(default_factory=dict)


class Source:
    def __init__(self):
        self.bodies = []
        self.num_given = 0

    def add(self, *ids):
        self.bodies = sorted([*self.bodies, *map(Body, ids)], key=lambda body: body.id)

    def perf_head(self):
        return max((body.id for body in self.bodies), default=0), len(self.bodies)

    def perf_records(self, *, after=None, limit=1000, **_):
        found = [body for body in self.bodies if after is None or body.id > after][:limit]
        self.num_given += len(found)
        return found


def seqs(kept):
    return [each.seq for each in kept.read().records]


def test_only_what_is_new_is_read():
    source = Source()
    kept = KeptRecords(source)
    assert seqs(kept) == []
    source.add(*range(1, 1201))
    assert seqs(kept) == list(range(1, 1201))
    source.add(1201)
    assert kept.read().newest == 1201
    assert kept.read() is kept.read()
    assert source.num_given == 1201
    assert kept.read().epoch == 0


def test_a_record_that_was_committed_late_is_found():
    source = Source()
    kept = KeptRecords(source)
    source.add(1, 3)
    assert seqs(kept) == [1, 3]
    source.add(2)
    assert seqs(kept) == [1, 2, 3]
    source.add(5)
    source.add(4)
    assert seqs(kept) == [1, 2, 3, 4, 5]
    assert kept.read().epoch == 1
