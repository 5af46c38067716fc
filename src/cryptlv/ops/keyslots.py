"""The life of a key: keyslots of a keystore added, changed and removed, its header kept in a file and put back.

Nothing in a keystore is changed before the new image has been made and opened in memory. It is written in steps, each
flushed: key material first, then each copy of the header. A new key is on the disk, read back, before an old one
goes; the key material of what goes is overwritten before the header forgets it, so that no old copy of the header
opens it. Nobody is asked anything while a lock is held.
"""

from __future__ import annotations

from cryptlv.errors import CryptlvError, InUseError, KeystoreError, RefusedError, UsageError
from cryptlv.host.signals import held_back
from cryptlv.keys.handler import KeystoreRequest
from cryptlv.keys.keyslots import find_keyslots
from cryptlv.names import printable
from cryptlv.ops.activation import read_view
from cryptlv.ops.credentials import with_credential
from cryptlv.ops.keystore import image_place, keystore_segment
from cryptlv.ops.slack import wipe_slack
from cryptlv.record import Record
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptlv.device import Device
    from cryptlv.host.scan import Group
    from cryptlv.keys.keyslots import Keyslots
    from cryptlv.model.vg import VolumeGroup
    from cryptlv.ops.activation import KeystoreView
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import Secret, VolumeKey


class Store(Record):
    """A keystore as it was read, and what it is called: by its volume, as the user did, and in the metadata."""

    vg_name: str
    name: str
    shown: str
    view: KeystoreView

    @property
    def keyslots(self) -> Keyslots:
        """What its handler can do; raises KeystoreError for one without keyslots."""
        return find_keyslots(self.view.attributes.handler)


def store_names(vg: VolumeGroup, lv_name: str) -> tuple[str, ...]:
    """The keystores of a volume, or the one that it is itself, each once; raises NotFoundError."""
    lv = vg.lv(lv_name)
    if any(isinstance(segment, KeystoreSegment) for segment in lv.segments):
        return (lv.name,)
    return tuple(dict.fromkeys(name for segment in lv.segments for name in segment.keystores))


def read_store(session: Session, vg_name: str, lv_name: str) -> Store:
    """The keystore of a volume, or the one of that name; raises NotFoundError, RefusedError for a volume that has
    none or several, DeviceError, KeystoreError."""
    with session.locked(vg_name, write=False):
        return _store(session, session.world().group(vg_name), lv_name)


def _store(session: Session, group: Group, lv_name: str) -> Store:
    session.check_usable(group)
    shown = f"{printable(group.vg.name)}/{printable(lv_name)}"
    names = store_names(group.vg, lv_name)
    if len(names) != 1:
        what = f"has {len(names)} keystores: name one of them" if names else "is not encrypted"
        raise RefusedError(f"logical volume {shown} {what}")
    view = read_view(session, group, names[0])
    return Store(vg_name=group.vg.name, name=names[0], shown=shown, view=view)


def add_key(
    session: Session,
    vg_name: str,
    lv_name: str,
    old: Credentials,
    new: Credentials,
    *,
    number: int | None = None,
    request: KeystoreRequest | None = None,
) -> int:
    """Put the key under a further passphrase; gives the number of its keyslot (None: the first that is free).

    Raises WrongCredential, CredentialError, KeystoreError, CipherError, InUseError when the keystore is changed by
    somebody else meanwhile, and what `read_store` raises.
    """
    store, request = read_store(session, vg_name, lv_name), request or KeystoreRequest()
    place = store.keyslots.free_keyslot(store.view.image, number, request)
    _, key = _find(session, store, old)
    with key:
        after = _with_key(session, store, key, new, place, request)
    if not session.test:
        put(session, store, after)
    return place


def change_key(
    session: Session,
    vg_name: str,
    lv_name: str,
    old: Credentials,
    new: Credentials,
    *,
    number: int | None = None,
    request: KeystoreRequest | None = None,
) -> tuple[int, int]:
    """Have another passphrase in place of one (that of keyslot `number`, or the one that is given).

    The new one goes into a free keyslot, and the old one's is emptied then; gives the numbers of both. Raises what
    `add_key` raises.
    """
    store, request = read_store(session, vg_name, lv_name), request or KeystoreRequest()
    place = store.keyslots.free_keyslot(store.view.image, None, request)
    gone, key = _find(session, store, old, number)
    with key:
        after = _with_key(session, store, key, new, place, request, like=gone)
    last = store.keyslots.without_key(after, gone, session.env)
    if not session.test:
        put(session, store, after)
        try:
            put(session, store.replace(view=store.view.replace(image=after)), last)
        except CryptlvError as error:
            raise KeystoreError(
                f"{error}; the new passphrase opens {store.shown} by keyslot {place}, and the old one may still "
                f"do so by keyslot {gone}: remove that with lvchange --killkey {gone}"
            ) from None
    return gone, place


def remove_key(session: Session, vg_name: str, lv_name: str, credentials: Credentials) -> int:
    """Remove the keyslot that a passphrase opens; gives its number. Raises RefusedError for the last, but for -ff."""
    store = read_store(session, vg_name, lv_name)
    number, key = _find(session, store, credentials)
    key.close()
    _kill(session, store, number)
    return number


def kill_key(session: Session, vg_name: str, lv_name: str, number: int) -> None:
    """Remove a keyslot by its number; raises RefusedError for the last that opens, but for -ff, KeystoreError."""
    _kill(session, read_store(session, vg_name, lv_name), number)


def _kill(session: Session, store: Store, number: int) -> None:
    opening = [slot.number for slot in store.keyslots.listed(store.view.image) if slot.opens]
    if opening == [number] and session.force < 2:
        raise RefusedError(
            f"keyslot {number} is the last that opens {store.shown}: without it all data are lost; -ff removes it"
        )
    after = store.keyslots.without_key(store.view.image, number, session.env)
    if not session.test:
        put(session, store, after)


def _find(
    session: Session, store: Store, credentials: Credentials, number: int | None = None
) -> tuple[int, VolumeKey]:
    """The keyslot that the user's passphrase opens, and the key; asks a few times where that makes sense."""
    from cryptlv.ops.handlers import find_handler

    kind = find_handler(store.view.attributes.handler).credential_kind
    keyslots, view = store.keyslots, store.view

    def find(credential: Secret) -> tuple[int, VolumeKey]:
        return keyslots.find(view.attributes, view.image, credential, number)

    return with_credential(credentials, store.shown, kind, find, session.warn)


def _with_key(
    session: Session,
    store: Store,
    key: VolumeKey,
    new: Credentials,
    place: int,
    request: KeystoreRequest,
    *,
    like: int | None = None,
) -> bytes:
    """The image with the key under a new passphrase in a free keyslot, which it opens and which has the properties of
    keyslot `like`."""
    from cryptlv.ops.handlers import find_handler

    keyslots, view = store.keyslots, store.view
    kind = find_handler(view.attributes.handler).credential_kind
    with new.get("create", f"{store.shown} (new)", kind) as credential:
        after = keyslots.with_key(view.image, place, key, credential, request, session.env, like=like)
        _, proof = keyslots.find(view.attributes, after, credential, place)
        with proof:
            if not proof.matches(key):
                raise KeystoreError(f"the new keyslot of {store.shown} does not give its key back; nothing changed")
    return after


def put(session: Session, store: Store, after: bytes, *, wipes_late: bool = False) -> None:
    """Put another image in place of a keystore's, if that is still what it was; `wipes_late` is as in `write_steps`.

    Raises InUseError when it is not, DeviceError, KeystoreError when it does not read back.
    """
    with session.locked(store.vg_name, write=True):
        group = session.writable_group(store.vg_name, missing_ok=True)
        _check_same(_store(session, group, store.name), store)
        place = image_place(group.vg, keystore_segment(group.vg, store.name))
        if place is None:
            raise KeystoreError(f"the keystore of {store.shown} has no place on a disk")
        pv_id, offset_bytes, _ = place
        device = session.device(group.pv_paths[pv_id], writable=True)
        with held_back():
            write_steps(device, offset_bytes, store.view.image, after, store.keyslots, wipes_late=wipes_late)
            if device.read(offset_bytes, len(after)) != after:
                raise KeystoreError(f"{device.path}: the keystore of {store.shown} does not read back")
            wipe_slack(session, group, store.name)


def write_steps(
    device: Device, offset_bytes: int, before: bytes, after: bytes, keyslots: Keyslots, *, wipes_late: bool = False
) -> None:
    """Write what differs, step by step, each flushed.

    First new key material where there was none in use, then the material of what goes (last with `wipes_late`, when
    other keyslots are to open instead), then one copy of the header after the other, beginning with one that does not
    count before.
    """
    headers = keyslots.header_copies(after)
    there = _header_copies(keyslots, before)
    if sorted(there) == sorted(headers):
        headers = there
    copies = sorted(headers)
    in_use = _areas(keyslots, before)
    fresh = [area for area in _areas(keyslots, after) if not any(_overlap(area, other) for other in in_use)]
    ends = [0, *(start + length for start, length in copies)]
    rest = [(end, start - end) for end, (start, _) in zip(ends, [*copies, (len(after), 0)], strict=True)]
    each = [(copy,) for copy in headers]
    written = bytearray(before)
    for regions in (fresh, *each, rest) if wipes_late else (fresh, rest, *each):
        wrote = False
        for start, length in regions:
            for place, data in _differing(written, after, start, length):
                device.write(offset_bytes + place, data)
                written[place : place + len(data)] = data
                wrote = True
        if wrote:
            device.flush()


def _header_copies(keyslots: Keyslots, image: bytes) -> tuple[tuple[int, int], ...]:
    """Where the copies of the header are; nowhere in an image whose header cannot be read."""
    try:
        return keyslots.header_copies(image)
    except CryptlvError:
        return ()


def _areas(keyslots: Keyslots, image: bytes) -> tuple[tuple[int, int], ...]:
    """Where the key material in use is; nowhere in an image whose header cannot be read."""
    try:
        return keyslots.areas(image)
    except CryptlvError:
        return ()


def _overlap(area: tuple[int, int], other: tuple[int, int]) -> bool:
    return area[0] < other[0] + other[1] and other[0] < area[0] + area[1]


def _differing(before: bytearray, after: bytes, start: int, length: int) -> Iterator[tuple[int, bytes]]:
    """Runs of sectors in which two images differ: (offset, new bytes)."""
    run = -1
    for place in range(start, start + length, SECTOR_SIZE):
        end = min(place + SECTOR_SIZE, start + length)
        if before[place:end] != after[place:end]:
            run = place if run < 0 else run
        elif run >= 0:
            yield run, after[run:place]
            run = -1
    if run >= 0:
        yield run, after[run : start + length]


def backup_keystore(session: Session, vg_name: str, lv_name: str, path: str) -> int:
    """Keep a keystore's header and key material in a new file, 0600; gives how many bytes.

    Raises UsageError when there is something at `path`, DeviceError, KeystoreError and what `read_store` raises.
    """
    import os

    from cryptlv.host.archive import write_whole_file

    store = read_store(session, vg_name, lv_name)
    image = store.view.image[: store.keyslots.used_bytes(store.view.image)]
    if os.path.lexists(path):
        raise UsageError(f"{printable(path)}: there is something already; name a new file")
    if not session.test:
        write_whole_file(path, image)
    return len(image)


def restore_keystore(session: Session, vg_name: str, lv_name: str, path: str) -> None:
    """Put the header of a file back in place of a keystore's.

    Raises DeviceError when it cannot be read; KeystoreError when it is none, of another cipher or key size than the
    metadata say, or too long; RefusedError when it is another volume's, or, but for -f, when the one that is there
    cannot tell whose it is. Where both have a key in the same place the header is put into free extents, as no order
    of writes would leave a key that opens at every moment; raises NoSpaceError when there are none, but for -f.
    """
    from cryptlv.errors import DeviceError
    from cryptlv.ops.handlers import find_handler

    store = read_store(session, vg_name, lv_name)
    image, keyslots = store.view.image, store.keyslots
    try:
        with open(path, "rb") as file:
            kept = file.read(len(image) + 1)
    except OSError as error:
        raise DeviceError(f"{printable(path)}: cannot read: {error.strerror}", errno=error.errno or 0) from None
    if len(kept) > len(image):
        raise KeystoreError(f"{printable(path)}: is longer than the {len(image)} bytes of the keystore")
    find_handler(store.view.attributes.handler).parameters(store.view.attributes, kept)
    try:
        there = keyslots.identity(image)
    except CryptlvError as error:
        there = ""
        if not session.force:
            raise RefusedError(
                f"the header of {store.shown} cannot tell whether {printable(path)} is its backup ({error}); "
                "-f puts it back all the same"
            ) from None
    if there and keyslots.identity(kept) != there:
        raise RefusedError(f"{printable(path)}: is the header of another volume or key, not of {store.shown}")
    after = kept + image[len(kept) :]
    if session.test:
        return
    if session.force or _is_safe_in_place(keyslots, image, after):
        put(session, store, after, wipes_late=True)
    else:
        _put_elsewhere(session, store, after)


def _is_safe_in_place(keyslots: Keyslots, before: bytes, after: bytes) -> bool:
    """Whether the key material of `after` has room beside all that is in use in `before`, or is there already."""
    for start, length in _areas(keyslots, after):
        for other, other_length in _areas(keyslots, before):
            common = slice(max(start, other), min(start + length, other + other_length))
            if before[common] != after[common]:
                return False
    return True


def _put_elsewhere(session: Session, store: Store, after: bytes) -> None:
    from cryptlv.errors import NoSpaceError
    from cryptlv.ops.keystore_place import put_elsewhere

    with session.locked(store.vg_name, write=True):
        group = session.writable_group(store.vg_name)
        _check_same(_store(session, group, store.name), store)
        try:
            put_elsewhere(session, group, store.name, store.shown, after)
        except NoSpaceError as error:
            raise NoSpaceError(
                f"{error}; another key is in the same place in the header, and -f overwrites it there: then keep "
                "the file until that is done, as an interruption leaves a keystore that nothing opens"
            ) from None
        wipe_slack(session, group, store.name)


def _check_same(now: Store, store: Store) -> None:
    """Raise InUseError when a keystore is no longer what was looked at."""
    if now.view != store.view:
        raise InUseError(f"the keystore of {store.shown} was changed by another command meanwhile; try again")
