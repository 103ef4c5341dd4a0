"""The pytest plugin in other projects: with Django, with it unconfigured, and without it; and docs/testing.md."""

from __future__ import annotations

import configparser
import os
import re
import sys
from pathlib import Path

import pytest

pytest_plugins = "pytester"

ROOT = Path(__file__).resolve().parent.parent.parent
#: Blocks of the page that begin with the name of a file.
FILES = re.compile(r"```python\n# (\S+\.py)\n(.*?)```", re.DOTALL)

SETTINGS = """
SECRET_KEY = "outside"
INSTALLED_APPS = ["django_tasktrack", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
USE_TZ = True
"""


@pytest.fixture
def outside(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder of another project; the plugin is found there as an installed package's is."""
    definition = configparser.ConfigParser()
    definition.read(ROOT / "setup.cfg")
    entry_points = definition["options.entry_points"]["pytest11"].strip()
    info = pytester.mkdir("tasktrack_itself-1.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tasktrack-itself\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{entry_points}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pytester.path), str(ROOT)]))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    return pytester


def run(outside: pytest.Pytester, *args: str) -> pytest.RunResult:
    return outside.runpytest_subprocess("-p", "no:cacheprovider", *args)


def test_project_without_django_does_not_notice(outside: pytest.Pytester) -> None:
    outside.makepyfile(
        """
        import sys

        def test_nothing_was_imported(request):
            assert request.config.pluginmanager.has_plugin("tasktrack")
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert "django" not in loaded
            ours = [name for name in sys.modules if name.startswith("django_tasktrack")]
            assert sorted(ours) == ["django_tasktrack", "django_tasktrack.pytest_plugin"]
        """
    )
    run(outside, "-p", "no:django").assert_outcomes(passed=1)


def test_fixtures_are_listed_with_what_they_do(outside: pytest.Pytester) -> None:
    listed = run(outside, "--fixtures", "-p", "no:django").stdout.str()
    assert re.search(r"^tasktrack\b.*\n.*Runs tasks, travels in time", listed, re.MULTILINE)
    assert re.search(r"^tasktrack_eager\b", listed, re.MULTILINE)


def test_without_pytest_django_the_fixture_says_what_it_lacks(outside: pytest.Pytester) -> None:
    outside.makepyfile("def test_it(tasktrack): ...")
    result = run(outside, "-p", "no:django")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'db' not found*"])


def test_unconfigured_django_is_left_alone(outside: pytest.Pytester) -> None:
    outside.makepyfile("def test_it(tasktrack): ...", test_other="def test_it(): ...")
    run(outside).assert_outcomes(skipped=1, passed=1)  # pytest-django's verdict on ``db``


def project(outside: pytest.Pytester) -> None:
    """The project that docs/testing.md tells of."""
    files = dict(FILES.findall((ROOT / "docs/testing.md").read_text()))
    assert sorted(files) == ["shop/tasks.py", "shop/test_orders.py", "shop/tests.py"]
    outside.mkpydir("shop")
    for name, text in files.items():
        (outside.path / name).write_text(text)
    (outside.path / "outside_settings.py").write_text(SETTINGS)


def test_examples_of_the_page_work(outside: pytest.Pytester) -> None:
    project(outside)
    result = run(outside, "--ds=outside_settings", "shop/tests.py", "shop/test_orders.py")
    result.assert_outcomes(passed=6)


def test_they_work_with_django_s_own_runner(outside: pytest.Pytester) -> None:
    project(outside)
    result = outside.run(
        sys.executable, "-m", "django", "test", "--settings=outside_settings", "shop.tests"
    )
    result.stderr.fnmatch_lines(["Ran 4 tests in *", "OK"])


def test_message_of_the_page_is_what_is_said(outside: pytest.Pytester) -> None:
    project(outside)
    page = (ROOT / "docs/testing.md").read_text()
    shown = re.search(r"^    AssertionError: (.*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert shown
    outside.makepyfile(
        test_message="""
        from shop.tasks import confirm, place_order

        def test_it(tasktrack):
            place_order("ann@example.com")
            tasktrack.assert_enqueued(confirm, args=["bob@example.com"])
        """
    )
    result = run(outside, "--ds=outside_settings", "test_message.py")
    result.assert_outcomes(failed=1)
    said = re.sub(r"^E {3,7}", "", result.stdout.str(), flags=re.MULTILINE)
    for line in shown[1].splitlines():
        assert line.strip() in said
