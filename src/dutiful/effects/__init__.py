"""Ready-made calls for ``run.effect``, one module for each way to reach the world outside."""
