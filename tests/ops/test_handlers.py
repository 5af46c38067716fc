"""Handlers of other packages work without a change here, and cannot hurt (rows S12 and S19)."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CredentialError, HandlerUnavailable, KeystoreError, UsageError
from cryptlv.host.system import make_environment
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.ops.handlers import OutsideHandler, find_handler
from cryptlv.secret import Passphrase
from support.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "acme_handler"
ENV = make_environment("test")
SOUND = EXAMPLE.joinpath("acme_handler.py").read_text()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a package with a handler acme, whose module has that source, where children find it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    info = tmp_path / "acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[cryptlv.key_handlers]\nacme = acme_handler:AcmeHandler\n")

    def put(source: str) -> None:
        (tmp_path / "acme_handler.py").write_text(source)

    return put


def test_a_handler_of_another_package_makes_and_finds_keys(install: Callable[[str], None]) -> None:
    install(SOUND)
    handler = find_handler("acme")
    assert (handler.name, handler.credential_kind) == ("acme", "passphrase")
    draft = handler.draft(KeystoreRequest(key_size_bits=256))
    assert (draft.handler, draft.key_size_bits, draft.request) == ("acme", 256, KeystoreRequest(key_size_bits=256))
    attributes = KeystoreAttributes(handler="acme", cipher=draft.cipher, key_size_bits=256, extra=draft.extra)
    assert handler.parameters(attributes, b"").cipher == "aes-xts-plain64"
    image, made = handler.create(draft, Passphrase(b"word\n\xff"), ENV, "uuid")
    with made, handler.unlock(attributes, image, Passphrase(b"word\n\xff")) as key:
        assert (image, len(key)) == (b"", 32)
        assert key.matches(made)
    with made, pytest.raises(KeystoreError, match="acme_salt"):
        handler.unlock(attributes.replace(extra=()), image, Passphrase(b"word"))


def test_built_in_ones_are_asked_here_and_unknown_ones_are_named() -> None:
    assert type(find_handler("luks2")).__module__ == "cryptlv.keys.luks2"
    with pytest.raises(HandlerUnavailable, match="'acme' is not installed"):
        find_handler("acme")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ("        import os; os.abort()", "ended without an answer"),
        ("        raise SystemExit(1)", "ended without an answer"),
        ("        raise RuntimeError('secret words')", "failed: RuntimeError"),
        ("        return None", "failed"),
        ("        return request", "failed"),
        ("        print('noise' * 100000); raise ValueError", "failed: ValueError"),
        ("        while True: pass", "did not answer within 2 s"),
        ("        import time; time.sleep(60)", "did not answer within 2 s"),
    ],
)
def test_one_that_fails_in_any_way_is_named_in_one_line(
    install: Callable[[str], None], change: str, word: str
) -> None:
    lines = SOUND.splitlines()
    at = next(number for number, line in enumerate(lines) if "What the metadata will say" in line)
    install("\n".join([*lines[: at + 1], change, *lines[at + 1 :]]))
    handler = OutsideHandler("acme", quick_seconds=2)
    start = time.monotonic()
    with pytest.raises(HandlerUnavailable, match="'acme'") as caught:
        handler.draft(KeystoreRequest())
    assert word in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("image_bytes=0", "image_bytes='x'"), ("cipher=request.cipher or _CIPHER", "cipher=None"),
        ('(("acme_salt", secrets.token_hex(16)),)', "((1, 2),)"),
        ("key_size_bits=request", "key_size_bits=True or request"),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kind_is_refused(install: Callable[[str], None], old: str, new: str) -> None:
    assert old in SOUND
    install(SOUND.replace(old, new))
    with pytest.raises(HandlerUnavailable, match="gives a wrong"):
        find_handler("acme").draft(KeystoreRequest())


@pytest.mark.parametrize(("kind", "error"), [("UsageError", UsageError), ("CredentialError", CredentialError)])
def test_errors_that_handlers_may_raise_come_through(
    install: Callable[[str], None], kind: str, error: type[Exception]
) -> None:
    install(
        SOUND.replace(
            '        """The cipher that goes with the key."""',
            f"        from cryptlv.errors import {kind}\n        raise {kind}('the server said\\n no')",
        )
    )
    with pytest.raises(error, match=r"the server said\\n no|the server said.* no"):
        find_handler("acme").parameters(KeystoreAttributes(handler="acme"), b"")


def test_one_that_calls_itself_something_else_is_not_used(install: Callable[[str], None]) -> None:
    install(SOUND.replace('name = "acme"', 'name = "luks1"'))
    with pytest.raises(HandlerUnavailable, match="calls itself 'luks1'"):
        find_handler("acme")


def test_the_example_is_installed_in_an_environment_and_used(tmp_path: Path) -> None:
    """In a virtual environment that has it, volumes with its keys are made; without it only activation fails."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (packages,) = venv.glob("lib/python*/site-packages")
    ours = "\n".join(path for path in sys.path if path.endswith(("site-packages", "/src")))
    (packages / "ours.pth").write_text(ours + "\n")
    pip = (sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "-q", "install")
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    machine = Machine(tmp_path)
    machine.image("a.img")
    machine.run("vgcreate", "vg", "a.img")
    machine.key_file("key", b"a word")
    there = (str(venv / "bin" / "python"), "-m", "cryptlv")
    made = machine.tool(
        *there, "lvcreate", "--type", "crypt", "--handler", "acme", "--keyfile", "key", "-l2", "-nx", "vg"
    )
    assert made.out == '  Logical volume "x" created.\n'
    fields = machine.run("lvs", "--noheadings", "-o", "crypt_handler,crypt_cipher,crypt_keysize", "vg/x").out.split()
    assert fields == ["acme", "aes-xts-plain64", "512"]
    data = bytes(range(256)) * 64
    for text in (data, b""):
        active = ("lvchange", "-ay", "--backend", "fuse", "--keyfile", "key", "vg/x")
        path = Path(machine.tool(*there, *active).out.strip())
        if text:
            with path.open("r+b") as file:
                file.write(text)
        else:
            assert path.read_bytes()[: len(data)] == data
        machine.run("lvchange", "-an", "vg/x")
    assert "'acme' is not installed" in machine.fail("lvchange", "-ay", "--keyfile", "key", "vg/x")
    machine.run("lvrename", "vg", "x", "y")
    machine.close()
