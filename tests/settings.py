"""Settings of the suite and of the worker processes that it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import databases

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "tests-only"
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Tests that send the tasks to a database of their own (tests/routed.py) mark that they use the second.
DATABASES = {"default": databases.default()}
DATABASES["tasks"] = databases.beside(DATABASES["default"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_tasktrack",
    "demo_project.cities",
    "tests.app",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Fast enough to wait for: what a fault costs is over within eight seconds.
TASKTRACK = {
    "HEARTBEAT": 1,
    "LEASE": 5,
    "MAINTENANCE": 1,
    "POLL_MAX": 0.2,
    "GRACE": 5,
    # What one test wants otherwise for its worker processes (tests/workers.py).
    **json.loads(os.environ.get("TASKTRACK_TEST_SETTINGS", "{}")),
}
