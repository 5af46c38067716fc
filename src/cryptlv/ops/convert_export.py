"""The way back: encrypted volumes become ordinary ones that hold ciphertext, with their header in a file, or in front
of the data as cryptsetup has it. See ops/convert.py.
"""

from __future__ import annotations

import os

from cryptlv.errors import CommitError, CryptlvError, InUseError, KeystoreError, RefusedError, UsageError
from cryptlv.host.archive import write_whole_file
from cryptlv.keys.headers import LUKS1, LUKS2, find_header, with_data_at
from cryptlv.keys.keyslots import find_keyslots
from cryptlv.model.convert import plan_export
from cryptlv.names import printable
from cryptlv.ops.activation import read_view
from cryptlv.ops.commit import commit_change
from cryptlv.ops.convert import Converted, check_convertible, described, makers_of, perform, read_header_file
from cryptlv.ops.keyslots import write_steps
from cryptlv.ops.keystore import image_place, keystore_segment, read_image
from cryptlv.record import Record
from cryptlv.segments.crypt import CryptSegment
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.host.scan import Group
    from cryptlv.model.convert import Conversion
    from cryptlv.model.vg import LogicalVolume
    from cryptlv.ops.activation import KeystoreView
    from cryptlv.ops.candidates import PvArgument
    from cryptlv.ops.credentials import Credentials
    from cryptlv.ops.session import Session


class _Found(Record):
    """An encrypted volume, its keystore as it was read, the conversion, and the header as it will be (b"": none)."""

    lv: LogicalVolume
    view: KeystoreView
    plan: Conversion
    header: bytes


def split_header(
    session: Session,
    vg_name: str,
    lv_name: str,
    header_path: str,
    pvs: tuple[PvArgument, ...] = (),
    credentials: Credentials | None = None,
) -> Converted:
    """Make an encrypted volume a linear (or striped) one, and put its header, 0600, into a new file with which stock
    cryptsetup opens it. The file is durable and read back before the commit; without the commit there is none.

    With `credentials` the header must open with them first. Raises UsageError when there is something at
    `header_path`, RefusedError for a volume or keystore of which no such header can be made, and what
    `import_volume` raises.
    """
    if not header_path or os.path.lexists(header_path):
        raise UsageError(f"{printable(header_path) or '--header'}: a new file is needed for the header; name one")
    found, _ = _look(session, vg_name, lv_name, pvs, credentials, in_front=False)
    if session.test:
        return _converted(found, f"write the header, {len(found.header)} bytes, to {printable(header_path)}")
    with session.locked(vg_name, write=True):
        group = session.writable_group(vg_name)
        _check_same(session, group, found)
        write_whole_file(header_path, found.header)
        try:
            if read_header_file(header_path) != found.header:
                raise KeystoreError(f"{printable(header_path)}: the header does not read back; nothing changed")
            perform(session, group, _planned(session, group, lv_name, pvs, in_front=False).plan)
        except CryptlvError as error:
            if not isinstance(error, CommitError) or error.outcome == "reverted":
                os.unlink(header_path)
            raise
    return _converted(found, f"write the header, {len(found.header)} bytes, to {printable(header_path)}")


def keep_encrypted(
    session: Session,
    vg_name: str,
    lv_name: str,
    pvs: tuple[PvArgument, ...] = (),
    credentials: Credentials | None = None,
) -> Converted:
    """Make an encrypted volume an ordinary LUKS volume, its header in front of its data; or, when its handler stores
    nothing, a volume of ciphertext.

    Raises NoSpaceError, which says how many free extents the header needs, and what `split_header` raises.
    """
    found, group = _look(session, vg_name, lv_name, pvs, credentials, in_front=True)
    if not session.test:
        with session.locked(vg_name, write=True):
            group = session.writable_group(vg_name)
            _check_same(session, group, found)
            plan = _planned(session, group, lv_name, pvs, in_front=True).plan
            if found.header and _lies_there(group, plan):
                _rewrite(session, group, found)
                plan = plan.replace(header=())
            perform(session, group, plan, found.header)
    steps = (_where(found),) if found.header else ()
    return _converted(found, *steps)


def _where(found: _Found) -> str:
    offset = found.plan.data_offset_sectors * SECTOR_SIZE
    return f"put the header in front of the data, which begin at byte {offset}"


def _converted(found: _Found, *steps: str) -> Converted:
    plan = found.plan
    return Converted(lv_name=plan.lv_name, store_name=plan.store_name, steps=(*steps, *described(plan.after, plan)))


def _look(
    session: Session,
    vg_name: str,
    lv_name: str,
    pvs: tuple[PvArgument, ...],
    credentials: Credentials | None,
    *,
    in_front: bool,
) -> tuple[_Found, Group]:
    """What will be done; tries the key when there is one, with no lock held."""
    from cryptlv.ops.handlers import find_handler

    with session.locked(vg_name, write=False):
        group = session.writable_group(vg_name)
        found = _planned(session, group, lv_name, pvs, in_front=in_front)
        if session.test:
            commit_change(session, group, found.plan.after)
    if credentials is not None:
        handler = find_handler(found.view.attributes.handler)
        where = f"{printable(vg_name)}/{printable(lv_name)}"
        with credentials.get("open", where, handler.credential_kind) as credential:
            handler.unlock(found.view.attributes, found.header or found.view.image, credential).close()
    return found, group


def _planned(session: Session, group: Group, lv_name: str, pvs: tuple[PvArgument, ...], *, in_front: bool) -> _Found:
    vg, lv = group.vg, check_convertible(session, group, lv_name)
    where = f"{printable(vg.name)}/{printable(lv_name)}"
    segments = [segment for segment in lv.segments if isinstance(segment, CryptSegment)]
    if len(segments) < len(lv.segments):
        raise RefusedError(f"{where} is not encrypted by the volume group")
    bases = {segment.iv_base_sectors for segment in segments}
    stores = {segment.crypto_store for segment in segments}
    if len(bases) > 1 or len(stores) > 1:
        raise RefusedError(f"{where} is encrypted in several ways, which no LUKS header can say")
    (base,), (store_name,) = bases, stores
    segment = keystore_segment(vg, store_name)
    view = read_view(session, group, store_name)
    image = view.image
    has_header = segment.handler in (LUKS1, LUKS2)
    if not has_header and (not in_front or image):
        raise RefusedError(
            f"{where}: key handler {printable(segment.handler)} has no LUKS header"
            + ("" if image else "; lvconvert --type linear --keep-encrypted leaves the ciphertext as it is")
        )
    size = find_keyslots(segment.handler).used_bytes(image) if has_header else 0
    found = find_header(image) if has_header else None
    size = max(size, found.header_bytes) if found is not None else size
    if size > len(image):
        raise KeystoreError(f"{where}: its header of {size} bytes is not all in the keystore")
    make = makers_of(session, group, lv, pvs, segment, base)
    plan = plan_export(vg, lv, -(-size // SECTOR_SIZE), make, in_front=in_front)
    header = image[:size]
    if has_header:
        offset = plan.data_offset_sectors * SECTOR_SIZE
        try:
            header = with_data_at(segment.handler, image, offset, base)[:size]
        except KeystoreError as error:
            raise KeystoreError(f"{where} cannot be exported: {error}") from None
    return _Found(lv=lv, view=view, plan=plan, header=header)


def _check_same(session: Session, group: Group, found: _Found) -> None:
    """Raise InUseError when the volume or its keystore is no longer what was looked at."""
    name = found.plan.lv_name
    store = found.plan.store_name
    now = group.vg.find_lv(name)
    if now != found.lv or read_image(session, group.vg, store, group.pv_paths) != found.view.image:
        where = f"{printable(group.vg.name)}/{printable(name)}"
        raise InUseError(f"{where} was changed by another command meanwhile; nothing changed")


def _lies_there(group: Group, plan: Conversion) -> bool:
    """Whether the header is to be where the keystore is."""
    place = image_place(group.vg, keystore_segment(group.vg, plan.store_name))
    first = plan.header[0]
    return place is not None and (first.pv_id, first.start_sectors * SECTOR_SIZE) == place[:2]


def _rewrite(session: Session, group: Group, found: _Found) -> None:
    """Have the keystore say where the data will be, in place. It opens at every moment: a keystore's own data place
    is not looked at, and of two copies of a header one is always whole."""
    segment = keystore_segment(group.vg, found.plan.store_name)
    place = image_place(group.vg, segment)
    assert place is not None  # noqa: S101 - asked before
    device = session.device(group.pv_paths[place[0]], writable=True)
    after = found.header + found.view.image[len(found.header) :]
    write_steps(device, place[1], found.view.image, after, find_keyslots(segment.handler))
