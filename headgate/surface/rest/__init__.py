"""PostgREST's interface on any PostgreSQL: parse → plan → render → execute → respond, by the catalog alone."""
