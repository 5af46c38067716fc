"""A keystore of vg0 on devices in memory, and which passphrases open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptlv.errors import WrongCredential
from cryptlv.host.devices import MemoryDevice
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.keys.registry import find_handler
from cryptlv.ops import keyslots, pv, vg
from cryptlv.ops import lv as lvs
from cryptlv.ops.keyslots import read_store
from cryptlv.secret import Passphrase
from support.disks import MIB, REQUEST, Disks, Known

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.ops.keyslots import Store
    from cryptlv.ops.session import Session

FIRST, SECOND, THIRD = b"first", b"two\nlines\n", b"\x00\xff third"
CHEAP = KeystoreRequest(pbkdf="pbkdf2", force_iterations=1000)


def keystore_disks(folder: Path, kind: str, *passphrases: bytes) -> Disks:
    """One PV with vg0 and its encrypted volume `x` of that handler, a keyslot for each passphrase."""
    disks = Disks(folder, {"/d": MemoryDevice(8 * MIB, path="/d")})
    with disks.session() as session:
        pv.create(session, ("/d",))
        vg.create(session, "vg0", ("/d",), 64 * 1024)
        request = REQUEST.replace(
            name="x", size_bytes=MIB, handler=kind, keystore=REQUEST.keystore.replace(key_size_bits=256)
        )
        lvs.create(session, "vg0", request, Known(passphrases[0]))
        for passphrase in passphrases[1:]:
            add(session, passphrases[0], passphrase)
    return disks


def add(session: Session, old: bytes, new: bytes, number: int | None = None) -> int:
    """Add a passphrase to `x`."""
    return keyslots.add_key(session, "vg0", "x", Known(old), Known(new), number=number, request=CHEAP)


def change(session: Session, old: bytes, new: bytes, number: int | None = None) -> tuple[int, int]:
    """Change a passphrase of `x`."""
    return keyslots.change_key(session, "vg0", "x", Known(old), Known(new), number=number, request=CHEAP)


def store_of(disks: Disks) -> Store:
    """The keystore of `x`."""
    with disks.session() as session:
        return read_store(session, "vg0", "x")


def opens(store: Store, passphrase: bytes) -> bool:
    """Whether a passphrase opens a keystore."""
    try:
        find_handler(store.view.attributes.handler).unlock(
            store.view.attributes, store.view.image, Passphrase(passphrase)
        ).close()
    except WrongCredential:
        return False
    return True


def opening(disks: Disks, *passphrases: bytes) -> tuple[bytes, ...]:
    """Those of the passphrases that open the keystore of `x`."""
    store = store_of(disks)
    return tuple(passphrase for passphrase in passphrases if opens(store, passphrase))
