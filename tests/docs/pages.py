"""Writes the reference pages that are made from the code: `python -m tests.docs.pages`. Tests compare them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from headgate.base import metrics
from headgate.base.settings import Settings

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"

SETTINGS_HEAD = """# Settings

Every setting is an environment variable, or a line of a `.env` file in the working directory; the environment wins.
A wrong value stops the start with HG100 and names the setting.

"""
METRICS_HEAD = """# Metrics

Each process counts for itself, in the Prometheus text format. Counters end in `_total`; histograms are in seconds.

| metric | kind | labels | what |
|---|---|---|---|
"""


def settings_table(kind: type[Any]) -> str:
    """The fields of a settings class as a table: variable, default, meaning with its bounds."""
    prefix = str(kind.model_config.get("env_prefix", "")).upper()
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for name, info in kind.model_fields.items():
        rows.append(
            f"| `{prefix}{name.upper()}` | {_default(info)} | {info.description or ''}{_bounds(info)} |"
        )
    return "\n".join(rows) + "\n"


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=False)
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or value == "" else f"`{value}`"


def _bounds(info: FieldInfo) -> str:
    least = next((m.ge for m in info.metadata if hasattr(m, "ge")), None)
    most = next((m.le for m in info.metadata if hasattr(m, "le")), None)
    if least is not None and most is not None:
        return f" {least} to {most}."
    return f" At least {least}." if least else ""


def settings_page() -> str:
    """`docs/reference/settings.md`."""
    note = "\n`HEADGATE_DATABASE_URL` may also be called `DATABASE_URL`.\n"
    return SETTINGS_HEAD + settings_table(Settings) + note


def metrics_page() -> str:
    """`docs/reference/metrics.md`."""
    rows = []
    for name, metric in sorted(vars(metrics).items()):
        if isinstance(metric, MetricWrapperBase):
            full = metric._name + ("_total" if metric._type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            rows.append((full, f"| `{full}` | {metric._type} | {labels} | {metric._documentation} |", name))
    return METRICS_HEAD + "\n".join(row for _, row, _ in sorted(rows)) + "\n"


def main() -> None:
    """Write both pages."""
    (REFERENCE / "settings.md").write_text(settings_page())
    (REFERENCE / "metrics.md").write_text(metrics_page())


if __name__ == "__main__":
    main()
