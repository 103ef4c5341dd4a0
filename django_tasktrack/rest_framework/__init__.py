"""The REST API, for projects that have Django REST framework: ``include("django_tasktrack.rest_framework.urls")``."""
