"""A taken port gets one line that names it, its holder and the option; a free one passes."""

from __future__ import annotations

import os
import socket

import pytest

from headgate.base.errors import SettingsError
from headgate.cli.ports import ensure_free, holder


@pytest.fixture
def taken() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_taken_port_is_refused_with_its_holder_and_the_option(taken: int) -> None:
    with pytest.raises(SettingsError) as caught:
        ensure_free("127.0.0.1", taken, option="--port")
    line = str(caught.value)
    assert caught.value.code == "HG101"
    assert f"Port {taken} is in use" in line
    assert "--port" in line
    assert "\n" not in line
    assert f"(pid {os.getpid()})" in line


def test_free_port_passes(taken: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
    ensure_free("127.0.0.1", port, option="--port")
    ensure_free("127.0.0.1", 0, option="--port")


def test_holder_of_a_free_port_is_unknown() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert holder(other.getsockname()[1]) is None
