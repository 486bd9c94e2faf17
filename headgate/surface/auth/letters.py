"""The texts of mail: built in, or files of the operator's with hosted Supabase's placeholders (`{{ .Token }}`)."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.base.errors import SettingsError

_PLACE = re.compile(r"\{\{-?\s*\.([A-Za-z_][A-Za-z0-9_.]*)\s*-?\}\}")
_ANY = re.compile(r"\{\{.*?\}\}", re.DOTALL)
FIELDS = frozenset(
    {
        "ConfirmationURL",
        "Token",
        "TokenHash",
        "SiteURL",
        "Email",
        "NewEmail",
        "OldEmail",
        "RedirectTo",
        "Data",
    }
)
#: kind → subject, what it is about, what the link says (None: the letter has a code only)
_BUILT_IN: dict[str, tuple[str, str, str | None]] = {
    "confirmation": (
        "Confirm your address",
        "Someone signed up with this address. If it was you, confirm that it is yours.",
        "Confirm the address",
    ),
    "invite": ("You are invited", "You are invited to make an account.", "Accept the invitation"),
    "magic_link": ("Sign in", "Use this link or code to sign in. Both work once.", "Sign in"),
    "recovery": (
        "Set a new password",
        "Someone asked to set a new password for this account. If it was not you, nothing needs to be done.",
        "Set a new password",
    ),
    "email_change": (
        "Confirm the new address",
        "Someone asked to change the address of this account from {{ .Email }} to {{ .NewEmail }}.",
        "Confirm the change",
    ),
    "reauthentication": ("Your code", "Enter this code to confirm that it is you.", None),
}
KINDS = frozenset(_BUILT_IN)


@dataclass(frozen=True)
class Letter:
    """What is sent: a subject line, plain text, and the same as HTML."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class _Template:
    subject: str
    text: str
    html: str


class Letters:
    """The templates. `folder` may hold `<kind>.subject`, `.txt` and `.html`; what is missing is built in."""

    def __init__(self, folder: Path | None = None) -> None:
        self._templates = {kind: _template(kind, folder) for kind in _BUILT_IN}

    def write(self, kind: str, values: Mapping[str, Any]) -> Letter:
        """The letter `kind` with `values` in their places; escaped where it is HTML."""
        template = self._templates[kind]
        subject = " ".join(_fill(template.subject, values, escape=False).split())
        return Letter(
            subject, _fill(template.text, values, escape=False), _fill(template.html, values, escape=True)
        )


def _fill(text: str, values: Mapping[str, Any], *, escape: bool) -> str:
    def value(found: re.Match[str]) -> str:
        at: Any = values
        for name in found.group(1).split("."):
            at = at.get(name) if isinstance(at, Mapping) else None
        shown = "" if at is None else str(at)
        return html.escape(shown) if escape else shown

    return _PLACE.sub(value, text)


def _template(kind: str, folder: Path | None) -> _Template:
    subject, about, action = _BUILT_IN[kind]
    link = f'<p><a href="{{{{ .ConfirmationURL }}}}">{action}</a></p>' if action else ""
    text_link = f"{action}: {{{{ .ConfirmationURL }}}}\n\n" if action else ""
    built = _Template(
        subject,
        f"{about}\n\n{text_link}Code: {{{{ .Token }}}}\n",
        f"<h2>{subject}</h2><p>{about}</p>{link}<p>Code: <strong>{{{{ .Token }}}}</strong></p>",
    )
    if folder is None:
        return built
    return _Template(
        _file(folder / f"{kind}.subject") or built.subject,
        _file(folder / f"{kind}.txt") or built.text,
        _file(folder / f"{kind}.html") or built.html,
    )


def _file(path: Path) -> str | None:
    """The operator's text. Raises SettingsError HG107 when it uses what we do not know."""
    if not path.exists():
        return None
    text = path.read_text(encoding="utf-8").strip()
    for found in _ANY.findall(text):
        place = _PLACE.fullmatch(found)
        if place is None or place.group(1).split(".")[0] not in FIELDS:
            raise SettingsError(
                f"The mail template {path.name} has {found!r}, which is not known.",
                code="HG107",
                hint="Known are " + ", ".join(sorted(FIELDS)) + ".",
            )
    return text
