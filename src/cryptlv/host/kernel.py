"""Which logical volumes the kernel has active: device-mapper devices that lvm2 made (lib/activate/dev_manager.c)."""

from __future__ import annotations

import os

from cryptlv.names import render_uuid

_PREFIX = "LVM-"
_UUID_CHARACTERS = 32


def ids_in_kernel(directory: str = "/sys/block") -> frozenset[str]:
    """The ids of the logical volumes, of all volume groups, that have a device-mapper device on this machine.

    Such a device's uuid is `LVM-`, the ids of the volume group and of the volume, and perhaps a suffix. What cannot
    be read is no such device.
    """
    found: set[str] = set()
    try:
        names = os.listdir(directory)
    except OSError:
        return frozenset()
    for name in names:
        if not name.startswith("dm-"):
            continue
        try:
            with open(os.path.join(directory, name, "dm", "uuid"), encoding="ascii") as file:
                uuid = file.read(256).strip()
        except (OSError, ValueError):
            continue
        ids = uuid.removeprefix(_PREFIX)
        if ids != uuid and len(ids) >= 2 * _UUID_CHARACTERS:
            found.add(render_uuid(ids[_UUID_CHARACTERS : 2 * _UUID_CHARACTERS]))
    return frozenset(found)
