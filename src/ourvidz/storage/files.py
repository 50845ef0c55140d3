"""How a finished file gets its name, for good."""

from __future__ import annotations

import errno
import os
from pathlib import Path

# What disks without hard links answer: exFAT, some network mounts.
NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


def place_new(staged: Path, final: Path) -> None:
    """Give a whole, flushed file a name that nothing has yet; ``staged`` may remain.

    Raises:
        FileExistsError: something has the name. Without hard links, one that takes it at the
            same moment is not noticed.
        OSError: the disk refused.
    """
    try:
        os.link(staged, final)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.replace(staged, final)


def flush_folder(folder: Path) -> None:
    """Wait until the device has the names in a folder, where the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and FUSE mounts can't sync a folder; renames are still atomic there.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)
