"""An app like a project's own: a model, and tasks that the tests enqueue."""

from __future__ import annotations

import os
import warnings

from django.apps import AppConfig


class TestAppConfig(AppConfig):
    name = "tests.app"
    label = "testapp"

    def ready(self) -> None:
        if os.environ.get("TASKTRACK_TEST_CONNECT"):
            self._connect()
        self._be_what_the_exam_wants()

    @staticmethod
    def _be_what_the_exam_wants() -> None:
        from tests.app import receivers  # not before the apps are there
        from tests.exam import failpoints, newer

        if failpoints.PLAN in os.environ:
            failpoints.install()
        if newer.WANTED in os.environ:
            newer.install()
        if receivers.BOOK in os.environ:
            receivers.install()

    @staticmethod
    def _connect() -> None:
        """Ask the database before anything else, as some projects do."""
        from django.db import connection  # not before the settings are known

        with warnings.catch_warnings(), connection.cursor() as cursor:
            warnings.simplefilter("ignore")  # Django says that it should not
            cursor.execute("SELECT 1")
