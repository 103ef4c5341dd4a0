"""A small project of its own, whose code a test may write and change while workers run it."""

from __future__ import annotations

import textwrap
from contextlib import AbstractContextManager
from pathlib import Path

from tests.workers import WorkerProcess, worker

_SETTINGS = """
from tests.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
"""


class Project:
    """An app "shop" with tasks, and settings that install it beside those of the tests.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "shop").mkdir()
        (folder / "shop" / "__init__.py").touch()
        (folder / "shop_settings.py").write_text(_SETTINGS)

    def write(self, code: str) -> None:
        """Make this the code of ``shop.tasks``."""
        imports = "import time\nfrom django_tasktrack import shared_task\n"
        file = self._folder / "shop" / "tasks.py"
        file.write_text(f"{imports}{textwrap.dedent(code)}")

    def worker(self, *args: str, wait: bool = True) -> AbstractContextManager[WorkerProcess]:
        """A worker that knows its tasks."""
        environment = {"PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        return worker(*args, env=environment, settings="shop_settings", wait=wait)
