"""A volume of disks in memory, opened with a key that is known, without a server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from cryptlv.activate.stream import VolumeStream
from cryptlv.ciphers.engine import open_sector_cipher
from cryptlv.keys.registry import find_handler
from cryptlv.model.mapping import map_volume
from cryptlv.ops.keystore import attributes_of, keystore_segment, read_image
from cryptlv.secret import Passphrase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.disks import Disks


@contextmanager
def open_volume(disks: Disks, name: str, secret: bytes, vg_name: str = "vg0") -> Iterator[VolumeStream]:
    """The bytes of a volume; `secret` is the passphrase or key of all its keystores."""
    with disks.session() as session:
        group = session.world().group(vg_name)
        mapping = map_volume(group.vg, group.vg.lv(name))
        ciphers = {}
        for store in mapping.keystores:
            attributes = attributes_of(keystore_segment(group.vg, store))
            image = read_image(session, group.vg, store, group.pv_paths)
            handler = find_handler(attributes.handler)
            parameters = handler.parameters(attributes, image)
            with handler.unlock(attributes, image, Passphrase(secret)) as key:
                ciphers[store] = open_sector_cipher(parameters.cipher, key, parameters.sector_size)
        devices = {pv_id: session.device(group.pv_paths[pv_id], writable=True) for pv_id in mapping.pv_ids}
        stream = VolumeStream(mapping, devices, ciphers)
        yield stream
        stream.flush()
        for cipher in ciphers.values():
            cipher.close()
