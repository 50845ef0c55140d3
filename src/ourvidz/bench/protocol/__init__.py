"""The test protocol, as far as it runs jobs: in this process, or through a running service."""
