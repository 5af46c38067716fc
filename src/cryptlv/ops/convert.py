"""Converting volumes: what import and export share, and the import of LUKS volumes and of those without a header.

Nothing is encrypted or decrypted, and what is copied is an extent or two. It is written to places that no data of
the volume before are in, flushed and read back; then one commit makes it the volume; then what is left of the header
elsewhere is overwritten. Every crash leaves the volume before or the one after, whole.
"""

from __future__ import annotations

from cryptlv.errors import CheckError, CryptlvError, InUseError, KeystoreError, RefusedError, UsageError
from cryptlv.host.signals import held_back
from cryptlv.keys.handler import KeystoreAttributes, KeystoreRequest
from cryptlv.keys.headers import UUID_BYTES, find_header, uuid_in
from cryptlv.model.check import check
from cryptlv.model.convert import Makers, Payload, joined, places_of, plan_import
from cryptlv.model.edit import next_keystore_name
from cryptlv.model.mapping import map_volume
from cryptlv.model.vg import LogicalVolume, PvArea
from cryptlv.names import printable
from cryptlv.ops.candidates import choose_candidates
from cryptlv.ops.commit import commit_change
from cryptlv.ops.copying import BLOCK_BYTES
from cryptlv.ops.keystore import MAX_IMAGE_BYTES, image_place, open_with
from cryptlv.ops.lv import refuse_active
from cryptlv.ops.lv_plan import policy_of
from cryptlv.record import Record
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.keystore import KeystoreSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptlv.host.scan import Group
    from cryptlv.keys.handler import KeyHandler, KeystoreDraft
    from cryptlv.keys.headers import FoundHeader
    from cryptlv.model.convert import Conversion, Place
    from cryptlv.model.vg import Area, Segment, VolumeGroup
    from cryptlv.ops.candidates import PvArgument
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session

_PROBED_BYTES = 64 * 1024
_MAX_TWEAK = 2**62


class ImportRequest(Record):
    """What `lvconvert --import` was asked for. No `handler`: there is a LUKS header, in front of the data or in the
    file `header_path`; else the volume has none, and `keystore` is what its keystore must say. New extents
    are taken from `pvs`, all for none."""

    handler: str = ""
    keystore: KeystoreRequest = KeystoreRequest()
    header_path: str = ""
    pvs: tuple[PvArgument, ...] = ()


class Converted(Record):
    """What was done, or with --test would be: the volume, its keystore (before or after), and a line for each step
    ("keep ...", "copy ...")."""

    lv_name: str
    store_name: str
    steps: tuple[str, ...]


class _Found(Record):
    """A volume that can be imported: what its keystore will be and hold, and where its data are."""

    attributes: KeystoreAttributes
    image: bytes
    payload: Payload
    iv_base_sectors: int = 0


def import_volume(
    session: Session, vg_name: str, lv_name: str, request: ImportRequest, credentials: Credentials | None = None
) -> Converted:
    """Make a volume that holds LUKS, or ciphertext of a known key, an encrypted volume of the group.

    With `credentials` the key must be got with them, and a file system that is known must fit. Raises NotFoundError,
    CheckError, RefusedError, InUseError, NoSpaceError, ExistsError, UsageError, KeystoreError, CipherError,
    WrongCredential, CredentialError, DeviceError, CommitError; nothing is changed then.
    """
    with session.locked(vg_name, write=False):
        group = session.writable_group(vg_name)
        found = _find(session, group, lv_name, request)
        plan = _plan(session, group, lv_name, found, request)
        _refuse_known(session, group, found)
        steps = _steps(group, plan, found)
        if session.test:
            commit_change(session, group, plan.after)
    if credentials is not None:
        _try_key(session, group, lv_name, found, credentials)
    if not session.test:
        with session.locked(vg_name, write=True):
            group = session.writable_group(vg_name)
            if _find(session, group, lv_name, request) != found:
                raise InUseError(f"{vg_name}/{lv_name} was changed by another command meanwhile; nothing changed")
            plan = _plan(session, group, lv_name, found, request)
            perform(session, group, plan, found.image)
    return Converted(lv_name=lv_name, store_name=plan.store_name, steps=steps)


def check_convertible(session: Session, group: Group, lv_name: str) -> LogicalVolume:
    """The volume, when it is one that may be converted at all; raises NotFoundError, CheckError, RefusedError,
    InUseError for one that is active, here or in the kernel."""
    vg = group.vg
    lv = vg.lv(lv_name)
    where = f"{printable(vg.name)}/{printable(lv_name)}"
    if violations := check(vg):
        raise CheckError(violations)
    if not lv.is_visible:
        raise RefusedError(f"{where} is a hidden volume, and is not converted by itself")
    if "LOCKED" in lv.status or "PVMOVE" in lv.status:
        raise RefusedError(f"{where} is locked, and is not converted")
    for segment in lv.segments:
        if segment.is_opaque:
            raise RefusedError(
                f"{where} is of type {printable(segment.shown_type)}: convert it with lvm2's lvconvert"
            )
    user = next((other.name for other in vg.lvs if other.id != lv.id and _mentions(other, lv.name)), None)
    if user is not None:
        raise RefusedError(f"{where} is used by {printable(user)}, and is not converted")
    for name in (lv.name, *(part for segment in lv.segments for _, part in segment.parts())):
        refuse_active(session, vg, vg.lv(name))
    return lv


def _mentions(lv: LogicalVolume, name: str) -> bool:
    return any(name in segment.mentioned() for segment in lv.segments)


def makers_of(
    session: Session, group: Group, lv: LogicalVolume, pvs: tuple[PvArgument, ...], store: KeystoreSegment, base: int
) -> Makers:
    """What makes the segments and volumes of a conversion; `store` is what a new keystore says, `base` the IV base
    of its volume."""
    env = session.env
    store_name = next_keystore_name(group.vg)
    like = LogicalVolume(name="", id="", creation_time=env.now, creation_host=env.hostname)

    def linear(start_le: int, length_le: int, area: Area) -> Segment:
        return StripedSegment(start_le=start_le, length_le=length_le, areas=(area,))

    def crypt(start_le: int, length_le: int, area: Area, offset_sectors: int) -> Segment:
        return CryptSegment(
            start_le=start_le,
            length_le=length_le,
            crypto_store=store_name,
            areas=(area,),
            iv_base_sectors=base,
            area_offset_sectors=offset_sectors,
        )

    def new_store(area: PvArea | None, length_le: int) -> LogicalVolume:
        segment = store.replace(length_le=length_le, areas=(area,) if area is not None else ())
        named = like.replace(name=store_name, id=env.new_uuid(), segments=(segment,))
        return named.replace(status=("READ",), allocation_policy="normal")

    def hidden(name: str, segments: tuple[Segment, ...]) -> LogicalVolume:
        return like.replace(name=name, id=env.new_uuid(), status=("READ", "WRITE"), segments=segments)

    return Makers(
        linear=linear,
        crypt=crypt,
        store=new_store,
        hidden=hidden,
        candidates=choose_candidates(session, group, pvs),
        policy=policy_of(group.vg, lv.allocation_policy),
    )


def _plan(session: Session, group: Group, lv_name: str, found: _Found, request: ImportRequest) -> Conversion:
    lv = group.vg.lv(lv_name)
    attributes = found.attributes
    segment = KeystoreSegment(
        start_le=0,
        length_le=1,
        handler=attributes.handler,
        cipher=attributes.cipher,
        key_size_bits=attributes.key_size_bits,
        key_hash=attributes.key_hash,
        extra=attributes.extra,
    )
    make = makers_of(session, group, lv, request.pvs, segment, found.iv_base_sectors)
    return plan_import(group.vg, lv, found.payload, make)


def _find(session: Session, group: Group, lv_name: str, request: ImportRequest) -> _Found:
    """What a volume holds, when it can be imported."""
    vg, lv = group.vg, check_convertible(session, group, lv_name)
    where = f"{printable(vg.name)}/{printable(lv_name)}"
    for segment in lv.segments:
        if segment.keystores:
            raise RefusedError(f"{where} is encrypted by the volume group already")
        if not isinstance(segment, StripedSegment) or not all(isinstance(area, PvArea) for area in segment.areas):
            raise RefusedError(
                f"{where} has a segment of type {printable(segment.shown_type)}, which is not imported"
            )
    if request.handler:
        return _found_without_header(request, vg.extent_size_bytes)
    if request.header_path:
        head = read_header_file(request.header_path)
        header, place = find_header(head), printable(request.header_path)
    else:
        size = min(lv.length_le * vg.extent_size_bytes, MAX_IMAGE_BYTES)
        places = places_of(map_volume(vg, lv), 0, size // SECTOR_SIZE)
        head, place = read_places(session, group, places), where
        try:
            header = find_header(head)
        except CryptlvError as error:
            raise type(error)(f"{where}: {error}") from None
    if header is None:
        without = "" if request.header_path else "; volumes without one need --handler and --cipher"
        raise RefusedError(f"{place} holds no LUKS header{without}")
    return _found_header(vg, lv, where, header, head, is_in_front=not request.header_path)


def _found_without_header(request: ImportRequest, extent_bytes: int) -> _Found:
    from cryptlv.ops.handlers import find_handler

    wanted = request.keystore.replace(unit_bytes=extent_bytes)
    draft: KeystoreDraft = find_handler(request.handler).draft(wanted)
    if draft.image_bytes:
        raise UsageError(f"handler {printable(request.handler)} has a header of its own: leave --handler out")
    attributes = KeystoreAttributes(
        handler=draft.handler,
        cipher=draft.cipher,
        key_size_bits=draft.key_size_bits,
        key_hash=draft.key_hash,
        extra=draft.extra,
    )
    payload = Payload(offset_sectors=0, header_sectors=0, is_in_front=False)
    return _Found(attributes=attributes, image=b"", payload=payload)


def _found_header(
    vg: VolumeGroup, lv: LogicalVolume, where: str, header: FoundHeader, head: bytes, *, is_in_front: bool
) -> _Found:
    from cryptlv.ops.handlers import find_handler

    attributes = KeystoreAttributes(handler=header.handler, key_hash=header.key_hash)
    image = head[: header.header_bytes]
    if len(image) < header.header_bytes and (is_in_front or header.header_bytes > MAX_IMAGE_BYTES):
        raise RefusedError(f"{where}: its LUKS header of {header.header_bytes} bytes does not fit, or is too long")
    parameters = find_handler(header.handler).parameters(attributes, image)
    offset, size = header.data_offset_bytes, lv.length_le * vg.extent_size_bytes
    if is_in_front and not offset:
        raise RefusedError(f"{where} holds a LUKS header whose data are elsewhere (a detached one), and no data")
    end = offset + (header.data_bytes or 1)
    if end > size or offset + parameters.sector_size > size:
        raise RefusedError(
            f"{where}: the LUKS header does not fit: its data are from byte {offset} on, and end at byte {end} or "
            f"later, but the volume has {size} bytes"
        )
    if vg.extent_size_bytes % parameters.sector_size or header.iv_tweak >= _MAX_TWEAK:
        raise RefusedError(
            f"{where}: sectors of {parameters.sector_size} bytes numbered from {header.iv_tweak} on are not served "
            f"with extents of {vg.extent_size_bytes} bytes"
        )
    attributes = attributes.replace(cipher=parameters.cipher, key_size_bits=parameters.key_size_bits)
    payload = Payload(
        offset_sectors=offset // SECTOR_SIZE,
        header_sectors=-(-header.header_bytes // SECTOR_SIZE),
        is_in_front=is_in_front,
    )
    return _Found(attributes=attributes, image=image, payload=payload, iv_base_sectors=header.iv_tweak)


def read_header_file(path: str) -> bytes:
    """The bytes of a file, as many as a header may have; raises DeviceError."""
    from cryptlv.errors import DeviceError

    try:
        with open(path, "rb") as file:
            return file.read(MAX_IMAGE_BYTES)
    except OSError as error:
        raise DeviceError(f"{printable(path)}: cannot read: {error.strerror}", errno=error.errno or 0) from None


def _refuse_known(session: Session, group: Group, found: _Found) -> None:
    """Raise RefusedError for a header that a keystore of the group has already: two volumes would use one key and the
    same tweaks."""
    uuid = uuid_in(found.image)
    for lv in group.vg.lvs if uuid else ():
        if len(lv.segments) != 1 or not isinstance(segment := lv.segments[0], KeystoreSegment):
            continue
        place = image_place(group.vg, segment)
        if place is None or place[0] not in group.pv_paths:
            continue
        if uuid_in(session.device(group.pv_paths[place[0]]).read(place[1], UUID_BYTES)) == uuid:
            raise RefusedError(
                f"the LUKS header belongs to another volume: keystore {printable(lv.name)} has it already (UUID "
                f"{printable(uuid.decode('ascii', 'replace'))}), and one key must not encrypt two volumes alike"
            )


def _try_key(session: Session, group: Group, lv_name: str, found: _Found, credentials: Credentials) -> None:
    """Get the key, and see whether a file system that is known fits; raises RefusedError when it does not."""
    from cryptlv.host.signatures import filesystem_bytes
    from cryptlv.ops.handlers import find_handler

    where = f"{printable(group.vg.name)}/{printable(lv_name)}"
    handler: KeyHandler = find_handler(found.attributes.handler)
    with credentials.get("open", where, handler.credential_kind) as credential:
        key = handler.unlock(found.attributes, found.image, credential)
    with key, session.locked(group.vg.name, write=False):
        parameters = handler.parameters(found.attributes, found.image)
        lv = group.vg.lv(lv_name)
        start = found.payload.offset_sectors
        room = lv.length_le * group.vg.extent_size_bytes - start * SECTOR_SIZE
        length = min(_PROBED_BYTES, room) // parameters.sector_size * parameters.sector_size
        places = places_of(map_volume(group.vg, lv), start, length // SECTOR_SIZE)
        plain = bytearray(read_places(session, group, places))
        cipher = open_with(parameters, key)
        cipher.decrypt(plain, found.iv_base_sectors)
        cipher.close()
    wanted = filesystem_bytes(bytes(plain))
    if wanted is not None and wanted > room:
        raise RefusedError(
            f"{where}: the file system in it has {wanted} bytes, more than the {room} bytes of data that are there"
        )


def read_places(session: Session, group: Group, places: Iterable[Place]) -> bytes:
    """The bytes at places, one behind the other; raises DeviceError."""
    return b"".join(
        session.device(group.pv_paths[place.pv_id]).read(
            place.start_sectors * SECTOR_SIZE, place.length_sectors * SECTOR_SIZE
        )
        for place in places
    )


def perform(session: Session, group: Group, plan: Conversion, image: bytes = b"") -> None:
    """Do what a plan says, with `image` where its header belongs; the caller holds the lock for writing.

    Raises DeviceError, KeystoreError when what was written does not read back, and what `commit_change` raises;
    nothing is changed then.
    """
    _write(session, group, plan, image)
    with held_back():
        commit_change(session, group, plan.after)
        _overwrite(session, group, plan.stale)


def _write(session: Session, group: Group, plan: Conversion, image: bytes) -> None:
    """What must be on the disks before the commit: copies, blanks and the header, durable and read back."""
    copies = [part for copy in plan.copies for part in copy.blocks(BLOCK_BYTES // SECTOR_SIZE)]
    _put(session, group, plan.header, image)
    _flush(session, group, plan.header)
    for copy in copies:
        _put(session, group, (copy.target,), read_places(session, group, (copy.source,)))
    for blank in plan.blanks:
        _put(session, group, (blank,), bytes(blank.length_sectors * SECTOR_SIZE))
    _flush(session, group, (*(copy.target for copy in copies), *plan.blanks))
    wrong = "what was written does not read back; nothing is converted"
    for copy in copies:
        if read_places(session, group, (copy.source,)) != read_places(session, group, (copy.target,)):
            raise KeystoreError(f"{group.pv_paths[copy.target.pv_id]}: {wrong}")
    if plan.header and read_places(session, group, plan.header)[: len(image)] != image:
        raise KeystoreError(f"{group.pv_paths[plan.header[0].pv_id]}: {wrong}")


def _put(session: Session, group: Group, places: Iterable[Place], data: bytes) -> None:
    """Bytes onto places, one behind the other, as far as they go; those of stripes in few writes. Raises
    DeviceError."""
    parts: dict[Place, bytes] = {}
    for place in places:
        part, data = data[: place.length_sectors * SECTOR_SIZE], data[place.length_sectors * SECTOR_SIZE :]
        if part:
            parts[place] = part
    for run in joined(parts):
        inside = sorted((place for place in parts if run.has(place)), key=lambda place: place.start_sectors)
        device = session.device(group.pv_paths[run.pv_id], writable=True)
        device.write(run.start_sectors * SECTOR_SIZE, b"".join(parts[place] for place in inside))


def _flush(session: Session, group: Group, places: Iterable[Place]) -> None:
    for path in dict.fromkeys(group.pv_paths[place.pv_id] for place in places):
        session.device(path, writable=True).flush()


def _overwrite(session: Session, group: Group, places: Iterable[Place]) -> None:
    """Zeros over what is left of a header. The conversion is made: a failure is a warning."""
    if session.test:
        return
    paths: dict[str, None] = {}
    for place in places:
        path = group.pv_paths[place.pv_id]
        try:
            for start in range(0, place.length_sectors, BLOCK_BYTES // SECTOR_SIZE):
                part = place.part(start, min(BLOCK_BYTES // SECTOR_SIZE, place.length_sectors - start))
                _put(session, group, (part,), bytes(part.length_sectors * SECTOR_SIZE))
            paths[path] = None
        except CryptlvError as error:
            session.warn(f"an old copy of the key header is still on the disk: {error}")
    for path in paths:
        try:
            session.device(path, writable=True).flush()
        except CryptlvError as error:
            session.warn(f"an old copy of the key header may still be on the disk: {error}")


def _steps(group: Group, plan: Conversion, found: _Found) -> tuple[str, ...]:
    vg = plan.after
    name = f"{printable(vg.name)}/{plan.store_name}"
    (segment,) = vg.lv(plan.store_name).segments
    lines = [f"make {name} a keystore of handler {found.attributes.handler} that stores nothing"]
    for pv_id, start_pe, length_pe in segment.footprint():
        how = "of a copy of the header" if plan.header else "of the header where it is"
        place = f"{group.pv_paths[pv_id]}:{start_pe}-{start_pe + length_pe - 1}"
        lines = [f"make {name} a keystore of handler {found.attributes.handler} {how}, at {place}"]
    return (*lines, *described(vg, plan))


def described(vg: VolumeGroup, plan: Conversion) -> tuple[str, ...]:
    """What a plan does to its volume, a line for each step."""
    lv = vg.lv(plan.lv_name)
    size = format_size(lv.length_le * vg.extent_size_bytes).strip()
    kinds = "+".join(dict.fromkeys(segment.shown_type for segment in lv.segments))
    lines = [f"make {printable(vg.name)}/{printable(lv.name)} a {kinds} volume of {size} ({lv.length_le} extents)"]
    copied = sum(copy.source.length_sectors for copy in plan.copies) * SECTOR_SIZE
    if copied:
        lines.append(f"copy {format_size(copied).strip()} of its data to where they are in one piece")
    stale = sum(place.length_sectors for place in plan.stale) * SECTOR_SIZE
    if stale:
        lines.append(f"overwrite {format_size(stale).strip()} of the header's old place")
    return tuple(lines)
