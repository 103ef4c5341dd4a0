"""``manage.py demo``: three jobs, watched to their ends. A worker has to run."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import IO, Any, cast

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from demo_project.cities.display import Stalled
from demo_project.cities.story import Story, Unexpected, forget


class Command(BaseCommand):
    help = (
        "Imports the cities of the world, revokes a job half-way, and retries another to its end."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--fresh", action="store_true", help="Forget what an earlier demo has imported."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["fresh"]:
            forget()
        try:
            Story(Console(file=cast("IO[str]", self.stdout._out), highlight=False)).tell()
        except Stalled as error:
            hint = "Start a worker in another terminal: python manage.py worker"
            raise CommandError(f"{error}\n{hint}") from error
        except Unexpected as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            raise CommandError("Interrupted.", returncode=130) from None
