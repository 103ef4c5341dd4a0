"""The project of docs/celery-app.md, as it stands there, in processes of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)
SETTINGS = """
SECRET_KEY = "outside"
USE_TZ = True
INSTALLED_APPS = ["django_tasktrack", "shop"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3",
    "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30},
}}
CELERY_TASK_DEFAULT_QUEUE = "proj"
CELERY_RESULT_EXPIRES = 3600
"""


class Project:
    """A folder with a project in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> None:
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(text)

    def run(self, *command: str, code: int = 0) -> str:
        """What ``python -m django`` with this command says; its own process is the project's."""
        return self.python("-m", "django", *command, code=code)

    def python(self, *arguments: str, code: int = 0) -> str:
        """What Python says, with these arguments and this exit code."""
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", *arguments],
            cwd=self.path,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join([str(self.path), str(ROOT)]),
                "DJANGO_SETTINGS_MODULE": "proj.settings",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def shell(self, code: str) -> str:
        return self.run("shell", "-v", "0", "--no-imports", "-c", code)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    for name, text in FILES.findall((ROOT / "docs/celery-app.md").read_text()):
        made.write(name, text)
    made.write("proj/settings.py", SETTINGS)
    made.write("shop/__init__.py", "")
    return made


def test_the_documented_project_runs(project: Project) -> None:
    assert "no issues" in project.run("check")
    project.run("migrate", "-v", "0")
    enqueued = project.shell(
        "from proj import celery_app as app\n"
        "from proj.celery import debug_task\n"
        "from shop.tasks import Report, add, total\n"
        "from django_tasktrack.compat.celery import Task, chord\n"
        "assert isinstance(debug_task, Task) and app.tasks[debug_task.name] == debug_task\n"
        "assert app.conf.result_expires == 3600 and list(app.conf.beat_schedule) == ['every second']\n"
        "assert debug_task.delay().queue == 'proj'\n"
        "chord([add.s(n, n) for n in range(3)])(total.s())\n"
        "app.send_task('shop.tasks.add', (2, 3)), (add.s(1, 1) | debug_task.si()).delay()\n"
        "print(Report.delay(2026))"
    )
    said = project.run("worker", "--burst", "-P", "threads", "-c", "2", "-Q", "proj")
    assert "Request: Request(id=" in said
    states = project.shell(
        "from proj.celery import app\n"
        "from django_tasktrack.models import Schedule, TrackedTask\n"
        f"print(app.AsyncResult('{enqueued.strip()}').get())\n"
        "print(sorted(set(TrackedTask.objects.values_list('state', flat=True))))\n"
        "print(TrackedTask.objects.get(name='shop.total').result)\n"
        "print(Schedule.objects.get().name)"
    )
    assert states.splitlines() == ["2026", "['SUCCESS']", "6", "every second"]


def test_a_project_without_the_admin_has_templates(tmp_path: Path) -> None:
    project = Project(tmp_path)
    engine = "django.template.backends.django.DjangoTemplates"
    templates = f"TEMPLATES = [{{'BACKEND': {engine!r}, 'APP_DIRS': True}}]\n"
    project.write("proj/__init__.py", "")
    project.write("proj/settings.py", SETTINGS.replace(', "shop"', "") + templates)
    rendered = "from django.template import engines\nprint(engines['django'].from_string('{{ 1 }}').render())"
    assert project.shell(rendered).strip() == "1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "debug_task.delay()",
            "Task proj.celery.debug_task is used before Django's apps are there.",
        ),
        (
            "app.Task",
            "Task needs Django's models, which are not there yet. Hint: Use it in an app's",
        ),
        ("app.control.ping()", "Control needs Django's models"),
        ("from django_tasktrack.compat.celery import group", "group needs Django's models"),
        ("app.conf.task_rout = {}", "Hint: Did you mean 'task_routes'?"),
    ],
)
def test_what_comes_too_early_says_so(project: Project, line: str, said: str) -> None:
    celery = project.path / "proj/celery.py"
    celery.write_text(f"{celery.read_text()}\n{line}\n")
    assert said in project.run("check", code=1)


def test_wrong_settings_are_told_by_the_checks_without_a_traceback(project: Project) -> None:
    project.write("proj/settings.py", SETTINGS + "CELERY_TASK_ALWAYS_EAGR = True\n")
    said = project.run("check", code=1)
    assert "HINT: Did you mean 'CELERY_TASK_ALWAYS_EAGER'?" in said
    assert "Traceback" not in said


def test_what_was_asked_before_there_were_settings_is_asked_again(project: Project) -> None:
    project.write("proj/settings.py", SETTINGS + "TASKTRACK = {'DEFAULT_MAX_RETRIES': 9}\n")
    project.write(
        "proj/celery.py",
        "from django_tasktrack.compat.celery import Celery\n"
        "app = Celery('proj')\n"
        "assert app.conf.DEFAULT_MAX_RETRIES == 3\n"
        "@app.task\n"
        "def early(): ...\n",
    )
    project.write("shop/tasks.py", "")
    project.write(
        "start.py",
        "import os\n"
        "del os.environ['DJANGO_SETTINGS_MODULE']\n"
        "import proj\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'proj.settings'\n"
        "import django\n"
        "django.setup()\n"
        "print(proj.celery.early.max_retries)\n",
    )
    assert project.python("start.py").strip() == "9"


def test_what_is_included_and_discovered_is_imported(project: Project) -> None:
    for name in ("jobs", "work", "sold", "other/background"):
        project.write(f"shop/{name}.py", f"print('imported {name}')\n")
    project.write("shop/other/__init__.py", "")
    project.write(
        "shop/apps.py",
        "from django.apps import AppConfig\n\n\nclass ShopConfig(AppConfig):\n    name = 'shop'\n",
    )
    celery = project.path / "proj/celery.py"
    celery.write_text(
        f"{celery.read_text()}\n"
        "app.autodiscover_tasks(related_name='work')\n"
        "app.autodiscover_tasks(lambda: ['shop.other', 'shop'], related_name='background')\n"
        "app.autodiscover_tasks(['shop.apps.ShopConfig'], related_name='sold')\n"
        "app.conf.include = ['shop.jobs']\n"
    )
    said = project.run("check")
    assert re.findall(r"imported (\S+)", said) == ["work", "other/background", "sold", "jobs"]
