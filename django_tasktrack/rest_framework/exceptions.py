"""Answers that REST framework has no exception for."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException


class Conflict(APIException):
    """The task's state does not allow what was asked."""

    status_code = status.HTTP_409_CONFLICT
    default_detail = "The state of the task does not allow this."
    default_code = "conflict"


class BodyTooLarge(APIException):
    """The request's body is longer than anything that this API is asked."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "body_too_large"
