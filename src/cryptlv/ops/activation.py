"""Activation: unlock the keys, hand them and the mapping to the kernel or to a server process; and the way back."""

from __future__ import annotations

from contextlib import ExitStack

from cryptlv.activate.process import (
    ServeRequest,
    WaitingServer,
    clean_stale,
    find_server,
    load_engine,
    start_server,
    stop_server,
)
from cryptlv.errors import (
    CredentialError,
    CryptlvError,
    InUseError,
    NobodyToAskError,
    RefusedError,
    WrongCredential,
)
from cryptlv.model.mapping import map_volume
from cryptlv.names import is_name, printable
from cryptlv.ops.autoactivation import left_out
from cryptlv.ops.credentials import with_credential
from cryptlv.ops.kernel import (
    KERNEL,
    activate_in_kernel,
    active_ids,
    check_possible,
    deactivate_in_kernel,
    description_of,
    is_possible,
    kernel_ids,
    lost_keys,
    refresh,
    used_keys,
)
from cryptlv.ops.keystore import attributes_of, keystore_segment, mend_image, read_image
from cryptlv.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import CipherParameters, KeyHandler, KeystoreAttributes
    from cryptlv.model.mapping import VolumeMapping
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session
    from cryptlv.secret import Secret, VolumeKey

    Start = Callable[[ServeRequest, Mapping[str, VolumeKey]], tuple[str, str]]
    """Serves a volume with its keys, which stay the caller's, and gives its path and the backend."""


class Active(Record):
    """A volume that is active now; `already` when it was so before. `path` is "" under --test. `where` is the
    backend: `dm`, `fuse` or `nbd`."""

    name: str
    path: str
    already: bool = False
    where: str = ""


class Failed(Record):
    """A volume for which it did not work."""

    name: str
    error: CryptlvError


class KeystoreView(Record):
    """A keystore as it was read: when the same bytes are found again under the lock, its key is still right."""

    store_id: str
    attributes: KeystoreAttributes
    image: bytes


def view_of(vg: VolumeGroup, store_name: str, image: bytes) -> KeystoreView:
    """A keystore with the bytes that were read of it; raises NotFoundError, RefusedError."""
    attributes = attributes_of(keystore_segment(vg, store_name))
    return KeystoreView(store_id=vg.lv(store_name).id, attributes=attributes, image=image)


class Prepared(Record):
    """All that the activation of a volume needs but its keys."""

    mapping: VolumeMapping
    device_paths: tuple[tuple[str, str], ...]
    keystores: tuple[tuple[str, KeystoreView], ...]


class KeyRing:
    """The volume keys that a command has unlocked, by keystore: each is asked for once. Closed when it is done.

    Nobody is asked for a key that an earlier command has left in the kernel's keyring (ops/key_cache.py).
    """

    def __init__(self, credentials: Credentials, warn: Callable[[str], None]) -> None:
        self._credentials = credentials
        self._warn = warn
        self._keys: dict[tuple[str, str], tuple[KeystoreView, VolumeKey]] = {}
        self._failed: dict[tuple[str, str], CryptlvError] = {}

    def unlock(self, vg_name: str, store_name: str, view: KeystoreView, volume_name: str) -> VolumeKey:
        """The volume key of a keystore. A keystore that could not be unlocked is not asked for again.

        Raises WrongCredential, CredentialError, KeystoreError, HandlerUnavailable.
        """
        place = (vg_name, store_name)
        if place in self._failed:
            raise self._failed[place]
        known = self._keys.get(place)
        if known is not None and known[0] == view:
            return known[1]
        try:
            names = key_file_names(vg_name, store_name, view.store_id)
            key = self._cached_or_asked(f"{vg_name}/{volume_name}", view, names)
        except CryptlvError as error:
            self._failed[place] = error
            raise
        self._keys[place] = (view, key)
        return key

    def _cached_or_asked(self, what: str, view: KeystoreView, names: tuple[str, ...]) -> VolumeKey:
        from cryptlv.ops.key_cache import cached_key, keep_key

        key = cached_key(view) or self._ask(what, view, names)
        if self._credentials.cache_seconds:
            keep_key(view, key, self._credentials.cache_seconds, self._warn)
        return key

    def _ask(self, what: str, view: KeystoreView, names: tuple[str, ...]) -> VolumeKey:
        from cryptlv.ops.handlers import find_handler

        handler = find_handler(view.attributes.handler)

        def unlock(credential: Secret) -> VolumeKey:
            return handler.unlock(view.attributes, view.image, credential)

        return with_credential(self._credentials, what, handler.credential_kind, unlock, self._warn, names)

    def close(self) -> None:
        """Wipe every key."""
        while self._keys:
            self._keys.popitem()[1][1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def key_file_names(vg_name: str, store_name: str, lv_id: str) -> tuple[str, ...]:
    """What a keystore's file in a key directory may be called: by its id, which does not change, or by its name."""
    by_name = (f"{vg_name}/{store_name}",) if is_name(vg_name) and is_name(store_name) else ()
    return (lv_id, *by_name)


def activate(
    session: Session,
    vg_name: str,
    lv_names: tuple[str, ...],
    backend: str,
    credentials: Credentials,
    *,
    ignore_skip: bool = False,
    automatic: bool = False,
    by_event: bool = False,
    by_keyring: bool = True,
) -> tuple[tuple[Active, ...], tuple[Failed, ...]]:
    """Activate the named volumes, or every visible one when none is named; one that fails does not stop the others.

    Left out, as by lvm2, are those that are flagged to be skipped (unless `ignore_skip`), and with `automatic` those
    that are not activated by themselves; of the latter those whose key nobody is there to give are left out with a
    warning. With `by_event` it is an event that activates: a group whose physical volumes are not all there yet is
    left alone. A keystore that several of them share is unlocked once. The backend is one of `auto`, `dm`, `fuse` and
    `nbd`: `auto` is the kernel where it can do that. Without `by_keyring` the kernel is given keys in its tables.
    Raises NotFoundError, RefusedError when the volume group cannot be used at all.
    """
    with session.locked(vg_name, write=False):
        group = session.world().group(vg_name)
    if by_event and not session.settings.event_activation:
        session.inform("Nothing is activated by events (global/event_activation).")
        return (), ()
    if by_event and any(pv.id not in group.pv_paths for pv in group.vg.pvs):
        session.inform(f"Volume group {vg_name} is not complete yet.")
        return (), ()
    names = lv_names or tuple(lv.name for lv in group.vg.lvs if lv.is_visible)
    passed_over = left_out(group.vg, session.settings, ignore_skip=ignore_skip, automatic=automatic)
    done: list[Active] = []
    failed: list[Failed] = []
    with KeyRing(credentials, session.warn) as keys:
        for name in names:
            if name in passed_over:
                continue
            try:
                done.append(activate_one(session, vg_name, name, backend, keys, by_keyring=by_keyring))
            except CryptlvError as error:
                if automatic and isinstance(error, NobodyToAskError):
                    session.warn(f"{vg_name}/{name} is skipped: {error}")
                else:
                    failed.append(Failed(name=name, error=error))
    return tuple(done), tuple(failed)


def activate_one(
    session: Session,
    vg_name: str,
    lv_name: str,
    backend: str,
    keys: KeyRing,
    start: Start | None = None,
    *,
    by_keyring: bool = True,
) -> Active:
    """Activate one volume with the keys of a ring that is the caller's.

    Prepare, unlock without any lock held, prepare again under the lock, and have the kernel or a server take it over,
    or `start`. What takes time to load is loaded meanwhile, here and in the server's process. Raises NotFoundError,
    RefusedError, InUseError, ActivationError, and what unlocking raises.
    """
    with session.locked(vg_name, write=False):
        prepared = _prepare(session, vg_name, lv_name)
    if isinstance(prepared, Active):
        return _still_active(session, vg_name, prepared, backend)
    paths = [path for _, path in prepared.device_paths]
    if backend == KERNEL:
        check_possible(session, paths)
    in_kernel = backend == KERNEL or (backend == "auto" and is_possible(session, paths))
    if session.test:
        return Active(name=lv_name, path="")
    if in_kernel:
        return _map(session, prepared, backend, keys, by_keyring=by_keyring)
    with ExitStack() as stack:
        waiting = None
        if prepared.keystores and start is None:
            waiting = stack.enter_context(
                WaitingServer(session.directories.run_dir, prepared.mapping.lv_id, is_crypt=True)
            )
            from threading import Thread

            Thread(target=load_engine, daemon=True).start()
        unlocked = _unlock(prepared, keys)
        if start is None:

            def start(request: ServeRequest, keys: Mapping[str, VolumeKey]) -> tuple[str, str]:
                info = start_server(request, keys, waiting)
                return info.path, info.backend

        return _serve(session, prepared, backend, unlocked, start)


def open_one(session: Session, vg_name: str, lv_name: str, keys: KeyRing, start: Start) -> Active:
    """Have `start`, of a command that opens volumes itself, take one over; a credential's error says which."""
    try:
        return activate_one(session, vg_name, lv_name, "nbd", keys, start)
    except (WrongCredential, CredentialError) as error:
        raise CredentialError(f"{vg_name}/{lv_name}: {error}") from None


def _still_active(session: Session, vg_name: str, active: Active, backend: str) -> Active:
    """A volume that was active before; in the kernel it is as the metadata say then. Raises InUseError when it is
    active by another means than the one that was asked for."""
    if backend not in ("auto", active.where):
        raise InUseError(
            f"{vg_name}/{active.name} is active {_PLACES.get(active.where, 'already')}: deactivate it first"
        )
    if active.where == KERNEL:
        with session.locked(vg_name, write=True):
            group = session.world().group(vg_name)
            lv = group.vg.lv(active.name)
            if lv.id in kernel_ids(session):
                refresh(session, group, lv)
    return active


_PLACES = {KERNEL: "in the kernel", "fuse": "as a file (fuse)", "nbd": "as an NBD export"}


def _map(session: Session, prepared: Prepared, backend: str, keys: KeyRing, *, by_keyring: bool) -> Active:
    """Have the kernel activate a volume, if it still is what it was when its keys were asked for."""
    vg_name, lv_name = prepared.mapping.vg_name, prepared.mapping.lv_name
    held = _held_by_kernel(session, prepared) if by_keyring else frozenset()
    unlocked = dict(_unlock(prepared, keys, held))
    with session.locked(vg_name, write=True):
        again = _prepare(session, vg_name, lv_name)
        if isinstance(again, Active):
            return _again(again, backend)
        if again != prepared or held - _held_by_kernel(session, prepared):
            raise InUseError(f"{vg_name}/{lv_name} was changed by another command meanwhile; activate it again")
        for name, (parameters, _) in unlocked.items():
            _mend(session, vg_name, name, parameters)
        group = session.world(silent=True).group(vg_name)
        path = activate_in_kernel(session, group, prepared.mapping, unlocked, by_keyring=by_keyring)
    return Active(name=lv_name, path=path, where=KERNEL)


def _held_by_kernel(session: Session, prepared: Prepared) -> frozenset[str]:
    """The keystores whose keys active volumes use: the kernel has those, and nobody needs to be asked for them.

    What a command that was killed left in the keyring does not count.
    """
    if not prepared.keystores or not session.kernel.is_usable():
        return frozenset()
    vg = session.world(silent=True).group(prepared.mapping.vg_name).vg
    used = used_keys(session, vg)
    held = []
    for name, _ in prepared.keystores:
        description = description_of(vg, name)
        if description in used and session.kernel.has_key(description):
            held.append(name)
    return frozenset(held)


def _again(active: Active, backend: str) -> Active:
    if backend not in ("auto", active.where):
        raise InUseError(f"{active.name} was activated by another command meanwhile")
    return active


def _serve(
    session: Session,
    prepared: Prepared,
    backend: str,
    unlocked: Mapping[str, tuple[CipherParameters, VolumeKey | None]],
    start: Start,
) -> Active:
    """Start serving under the lock, if the volume is still what it was when its keys were asked for."""
    vg_name, lv_name = prepared.mapping.vg_name, prepared.mapping.lv_name
    with session.locked(vg_name, write=True):
        again = _prepare(session, vg_name, lv_name)
        if isinstance(again, Active):
            return _again(again, backend)
        if again != prepared:
            raise InUseError(f"{vg_name}/{lv_name} was changed by another command meanwhile; activate it again")
        request = ServeRequest(
            mapping=prepared.mapping,
            device_paths=dict(prepared.device_paths),
            ciphers={
                name: (parameters.cipher, parameters.sector_size, parameters.has_large_ivs)
                for name, (parameters, _) in unlocked.items()
            },
            backend=backend,
            run_dir=session.directories.run_dir,
        )
        for name, (parameters, _) in unlocked.items():
            _mend(session, vg_name, name, parameters)
        volume_keys = {name: key for name, (_, key) in unlocked.items() if key is not None}
        path, where = start(request, volume_keys)
        return Active(name=lv_name, path=path, where=where)


def _mend(session: Session, vg_name: str, store_name: str, parameters: CipherParameters) -> None:
    """Say what is odd about a keystore, and write anew what is damaged of it; a failure is a warning."""
    what = f"{vg_name}/{printable(store_name)}"
    for remark in parameters.remarks:
        session.warn(f"{what}: {remark}")
    if not parameters.mends:
        return
    try:
        group = session.world().group(vg_name)
        mend_image(session, group.vg, store_name, group.pv_paths, parameters.mends)
    except CryptlvError as error:
        session.warn(f"{what} is not mended: {error}")
    else:
        session.warn(f"{what}: what was damaged is written anew")


def _prepare(session: Session, vg_name: str, lv_name: str) -> Prepared | Active:
    """What an activation needs, or the volume when it is active already."""
    group = session.world().group(vg_name)
    vg = group.vg
    lv = vg.lv(lv_name)
    session.check_usable(group)
    info = find_server(session.directories.run_dir, lv.id)
    if info is not None:
        return Active(name=lv_name, path=info.path, already=True, where=info.backend)
    if lv.is_visible and lv.id in kernel_ids(session):
        return Active(name=lv_name, path=f"/dev/{vg_name}/{lv_name}", already=True, where=KERNEL)
    if not lv.is_visible:
        raise RefusedError(f"{vg_name}/{printable(lv_name)} is hidden: it is part of others and never activated")
    mapping = map_volume(vg, lv)
    missing = mapping.pv_ids - group.pv_paths.keys()
    if missing:
        raise RefusedError(f"{vg_name}/{lv_name}: its physical volume {printable(min(missing))} was not found")
    views = [(name, read_view(session, group, name)) for name in mapping.keystores]
    paths = tuple((pv_id, group.pv_paths[pv_id]) for pv_id in sorted(mapping.pv_ids))
    return Prepared(mapping=mapping, device_paths=paths, keystores=tuple(views))


def _unlock(
    prepared: Prepared, keys: KeyRing, held: frozenset[str] = frozenset()
) -> dict[str, tuple[CipherParameters, VolumeKey | None]]:
    """The parameters and key of each keystore, None for the key of one of `held`."""
    from cryptlv.ops.handlers import find_handler

    unlocked: dict[str, tuple[CipherParameters, VolumeKey | None]] = {}
    mapping = prepared.mapping
    for name, view in prepared.keystores:
        handler: KeyHandler = find_handler(view.attributes.handler)
        parameters = handler.parameters(view.attributes, view.image)
        key = None if name in held else keys.unlock(mapping.vg_name, name, view, mapping.lv_name)
        unlocked[name] = (parameters, key)
    return unlocked


def deactivate(
    session: Session, vg_name: str, lv_names: tuple[str, ...] = ()
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Deactivate the named volumes, or all: flushed, their paths removed; -f ends servers that are in use, too.

    Gives the names of those that were active, and those that still are with the reason. What a killed server left
    behind is taken away. A volume that was active before its group became another host's can still be ended, as with
    stock. Raises NotFoundError, RefusedError for a group that is not this host's and has nothing active here.
    """
    done: list[str] = []
    failed: list[Failed] = []
    with session.locked(vg_name, write=True):
        vg = session.world().group(vg_name).vg
        active = active_ids(session)
        if not any(lv.id in active for lv in vg.lvs):
            session.check_accessible(vg)
        for lv in [vg.lv(name) for name in lv_names] or vg.lvs:
            try:
                if _deactivate(session, vg, lv, is_named=bool(lv_names)):
                    done.append(lv.name)
                _forget_keys(session, vg, lv)
            except CryptlvError as error:
                failed.append(Failed(name=lv.name, error=error))
    return tuple(done), tuple(failed)


def _forget_keys(session: Session, vg: VolumeGroup, lv: LogicalVolume) -> None:
    """Drop the kept keys of a volume that is not active (any more), but those that other active volumes need."""
    stores = {name for segment in lv.segments for name in segment.keystores}
    if not stores or session.test:
        return
    from cryptlv.ops.key_cache import forget_key

    active = active_ids(session)
    for other in vg.lvs:
        if other.id in active:
            stores.difference_update(name for segment in other.segments for name in segment.keystores)
    for name in sorted(stores):
        store = vg.find_lv(name)
        if store is not None:
            forget_key(store.id)


def _deactivate(session: Session, vg: VolumeGroup, lv: LogicalVolume, *, is_named: bool) -> bool:
    if (lv.is_visible or is_named) and deactivate_in_kernel(session, vg, lv):
        return True
    run_dir = session.directories.run_dir
    active = find_server(run_dir, lv.id) is not None
    if not session.test:
        if active:
            stop_server(run_dir, lv.id, force=session.force > 0)
        else:
            clean_stale(run_dir, lv.id)
    return active


def refresh_active(
    session: Session, vg_name: str, lv_names: tuple[str, ...], credentials: Credentials
) -> tuple[tuple[str, ...], tuple[Failed, ...]]:
    """Have the kernel's devices of the named volumes, or of all, be as the metadata say; gives the names of those
    that are active there, and what failed.

    What a command that was killed began is finished or undone. A key that is no longer in the kernel's keyring is
    asked for. Raises NotFoundError, RefusedError.
    """
    done: list[str] = []
    failed: list[Failed] = []
    with session.locked(vg_name, write=False):
        vg = session.world().group(vg_name).vg
    with KeyRing(credentials, session.warn) as keys:
        for name in lv_names or tuple(lv.name for lv in vg.lvs if lv.is_visible):
            try:
                if _refresh(session, vg_name, name, keys):
                    done.append(name)
            except CryptlvError as error:
                failed.append(Failed(name=name, error=error))
    return tuple(done), tuple(failed)


def _refresh(session: Session, vg_name: str, lv_name: str, keys: KeyRing) -> bool:
    with session.locked(vg_name, write=False):
        group = session.world(silent=True).group(vg_name)
        lv = group.vg.lv(lv_name)
        session.check_usable(group)
        if lv.id not in kernel_ids(session):
            return False
        lost = lost_keys(session, group.vg, lv)
        views = {name: read_view(session, group, name) for name in lost}
    unlocked = {name: keys.unlock(vg_name, name, view, lv_name) for name, view in views.items()}
    with session.locked(vg_name, write=True):
        group = session.world(silent=True).group(vg_name)
        lv = group.vg.lv(lv_name)
        for name, key in unlocked.items():
            if read_view(session, group, name) != views[name]:
                raise InUseError(f"{vg_name}/{lv_name} was changed by another command meanwhile; refresh it again")
            session.kernel.put_key(description_of(group.vg, name), key)
        refresh(session, group, lv)
    return True


def read_view(session: Session, group: Group, store_name: str) -> KeystoreView:
    """A keystore as it is now; raises DeviceError, KeystoreError."""
    image = read_image(session, group.vg, store_name, group.pv_paths)
    return view_of(group.vg, store_name, image)


def count_active(session: Session, vg_name: str) -> int:
    """How many volumes of a volume group are active here; raises NotFoundError."""
    active = active_ids(session)
    lvs = session.world(silent=True).group(vg_name).vg.lvs
    return sum(lv.id in active and lv.is_visible for lv in lvs)
