"""What the shared store needs of a database: transactions over named statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

Row = Mapping[str, Any]
T = TypeVar("T")


class Transaction(Protocol):
    """One transaction (or, for reads, one connection that commits each statement)."""

    @property
    def now(self) -> float:
        """The store's clock, read once a transaction, in Unix seconds."""
        ...

    def rows(self, name: str, /, *, where: str = "", **params: Any) -> list[Row]:
        """Run a named statement and return all its rows."""
        ...

    def row(self, name: str, /, *, where: str = "", **params: Any) -> Row | None:
        """Run a named statement and return its first row."""
        ...

    def run(self, name: str, /, *, where: str = "", **params: Any) -> int:
        """Run a named statement and return how many rows it changed."""
        ...

    def run_last(self, name: str, /, **params: Any) -> None:
        """Run a named statement at the end of the transaction, in the order of these calls.

        For what nothing in the transaction reads: a server is told of all of it, and of the end,
        at once.
        """
        ...

    def run_many(self, name: str, params: Sequence[Mapping[str, Any]], /) -> None:
        """Run a named statement once for each set of parameters."""
        ...


class Database(Protocol):
    """A database that runs functions in transactions.

    Both ``read`` and ``write`` may run the function more than once: when the connection was lost
    before anything was written, or the database asked to try again. The function must therefore
    change nothing but the database.

    Raises, from both:
        StoreUnavailable: the database can't be reached, or stayed locked.
        StoreFull: no room for what would be written.
        IllegalState: a row of that id exists.
    """

    def read(self, body: Callable[[Transaction], T]) -> T:
        """Run statements that change nothing."""
        ...

    def write(
        self, body: Callable[[Transaction], T], *, admits: bool = False, starts: bool = False
    ) -> T:
        """Run all of ``body`` or none of it; durable when this returns.

        Args:
            admits: it brings new work, which is refused before the room is gone that running
                jobs need to finish.
            starts: it starts work that is stored already, which may use half of that room.
        """
        ...

    def version(self) -> int | None:
        """Return a number that is another one once anybody has written.

        It costs microseconds and never waits; None where the database has no such number.
        """
        ...

    def migrate(self) -> None:
        """Bring the schema up to date. Idempotent; safe from several processes."""
        ...

    def close(self) -> None:
        """Close every connection. Idempotent."""
        ...
