"""Many machines: Ray places worker groups, and is never in a job's path.

What is wanted lies in Postgres beside the jobs. A controller, of which one leads, makes it so on a
Ray cluster; each group is an actor that keeps one ``ourvidz worker`` alive on its GPUs. Losing an
actor, a node, the controller or all of Ray costs capacity for a while and never a job.
"""
