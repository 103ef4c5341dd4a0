"""``Celery``: the application object, a face over what the package does anyway."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any, NoReturn, overload
from uuid import UUID

from django.apps import apps
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.module_loading import import_string, module_has_submodule

from .... import conf
from ....exceptions import Unsupported
from ....startup import Moment, when
from ..loading import load
from . import sources
from .current import set_current
from .declaring import declarer
from .occasions import Occasion
from .registry import Tasks
from .settings import Settings

#: Arguments of Celery's that change nothing: there is one loader, and everything is finalized when Django is ready.
_WITHOUT_EFFECT = frozenset({"loader", "fixups", "autofinalize", "strict_typing"})


class Celery:
    """An application: it declares tasks, sends calls by name, and says what is configured.

    All applications of a process share the tasks, the workers, the database and the settings: what one of them is
    given counts as if it stood in ``TASKTRACK``.

    Args:
        main: a name, for messages.
        broker, backend: URLs; the database is both, so they are taken with a warning.
        include: modules that declare tasks.
        config_source, namespace: as ``config_from_object`` takes them.
        task_cls: the class of its tasks, or the path of it.
        set_as_current: whether it is ``current_app`` from now on.
        changes: settings.
        **settings: settings.

    Raises:
        ImproperlyConfigured: there is no such setting.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: Sequence[str] | str | None = None,
        config_source: Any = None,
        namespace: str | None = None,
        task_cls: Any = None,
        set_as_current: bool = True,
        changes: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.main = main
        self.task_cls = task_cls
        self.conf = Settings(f"Celery({main!r}).conf")
        given = {name: what for name, what in settings.items() if name not in _WITHOUT_EFFECT}
        named = {"broker_url": broker, "result_backend": backend, "include": include}
        given |= {name: what for name, what in named.items() if what is not None}
        self.conf.take({**(changes or {}), **given})
        conf.add_source(self.conf.entries)
        if config_source is not None:
            self.config_from_object(config_source, namespace=namespace)
        self.tasks = Tasks()
        self.on_after_configure, self.on_after_finalize = Occasion(self), Occasion(self)
        if set_as_current:
            self.set_current()

    def __repr__(self) -> str:
        return f"<Celery {self.main}>"

    # Tasks

    @overload
    def task(self, function: Callable[..., Any], /) -> Any: ...

    @overload
    def task(self, **options: Any) -> Callable[[Callable[..., Any]], Any]: ...

    def task(self, *args: Any, **options: Any) -> Any:
        """``@app.task``, with and without parentheses: as ``django_tasktrack.task``, with Celery's options too.

        Where Django's apps are not there yet, as in ``proj/celery.py``, the task is made when they are.
        """
        return declarer(self, args, options)

    @cached_property
    def Task(self) -> Any:  # noqa: N802  Celery's name
        """The class of its tasks; derive others from it."""
        given = self.task_cls
        if isinstance(given, str):
            return import_string(given.replace(":", "."))
        return load(".app.task", "Task") if given is None else given

    def register_task(self, task: Any, **without_effect: object) -> Any:
        """The task that a class is; it is registered since the class exists."""
        return load("declaration", "register_task")(task)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import the modules that declare tasks, when Django is ready. Those of installed apps are found anyway.

        Args:
            packages: that have them; by default the installed apps.
            related_name: of the modules; None for the packages themselves.
            force: as Celery accepts it.
        """
        when(Moment.MODELS, partial(_discover, packages, related_name))

    # Settings

    def config_from_object(
        self, obj: Any, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> None:
        """Read settings from an object: see ``sources.reader``.

        Args:
            obj: a dict, a module, an object, or the path of one: ``django.conf:settings``.
            silent: whether a path that leads nowhere means no settings.
            force: as Celery accepts it.
            namespace: what the names begin with: "CELERY".
        """
        self.conf.read_from(sources.reader(obj, namespace, silent=silent))

    def config_from_envvar(
        self, variable_name: str, silent: bool = False, force: bool = False
    ) -> None:
        """``config_from_object`` of the path that an environment variable holds.

        Raises:
            ImportError: it is not set, and this is not ``silent``.
        """
        path = os.environ.get(variable_name)
        if path:
            self.config_from_object(path, silent=silent)
        elif not silent:
            raise ImportError(f"The environment variable {variable_name} is not set.")

    def add_periodic_task(self, schedule: Any, sig: Any, *args: Any, **options: Any) -> str:
        """Enqueue a task again and again: see ``periodic.add``; the schedule's name."""
        add = load(".app.periodic", "add")
        return str(add(self.conf.beat_schedule, schedule, sig, *args, **options))

    # Calls and results

    def send_task(self, name: str, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Enqueue a call of the task of this name: see ``sending.send_task``."""
        return load(".app.sending", "send_task")(name, args, kwargs, **options)

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """A signature: see ``django_tasktrack.signature``."""
        return load("canvas", "signature")(*args, **kwargs)

    subtask = signature

    def AsyncResult(self, task_id: UUID | str, **without_effect: object) -> Any:  # noqa: N802  Celery's
        """What became of a task."""
        return load(".result", "AsyncResult")(task_id)

    @property
    def GroupResult(self) -> Any:  # noqa: N802
        """The class of results of groups."""
        return load("result_sets", "GroupResult")

    @property
    def ResultSet(self) -> Any:  # noqa: N802
        """The class of several results together."""
        return load("result_sets", "ResultSet")

    @cached_property
    def control(self) -> Any:
        """What can be asked of workers and tasks: a ``Control``."""
        return load(".app.control", "Control")()

    @property
    def current_task(self) -> Any:
        """The task that runs here; None outside of one."""
        return load("bound", "current_task")._get_current_object()

    current_worker_task = current_task

    def now(self) -> datetime:
        """The current time."""
        return timezone.now()

    # Which of them

    def set_current(self) -> None:
        """Be ``current_app`` from now on."""
        set_current(self)

    set_default = set_current

    def finalize(self, auto: bool = False) -> None:
        """Nothing has to be done: tasks are made when Django is ready."""

    def close(self) -> None:
        """No longer give settings."""
        conf.remove_source(self.conf.entries)

    def __enter__(self) -> Celery:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # What there is not

    def worker_main(self, argv: Any = None) -> NoReturn:
        """Refused: workers are started by Django.

        Raises:
            Unsupported: always.
        """
        raise Unsupported("The application starts no worker.", hint="Run manage.py worker.")

    start = Worker = Beat = worker_main

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"The application has no {name!r}. Hint: {_INSTEAD.get(name, 'See docs/celery-app.md.')}"
        )


_DATABASE = "The database is the broker and the result backend; there is nothing to connect to."
_CONNECTIONS = (
    "broker_connection", "connection", "connection_for_read", "connection_for_write",
    "connection_or_acquire", "default_connection", "pool",
)  # fmt: skip
_INSTEAD = {
    **dict.fromkeys(("amqp", "backend", "producer_pool", "producer_or_acquire"), _DATABASE),
    **dict.fromkeys(
        _CONNECTIONS,
        f"{_DATABASE} How long a queue is: TrackedTask.objects.filter(queue=...), or manage.py tasktrack stats.",
    ),
    "events": "Connect to signals, or read result.history().",
    "log": "Logging is Django's, by LOGGING: docs/deployment.md.",
    "steps": "The worker's parts cannot be replaced.",
    "user_options": "manage.py worker has no options of projects.",
}


def _discover(
    packages: Iterable[str] | Callable[[], Iterable[str]] | None, related_name: str | None
) -> None:
    if packages is None:
        if related_name != conf.at_declaration().TASKS_MODULE:
            _discover([one.name for one in apps.get_app_configs()], related_name)
        return
    # As code that passes on INSTALLED_APPS names them.
    configs = {
        f"{type(one).__module__}.{type(one).__qualname__}": one for one in apps.get_app_configs()
    }
    for name in packages() if callable(packages) else packages:
        package = configs[name].name if name in configs else name
        module = import_module(package)
        if related_name and module_has_submodule(module, related_name):
            import_module(f"{package}.{related_name}")
