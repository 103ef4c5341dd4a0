"""The form of a schedule: what a person writes is checked as a declaration is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import registry, timings
from ..exceptions import TasktrackError
from ..models import Schedule
from ..schedules import planning


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]
    """What a row says is checked as a declaration is."""

    task = forms.ChoiceField(label=gettext_lazy("task"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = dict.fromkeys([*registry.names(), *filter(None, [self.instance.task])])
        if "task" in self.fields:
            self.fields["task"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]

    def clean_args(self) -> Any:
        return self.cleaned_data["args"] or []

    def clean_kwargs(self) -> Any:
        return self.cleaned_data["kwargs"] or {}

    def clean_catch_up(self) -> int:
        value: int = self.cleaned_data["catch_up"]
        if value > timings.MOST:
            raise forms.ValidationError(_("At most %(n)s.") % {"n": timings.MOST})
        return value

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            self._check(cleaned)
        return cleaned

    def _check(self, cleaned: dict[str, Any]) -> None:
        row = Schedule(
            name=self.instance.name, args=self.instance.args, kwargs=self.instance.kwargs
        )
        for name, value in cleaned.items():
            setattr(row, name, value)
        try:
            rule = timings.rule(row.timing, row.timezone)
            planning.entry_of_row(row).new_task()
        except (TasktrackError, TypeError) as error:
            raise forms.ValidationError(str(error)) from None
        asked = planning.WHEN & set(self.changed_data)
        if row.enabled and asked and timings.first(rule, timings.aware(timezone.now())) is None:
            raise forms.ValidationError(_("It has no slot to come: its time lies in the past."))
