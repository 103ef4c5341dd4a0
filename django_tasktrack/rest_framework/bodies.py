"""What a POST may say. A name that is not listed here is refused, so nothing else can be assigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from ..payloads import printable
from ..transitions import SIGNALS


class StrictSerializer(serializers.Serializer[Any]):
    """A serializer that refuses names it does not know instead of ignoring them."""

    what = "field"

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            self._refuse_unknown(data)
        return super().to_internal_value(data)

    def _refuse_unknown(self, data: Mapping[str, Any]) -> None:
        known = ", ".join(sorted(self.fields)) or "none"
        unknown = [printable(name)[:100] for name in data if name not in self.fields]
        if unknown:
            raise serializers.ValidationError(
                {name: [f"Unknown {self.what}. Known: {known}."] for name in unknown}
            )


class TextField(serializers.CharField):
    """A string; numbers are not turned into one."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class RetryBody(StrictSerializer):
    """``reason``: why; kept in history."""

    reason = TextField(max_length=255, required=False, allow_blank=True, default="")


class RevokeBody(RetryBody):
    """Also ``terminate``: kill the process of a running task; ``signal``: with which signal."""

    terminate = serializers.BooleanField(required=False, default=False)
    signal = serializers.ChoiceField(
        SIGNALS,
        required=False,
        # The input is not repeated: JSON can spell characters that no answer can be encoded with.
        error_messages={"invalid_choice": f"Not a signal to send. Known: {', '.join(SIGNALS)}."},
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "signal" in attrs and not attrs["terminate"]:
            raise serializers.ValidationError(
                {"signal": ["A signal is sent only with terminate: true."]}
            )
        return attrs

    @property
    def signal_to_send(self) -> str | None:
        """The signal that was asked for; None where the task is only asked to stop."""
        if not self.validated_data["terminate"]:
            return None
        return str(self.validated_data.get("signal", SIGNALS[0]))
