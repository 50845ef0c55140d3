"""Several processes, a GPU each, that share one job's work. The first one leads."""
