"""Many rows by one statement each, without the ORM's compiler: that takes most of the time for short rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db.models import Field, JSONField, Model

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: What every driver takes as it is, whatever the column; but a JSON value of theirs has to be encoded.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def insert(connection: BaseDatabaseWrapper, rows: Sequence[Model]) -> None:
    """Insert instances of one model, as they are."""
    if rows:
        model = type(rows[0])
        fields = _inserted(model)
        values = ([getattr(row, field.attname) for field in fields] for row in rows)
        _execute(connection, _insert(connection.vendor, model), fields, values)


def update(
    connection: BaseDatabaseWrapper,
    model: type[Model],
    names: tuple[str, ...],
    guards: tuple[str, ...],
    values: Iterable[Sequence[Any]],
) -> None:
    """Update rows, each with values of its own.

    Args:
        connection: to their database.
        model: of the rows.
        names: attributes that are written.
        guards: attributes that must have the values that follow, or else the row stays as it is.
        values: for each row, those of ``names`` and then those of ``guards``.
    """
    by_name = {field.attname: field for field in model._meta.concrete_fields}
    fields = [by_name[name] for name in (*names, *guards)]
    _execute(connection, _update(connection.vendor, model, names, guards), fields, values)


@cache
def _inserted(model: type[Model]) -> Sequence[Field[Any, Any]]:
    """The fields that an insert gives values for: the others, the database gives a default of its own."""
    fields: Sequence[Field[Any, Any]] = model._meta.concrete_fields
    return [field for field in fields if field.has_default() or not field.has_db_default()]


def _execute(
    connection: BaseDatabaseWrapper,
    sql: str,
    fields: Sequence[Field[Any, Any]],
    rows: Iterable[Sequence[Any]],
) -> None:
    kinds = [(field, isinstance(field, JSONField)) for field in fields]
    prepared = [
        [
            value
            if type(value) in _PLAIN and not is_json
            else field.get_db_prep_save(value, connection)
            for value, (field, is_json) in zip(row, kinds, strict=True)
        ]
        for row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, prepared)


@cache
def _insert(vendor: str, model: type[Model]) -> str:
    columns = [_quoted(vendor, field.column) for field in _inserted(model)]
    table = _quoted(vendor, model._meta.db_table)
    places = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"


@cache
def _update(
    vendor: str, model: type[Model], names: tuple[str, ...], guards: tuple[str, ...]
) -> str:
    columns = {field.attname: field.column for field in model._meta.concrete_fields}
    given = ", ".join(f"{_quoted(vendor, columns[name])} = %s" for name in names)
    guarded = " AND ".join(f"{_quoted(vendor, columns[name])} = %s" for name in guards)
    return f"UPDATE {_quoted(vendor, model._meta.db_table)} SET {given} WHERE {guarded}"


def _quoted(vendor: str, name: str | None) -> str:
    return f"`{name}`" if vendor == "mysql" else f'"{name}"'
