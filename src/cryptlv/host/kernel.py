"""Which logical volumes the kernel has active: device-mapper devices that lvm2 made (lib/activate/dev_manager.c)."""

from __future__ import annotations

import os

from cryptlv.names import render_uuid

_PREFIX = "LVM-"
_UUID_CHARACTERS = 32


def uuids_in_kernel(directory: str = "/sys/block") -> tuple[str, ...]:
    """The UUIDs of all device-mapper devices that have one. What cannot be read is no such device."""
    found = []
    try:
        names = os.listdir(directory)
    except OSError:
        return ()
    for name in names:
        if not name.startswith("dm-"):
            continue
        try:
            with open(os.path.join(directory, name, "dm", "uuid"), encoding="ascii") as file:
                uuid = file.read(256).strip()
        except (OSError, ValueError):
            continue
        if uuid:
            found.append(uuid)
    return tuple(found)


def volume_id(uuid: str) -> str:
    """The id of the volume that a device-mapper device is, or is a part of; "" when it is none of a volume's.

    Such a device's UUID is `LVM-`, the ids of the volume group and of the volume, and perhaps a suffix.
    """
    ids = uuid.removeprefix(_PREFIX)
    if ids == uuid or len(ids) < 2 * _UUID_CHARACTERS:
        return ""
    return render_uuid(ids[_UUID_CHARACTERS : 2 * _UUID_CHARACTERS])


def ids_in_kernel(directory: str = "/sys/block") -> frozenset[str]:
    """The ids of the logical volumes, of all volume groups, that have a device-mapper device on this machine."""
    return frozenset(filter(None, map(volume_id, uuids_in_kernel(directory))))
