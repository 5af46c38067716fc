"""What serving decides by itself; served volumes are in cli/test_serve.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cryptlv.activate.nbd_address import Address
from cryptlv.errors import NotFoundError, UsageError
from cryptlv.ops.serve import DISCARD_WARNING, ServeOptions, export_uri, serve
from support.disks import Known, make_disks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("path", "host", "port", "secure", "uri"),
    [
        ("/run/a b", "", 0, False, "nbd+unix:///vg0%2Flv?socket=/run/a%20b"),
        ("", "", 0, False, "nbd+unix:///vg0%2Flv"),
        ("", "h", 7, False, "nbd://h:7/vg0%2Flv"),
        ("", "::1", 7, True, "nbds://[::1]:7/vg0%2Flv"),
        ("", "", 7, True, "nbds://localhost:7/vg0%2Flv"),
    ],
)
def test_uris_are_those_of_the_nbd_uri_specification(path: str, host: str, port: int, secure: bool, uri: str) -> None:
    server: Any = SimpleNamespace(port=port, path=path, address=Address(path=path, host=host, port=port))
    assert export_uri(server, "vg0/lv", is_secure=secure) == uri


@pytest.mark.parametrize(
    "options",
    [
        ServeOptions(fuse_directory="d", nbd="unix:x"),
        ServeOptions(fuse_directory="d", tls_directory="t"),
        ServeOptions(export_names=("a", "b")),
        ServeOptions(export_names=("x" * 4097,)),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_a_key_is_asked_for(
    tmp_path: Path, options: ServeOptions
) -> None:
    disks = make_disks(tmp_path, (1,))
    with disks.session() as session, pytest.raises(UsageError):
        serve(session, [("vg0", "x")], Known(), options, print)


def test_discards_are_warned_of_before_anything_is_opened(tmp_path: Path) -> None:
    said: list[str] = []
    disks = make_disks(tmp_path, (1,))
    with disks.session(said.append) as session, pytest.raises(NotFoundError):
        serve(session, [("vg0", "none")], Known(), ServeOptions(allow_discards=True), print)
    assert DISCARD_WARNING in said
