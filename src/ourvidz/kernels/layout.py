"""How the heads of a row are laid out before ranks exchange them. Imports no kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Rows (M, D) of ``items``, to be (items, chunks, parts, M / items, D / parts / chunks).

    A row's values are ``parts`` runs of equal length, each of ``chunks`` runs; a part's chunk of
    all rows of an item then lies in one piece, which can be sent as it is.
    """

    items: int
    parts: int
    chunks: int

    def shape(self, rows: Sequence[int]) -> tuple[int, int, int, int, int]:
        """Return the shape that rows of shape (M, D) get."""
        num_rows, width = rows
        assert num_rows % self.items == 0, (rows, self)
        assert width % (self.parts * self.chunks) == 0, (rows, self)
        return (
            self.items,
            self.chunks,
            self.parts,
            num_rows // self.items,
            width // (self.parts * self.chunks),
        )
