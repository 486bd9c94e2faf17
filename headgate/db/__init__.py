"""PostgreSQL: embedded or yours. The only door to the driver."""

from psycopg import errors
from psycopg.rows import dict_row, tuple_row
from psycopg.sql import SQL, Composed, Identifier, Literal, Placeholder
from psycopg.types.json import Json, Jsonb

from headgate.db.connect import Connection, Database, Note

__all__ = [
    "SQL",
    "Composed",
    "Connection",
    "Database",
    "Identifier",
    "Json",
    "Jsonb",
    "Literal",
    "Note",
    "Placeholder",
    "dict_row",
    "errors",
    "tuple_row",
]
