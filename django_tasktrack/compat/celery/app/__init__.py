"""``celery.app``: the application object. It can be imported before Django's apps are there."""

from .base import Celery
from .current import current_app
from .declaring import shared_task

__all__ = ["Celery", "current_app", "shared_task"]
