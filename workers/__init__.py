"""The workers. SIGTERM means to them: finish what can be finished within the soft shutdown window, then stop."""

import os

# Celery reads it once, when the first of its modules for workers is imported: so before any of ours is.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")  # noqa: TID251 - it is read there, and nowhere else
