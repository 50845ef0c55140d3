"""The legacy bridge: old Redis lists in, old callbacks out."""
