"""A machine's GPUs as groups: values, and the arithmetic of cutting and joining them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from ourvidz.core.errors import InvalidRequest

# A job runs on so many GPUs at once, or on one.
GROUP_SIZES = (1, 2, 4, 8)

Group = tuple[str, ...]  # GPUs as CUDA_VISIBLE_DEVICES names them


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Groups of GPUs, each of which runs one job at a time. No GPU is in two of them."""

    groups: tuple[Group, ...]

    def __post_init__(self) -> None:
        """Check the groups.

        Raises:
            InvalidRequest: a group of a size that no job runs on, or a GPU named twice.
        """
        for group in self.groups:
            if len(group) not in GROUP_SIZES:
                raise InvalidRequest(
                    f"A group of {len(group)} GPUs.",
                    param="gpus",
                    hint=f"Groups have {', '.join(map(str, GROUP_SIZES))} GPUs.",
                )
        names = Counter(gpu for group in self.groups for gpu in group)
        twice = [gpu for gpu, count in names.items() if count > 1]
        if twice:
            raise InvalidRequest(
                f"GPU {twice[0]!r} is named more than once.",
                param="gpus",
                hint="A GPU belongs to one group.",
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The groups' sizes, largest first."""
        return tuple(sorted((len(group) for group in self.groups), reverse=True))

    def changed(self, other: Shape) -> tuple[Group, ...]:
        """Return the groups that are not in ``other``."""
        kept = set(other.groups)
        return tuple(group for group in self.groups if group not in kept)


def cut(gpus: Sequence[str], sizes: Sequence[int], *, current: Shape | None = None) -> Shape:
    """Return groups of these sizes, as many as possible as they are now.

    A group of k begins at a multiple of k in the list, so that neighbours (which often share a
    switch or a NUMA node) stay together and two groups join without moving a third.

    Args:
        gpus: the machine's GPUs, in its order.
        sizes: what to cut them into, in any order; their sum is the number of GPUs.
        current: the groups now, of the same GPUs.

    Raises:
        InvalidRequest: sizes that do not add up to the GPUs, or that no job runs on.
    """
    if sum(sizes) != len(gpus) or any(size not in GROUP_SIZES for size in sizes):
        raise InvalidRequest(
            f"{len(gpus)} GPUs can't be cut into groups of {list(sizes)}.",
            param="gpus",
            hint=f"Sizes are of {GROUP_SIZES}, and add up to the number of GPUs.",
        )
    old = {gpu: group for group in current.groups for gpu in group} if current else {}
    left = Counter(sizes)
    is_free = dict.fromkeys(gpus, True)
    starts: list[tuple[int, Group]] = []
    for size in sorted(sizes, reverse=True):
        blocks = [
            (start, tuple(gpus[start : start + size]))
            for start in range(0, len(gpus) - size + 1, size)
            if all(is_free[gpu] for gpu in gpus[start : start + size])
        ]

        def cost(block: tuple[int, Group]) -> tuple[bool, int, int]:
            start, group = block
            broken = sum(left[len(old[gpu])] > 0 for gpu in group if gpu in old)
            return old.get(group[0]) != group, broken, start

        best = min(blocks, key=cost)
        left[size] -= 1
        starts.append(best)
        is_free.update(dict.fromkeys(best[1], False))
    return Shape(groups=tuple(group for _, group in sorted(starts)))


@cache
def divisions(num_gpus: int, *, largest: int = max(GROUP_SIZES)) -> tuple[tuple[int, ...], ...]:
    """Return every way to cut so many GPUs into groups, sizes largest first."""
    return tuple(_divisions(num_gpus, largest))


def _divisions(num_gpus: int, largest: int) -> Iterator[tuple[int, ...]]:
    if num_gpus == 0:
        yield ()
        return
    for size in reversed(GROUP_SIZES):
        if size <= min(largest, num_gpus):
            for rest in _divisions(num_gpus - size, size):
                yield (size, *rest)
