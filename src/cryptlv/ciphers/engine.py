"""The seam between whoever has sectors to encrypt and whatever does it fastest here.

Engines are the native loop over the ciphers of libgcrypt or of OpenSSL, and numpy. Which library is the faster at a
cipher differs with their versions and the processor, so it is measured when the cipher is first opened, which takes
less than a millisecond. numpy serves where nothing is native.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from cryptlv.ciphers import native
from cryptlv.ciphers.iv import plan_iv
from cryptlv.ciphers.spec import SECTOR_SIZES, check_key_bits, parse_cipher_spec
from cryptlv.errors import CipherError
from cryptlv.libraries import LIBRARIES, find_library, shortest_seconds
from cryptlv.secret import VolumeKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from cryptlv.ciphers.spec import CipherSpec

    class Worker(Protocol):
        """A sector cipher for one thread at a time."""

        def encrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None: ...
        def decrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None: ...


NUMPY = "numpy"
ENGINES = (*LIBRARIES, NUMPY)
_MEASURED_BYTES = 32 * 1024


class SectorCipher:
    """Encrypts and decrypts whole sectors in place. All methods may be called from several threads at once.

    The key is kept, locked in memory, to expand it anew for each thread that comes while others are at work.
    `engines` names what encrypts and what decrypts.
    """

    def __init__(
        self, spec: CipherSpec, key: VolumeKey, sector_size: int, engines: tuple[str, str], *, iv_large_sectors: bool
    ) -> None:
        self.sector_size = sector_size
        self.engines = engines
        self._spec = spec
        self._plan = plan_iv(spec, sector_size, iv_large_sectors=iv_large_sectors)
        with key.reveal() as view:
            self._key = VolumeKey(view)
        self._idle: list[Worker] = []
        try:
            self._idle.append(self._make())
        except BaseException:
            self._key.close()
            raise

    def _make(self) -> Worker:
        """A worker; raises CipherError, ValueError for a cipher that was closed."""
        with self._key.reveal() as view:
            if NUMPY not in self.engines:
                return native.open_loop(self._spec, view, self.sector_size, self._plan, self.engines)
            _check_packages(self._spec.render())
            from cryptlv.ciphers.bulk import BulkWorker

            return BulkWorker(self._spec, view, self.sector_size, self._plan)

    def encrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
        """Encrypt a writable buffer of whole sectors; `first_sector` is the IV number of the first, the volume's IV
        offset included. IV numbers count 512-byte sectors modulo 2^64, as dm-crypt's do.

        Raises ValueError for less than whole sectors and BufferError or ValueError for a buffer that is read-only.
        """
        idle = self._idle
        try:
            worker = idle.pop()
        except IndexError:
            worker = self._make()
        worker.encrypt(buffer, first_sector)
        idle.append(worker)

    def decrypt(self, buffer: bytearray | memoryview, first_sector: int) -> None:
        """The inverse of `encrypt`."""
        idle = self._idle
        try:
            worker = idle.pop()
        except IndexError:
            worker = self._make()
        worker.decrypt(buffer, first_sector)
        idle.append(worker)

    def close(self) -> None:
        """Forget the key, in every form that has it."""
        self._key.close()
        self._idle = []  # and not emptied: who is at work puts its worker back into the old list, which goes then


def _check_packages(what: str) -> None:
    from importlib import import_module

    for name in ("cryptography", "numpy"):
        try:
            import_module(name)
        except ModuleNotFoundError:
            raise CipherError(f"{what} needs the Python package {name}: pip install 'cryptlv[crypto]'") from None


def engine_version(engine: str) -> str:
    """The version of what an engine uses; raises CipherError when the engine cannot be used, saying why."""
    if engine != NUMPY:
        native.find_loop()
        return find_library(engine).version
    _check_packages("this engine")
    import cryptography
    import numpy as np

    return f"{np.__version__} over cryptography {cryptography.__version__}"


def open_sector_cipher(
    spec: str, key: VolumeKey, sector_size: int = 512, *, iv_large_sectors: bool = False, engine: str = ""
) -> SectorCipher:
    """The sector cipher for a dm-crypt specification and key, by the fastest engine or the one named.

    With `iv_large_sectors` the IV number grows by one a sector of `sector_size`, otherwise by one for each 512 bytes.
    Raises CipherError for what is not known or cannot be had on this machine.
    """
    parsed = parse_cipher_spec(spec)
    check_key_bits(parsed, len(key) * 8)
    if sector_size not in SECTOR_SIZES:
        raise CipherError(f"sector size {sector_size} is not one of {', '.join(map(str, SECTOR_SIZES))}")
    chosen = [(engine, engine)] if engine else [fastest_engines(parsed, len(key), sector_size)]
    if not engine:  # OpenSSL takes no XTS key of two equal halves, which others do
        chosen += [(name, name) for name in ENGINES]
    for engines in chosen[:-1]:
        with suppress(CipherError):
            return SectorCipher(parsed, key, sector_size, engines, iv_large_sectors=iv_large_sectors)
    return SectorCipher(parsed, key, sector_size, chosen[-1], iv_large_sectors=iv_large_sectors)


@cache
def fastest_engines(spec: CipherSpec, key_bytes: int, sector_size: int) -> tuple[str, str]:
    """The engines that encrypt and decrypt fastest, measured where there is a choice between native ones."""
    found = [name for name in LIBRARIES if _open_to_measure(spec, key_bytes, sector_size, name)]
    if len(found) < 2:
        return (found[0], found[0]) if found else (NUMPY, NUMPY)
    speeds = {name: measure(spec, key_bytes, sector_size, name) for name in found}
    return max(found, key=lambda name: speeds[name][0]), max(found, key=lambda name: speeds[name][1])


def measure(spec: CipherSpec, key_bytes: int, sector_size: int, engine: str) -> tuple[float, float]:
    """Bytes a second that an engine encrypts and decrypts, (0, 0) when it has not got the cipher here."""
    cipher = _open_to_measure(spec, key_bytes, sector_size, engine)
    if cipher is None:
        return 0.0, 0.0
    buffer = bytearray(_MEASURED_BYTES)
    encrypting = shortest_seconds(lambda: cipher.encrypt(buffer, 0))
    decrypting = shortest_seconds(lambda: cipher.decrypt(buffer, 0))
    cipher.close()
    return len(buffer) / encrypting, len(buffer) / decrypting


def _open_to_measure(spec: CipherSpec, key_bytes: int, sector_size: int, engine: str) -> SectorCipher | None:
    """The cipher under a key that is no secret, None when the engine has not got it here."""
    with VolumeKey(bytearray(range(key_bytes))) as key:
        try:
            return SectorCipher(spec, key, sector_size, (engine, engine), iv_large_sectors=False)
        except CipherError:
            return None
