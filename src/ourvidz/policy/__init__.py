"""Content policy: an explicit, logged step before the queue, and again after enhancement."""
