"""Many GPUs: how a machine's are grouped, which models lie where, and what a fleet would do.

Decisions are pure functions of values: workers, the supervisor and the simulator call the same
ones. Imports no torch.
"""
