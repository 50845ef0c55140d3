"""The HTTP service: native API, OpenAI-compatible API, events, files, metrics. Torch-free."""
