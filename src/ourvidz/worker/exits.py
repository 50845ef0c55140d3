"""Exit statuses that tell a worker's keeper more than whether it went well."""

from __future__ import annotations

# A person had this worker drained: whoever keeps it alive leaves it ended.
DRAINED_BY_COMMAND = 10
