"""One forward of the Wan transformer over several ranks, by tokens and heads.

Every rank has all weights and a run of the tokens; norms, linears, feed-forward and attention to
the text need no other rank. Before self-attention the ranks exchange queries, keys and values, so
that each has some heads for all tokens (DeepSpeed-Ulysses, arXiv 2309.14509), and afterwards the
results, so that each has all heads for its tokens.

Where the number of ranks does not divide the heads, several ranks share a group of heads and divide
its queries: ``heads`` x ``queries`` ranks. Keys and values then travel to each of those, 12 heads
over 8 ranks being 4 x 2. No softmax is ever put together from parts, so a head's result is one
attention call's, as on one device; a ring would have to merge parts.

Tokens are divided as evenly as they go; frames and padding play no part.

Shapes: B items, L tokens, l of them here, H heads, h of them here, D head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist

from ourvidz.kernels.layout import Spread

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Wait = Callable[[], torch.Tensor]


def runs_of(total: int, parts: int) -> tuple[slice, ...]:
    """Divide ``total`` into runs whose lengths differ by one at most, the longer ones first."""
    length, longer = divmod(total, parts)
    starts = [index * length + min(index, longer) for index in range(parts + 1)]
    return tuple(slice(a, b) for a, b in pairwise(starts))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TokenShard:
    """One rank's part of a forward.

    Attributes:
        group: the ranks of one forward, ``heads * queries`` of them.
        rank: ours among them.
        heads: parts that the heads are divided into; divides their number.
        queries: ranks that share a part of the heads.
    """

    group: Any
    rank: int
    heads: int
    queries: int = 1

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return self.heads * self.queries

    def rows(self, num_tokens: int) -> slice:
        """Return which of the tokens are ours."""
        return runs_of(num_tokens, self.size)[self.rank]

    def exchange(self, num_tokens: int) -> HeadExchange:
        """Return what exchanges heads for tokens in a clip of so many tokens."""
        runs = runs_of(num_tokens, self.size)
        return HeadExchange(shard=self, counts=[run.stop - run.start for run in runs])


class HeadExchange:
    """Attention over all tokens where each rank has some of them.

    Heads go in ``chunks``: while one is attended to, the next ones travel.
    """

    def __init__(self, *, shard: TokenShard, counts: Sequence[int]) -> None:
        """Take the shard and how many tokens each rank has."""
        self._shard = shard
        self._counts = counts
        self._own = counts[shard.rank]
        share = shard.rank % shard.queries
        self._sharers = [rank for rank in range(shard.size) if rank % shard.queries == share]

    def layout(self, *, items: int, num_heads: int) -> Spread:
        """Return how queries, keys and values are to be laid out."""
        parts = self._shard.heads
        assert num_heads % parts == 0, (num_heads, parts)
        return Spread(items=items, parts=parts, chunks=_chunks(num_heads // parts))

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        head_size: int,
        attend: Attention,
    ) -> torch.Tensor:
        """Return attention's result for our tokens and all heads, laid out as its operands.

        Args:
            query: (items, chunks, parts, l, W): of our tokens, W being some heads' values.
            key: the same.
            value: the same.
            head_size: D.
            attend: of (1, Lq, h, D), (1, L, h, D) and (1, L, h, D) tensors.
        """
        found = torch.empty_like(query)
        places = [(item, chunk) for item in range(len(query)) for chunk in range(query.shape[1])]
        # All of it is on its way before the first is waited for.
        arriving = [
            [self._spread(value[at]), self._spread(key[at]), self._spread_queries(query[at])]
            for at in places
        ]
        leaving = []
        for at, waits in zip(places, arriving, strict=True):
            values, keys, queries = (
                wait().view(1, -1, query.shape[4] // head_size, head_size) for wait in waits
            )
            leaving.append(self._collect(attend(queries, keys, values), found[at]))
        for wait in leaving:
            wait()
        return found

    def _spread(self, part: torch.Tensor) -> Wait:
        """Start sending keys or values (parts, l, W) to all; what comes is (L, W)."""
        shard = self._shard
        sent = part[0].numel()
        packed = part
        if shard.queries > 1:
            packed = part.unsqueeze(1).expand(-1, shard.queries, -1, -1)
        taken = [count * part.shape[2] for count in self._counts]
        return self._exchange(packed.reshape(-1), given=[sent] * shard.size, taken=taken)

    def _spread_queries(self, part: torch.Tensor) -> Wait:
        """Start sending queries (parts, l, W) to who attends for us; what comes is (Lq, W)."""
        taken = [self._counts[rank] * part.shape[2] for rank in self._sharers]
        given = [part[0].numel()] * len(part)
        return self._exchange(
            part.reshape(-1), given=self._of_sharers(given), taken=self._of_sharers(taken)
        )

    def _collect(self, attended: torch.Tensor, room: torch.Tensor) -> Wait:
        """Start sending results (1, Lq, h, D) back; what comes fills ``room``, (parts, l, W)."""
        width = attended.shape[2] * attended.shape[3]
        given = [self._counts[rank] * width for rank in self._sharers]
        taken = [self._own * width] * len(self._sharers)
        # Sharers come in the order of their parts of the heads.
        return self._exchange(
            attended.reshape(-1),
            given=self._of_sharers(given),
            taken=self._of_sharers(taken),
            room=room.view(-1),
        )

    def _of_sharers(self, lengths: Sequence[int]) -> list[int]:
        """Return a length for every rank: those given for our sharers, none for others."""
        whole = [0] * self._shard.size
        for rank, length in zip(self._sharers, lengths, strict=True):
            whole[rank] = length
        return whole

    def _exchange(
        self,
        packed: torch.Tensor,
        *,
        given: list[int],
        taken: list[int],
        room: torch.Tensor | None = None,
    ) -> Wait:
        received = packed.new_empty(sum(taken)) if room is None else room
        work = dist.all_to_all_single(
            received, packed, taken, given, group=self._shard.group, async_op=True
        )

        def wait() -> torch.Tensor:
            assert work is not None
            assert packed.numel() >= 0  # held until here, because the exchange reads it
            work.wait()
            return received

        return wait


def _chunks(num_heads: int) -> int:
    """Return in how many chunks a rank's heads go.

    Two, where that leaves two heads a chunk: attention to one head alone at 32,760 tokens fills an
    H200 1.9 times, and an exchange beside it takes the rest: 0.88 ms and 0.11 alone, 1.04 together.
    """
    return 2 if num_heads % 2 == 0 and num_heads >= 4 else 1
