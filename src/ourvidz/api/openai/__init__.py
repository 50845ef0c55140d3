"""Routes under ``/v1`` in the shapes of OpenAI's API, so that its clients work unmodified."""
