"""Physical volumes: take the label away."""

from __future__ import annotations

from cryptlv.errors import CryptlvError, InUseError, NotFoundError
from cryptlv.ondisk.label import LABEL_SCAN_BYTES, is_label_sector
from cryptlv.ops.consent import ask_nobody, raise_error, take_each
from cryptlv.ops.pv import absolute_paths, refuse_served, used_by
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.device import Device
    from cryptlv.host.scan import World
    from cryptlv.ops.consent import Ask, OnError
    from cryptlv.ops.session import Session


def remove(
    session: Session, paths: tuple[str, ...], ask: Ask = ask_nobody, on_error: OnError = raise_error
) -> tuple[str, ...]:
    """Wipe the label of each device, so that it is no physical volume any more; gives their paths (tools/pvremove.c).

    What a label pointed at stays. `ask` and `on_error` are as in `pv.create`: NotFoundError for a device without a
    label, unless forced, InUseError for one that belongs to a volume group, which is asked about when forced twice.
    """
    done: list[str] = []

    def act(plans: dict[str, None]) -> None:
        for path in plans:
            try:
                if not session.test:
                    wipe_labels(session.device(path, writable=True))
            except CryptlvError as error:
                on_error(error)
                continue
            done.append(path)
        if done and not session.test and not session.named_devices:
            session.devices_file().remove(done)

    def plan(world: World, path: str) -> tuple[None, tuple[str, ...]]:
        return None, _questions(session, world, path)

    take_each(session, absolute_paths(paths), plan, act, ask, on_error)
    return tuple(done)


def _questions(session: Session, world: World, path: str) -> tuple[str, ...]:
    from cryptlv.host.devices import refuse_busy

    session.device(path)
    refuse_busy(path)
    found = next((pv for pv in world.pvs if pv.path == path), None)
    if found is None:
        if not session.force:
            raise NotFoundError(f"No PV found on device {path}.")
        return ()
    user = used_by(world, found)
    if not user:
        return ()
    if session.force < 2:
        raise InUseError(
            f"PV {path} is used by VG {user} so please use vgreduce first. "
            "(If you are certain you need pvremove, then confirm by using --force twice.)"
        )
    refuse_served(session, world.group_of(found.label.pv_id), path)
    session.warn(f"PV {path} is used by VG {user}.")
    return (f'Really WIPE LABELS from physical volume "{path}" of volume group {user}?',)


def wipe_labels(device: Device) -> None:
    """Zeros over every sector that is a label, or was one before it was damaged; flush."""
    head = device.read(0, min(device.size_bytes, LABEL_SCAN_BYTES))
    for place in range(0, len(head) - SECTOR_SIZE + 1, SECTOR_SIZE):
        if is_label_sector(head[place : place + SECTOR_SIZE], place // SECTOR_SIZE):
            device.write(place, bytes(SECTOR_SIZE))
    device.flush()
