"""``celery.utils.log``: loggers. The worker shows what tasks log with their name and id, whatever the logger."""

from __future__ import annotations

import logging

get_task_logger = get_logger = logging.getLogger

__all__ = ["get_logger", "get_task_logger"]
