"""Types of other languages from the catalog, so that no schema is mirrored by hand. Reads only; writes text."""

from headgate.db.codegen.model import Source, read_source

__all__ = ["LANGUAGES", "Source", "generate", "read_source"]

LANGUAGES = ("typescript", "pydantic", "sqlalchemy", "drizzle")


def generate(language: str, source: Source) -> str:
    """The source text for a language of `LANGUAGES`; the same catalog gives the same text."""
    from headgate.db.codegen import drizzle, python, sqlalchemy, typescript

    makers = {
        "typescript": typescript.render,
        "pydantic": python.render,
        "sqlalchemy": sqlalchemy.render,
        "drizzle": drizzle.render,
    }
    return makers[language](source)
