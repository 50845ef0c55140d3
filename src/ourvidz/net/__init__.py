"""Guarded HTTP: fetching and posting only to checked public addresses."""
