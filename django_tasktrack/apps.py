"""The app: finds every installed app's tasks once Django is ready."""

from __future__ import annotations

from importlib import import_module

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from .startup import Moment, reach


class TasktrackConfig(AppConfig):
    name = "django_tasktrack"
    label = "tasktrack"
    verbose_name = _("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import checks  # noqa: F401  needs the models
        from .canvas import builtin  # noqa: F401  the package's own tasks
        from .conf import at_declaration, forget

        forget()  # somebody may have asked before there were settings
        reach(Moment.MODELS)
        for module in at_declaration().INCLUDE:
            import_module(module)
        autodiscover_modules(at_declaration().TASKS_MODULE)
        reach(Moment.TASKS)
