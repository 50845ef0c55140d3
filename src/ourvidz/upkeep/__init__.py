"""What runs beside the queue: reaping, sending webhooks, sweeping orphans, retention."""
