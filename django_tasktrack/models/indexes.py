"""Indexes and constraints with a condition, on databases that have none of those too."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement


class PartialIndex(models.Index):
    """A conditional index that stays an index where the database has no partial ones.

    Django leaves conditional indexes out on MariaDB and MySQL, and claims would scan the table there.
    Instead they get the same columns, behind the stage where the condition is about the stage.
    """

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using, **kwargs)
        return models.Index(fields=self._whole(), name=self.name).create_sql(
            model, schema_editor, using, **kwargs
        )

    def remove_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor, **kwargs: Any
    ) -> str:
        if schema_editor.connection.features.supports_partial_indexes:
            return super().remove_sql(model, schema_editor, **kwargs)
        return models.Index(fields=self._whole(), name=self.name).remove_sql(
            model, schema_editor, **kwargs
        )

    def _whole(self) -> list[str]:
        conditions = self.condition.children if self.condition else []
        about = [child[0] for child in conditions if isinstance(child, tuple)]
        lead = ["stage"] if any(lookup.split("__")[0] == "stage" for lookup in about) else []
        return [*lead, *(f"{order and '-'}{name}" for name, order in self.fields_orders)]


class PartialUnique(models.UniqueConstraint):
    """A conditional constraint that is a plain one where the database has no partial indexes.

    Only for conditions that leave out NULL, which is never a duplicate anyway.
    """

    def constraint_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).constraint_sql(model, schema_editor)

    def create_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).create_sql(model, schema_editor)

    def remove_sql(
        self, model: type[models.Model] | None, schema_editor: BaseDatabaseSchemaEditor | None
    ) -> str:
        return self._made_for(schema_editor).remove_sql(model, schema_editor)

    def check(self, model: type[models.Model], connection: BaseDatabaseWrapper) -> list[Any]:
        """Nothing to warn of: the constraint is there on every database."""
        return []

    def _made_for(self, schema_editor: BaseDatabaseSchemaEditor | None) -> models.UniqueConstraint:
        assert schema_editor  # noqa: S101  only the types of its callers know of none
        partial = schema_editor.connection.features.supports_partial_indexes
        condition = self.condition if partial else None
        return models.UniqueConstraint(fields=self.fields, condition=condition, name=self.name)
