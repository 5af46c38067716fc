"""The sector engine in C: the loop of native/sectors.c over the ciphers of a shared library.

Modes are the library's own: XTS (IEEE 1619), CBC, CTR and ECB (SP 800-38A). Only CBC is encrypted otherwise where the
library's ECB takes many blocks at once: block by block for many sectors together.
"""

from __future__ import annotations

from cryptlv.ciphers.iv import essiv_key
from cryptlv.errors import CipherError
from cryptlv.libraries import NO_CALL, OPENSSL, find_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.ciphers._sectors import Loop
    from cryptlv.ciphers.iv import IvPlan
    from cryptlv.ciphers.spec import CipherSpec
    from cryptlv.libraries import CipherHandle

MODES = ("xts", "cbc", "ctr", "ecb")
NOT_BUILT = "the native part is not built: install a C compiler and Python's headers, then install cryptlv again"


def find_loop() -> type[Loop]:
    """The native loop; raises CipherError where it was not built."""
    try:
        from cryptlv.ciphers._sectors import Loop
    except ImportError:
        raise CipherError(NOT_BUILT) from None
    return Loop


def open_loop(spec: CipherSpec, key: memoryview, sector_size: int, plan: IvPlan, libraries: tuple[str, str]) -> Loop:
    """A loop that encrypts with the first library and decrypts with the second, for one thread at a time.

    Raises CipherError when the native part or a library is missing, or has not got the cipher.
    """
    loop = find_loop()
    if spec.mode not in MODES:
        raise CipherError(f"the native part does not do {spec.render()}")
    encrypting, decrypting = find_library(libraries[0]), find_library(libraries[1])
    handles: list[CipherHandle | None] = [
        encrypting.open(spec.cipher, spec.mode, key, encrypts=True),
        decrypting.open(spec.cipher, spec.mode, key, encrypts=spec.mode == "ctr"),
        None,
        None,
    ]
    if spec.iv == "essiv":
        handles[2] = encrypting.open(spec.cipher, "ecb", memoryview(essiv_key(spec, key)), encrypts=True)
    if spec.mode == "cbc" and libraries[0] == OPENSSL:
        handles[3] = encrypting.open(spec.cipher, "ecb", key, encrypts=True)
    first, second, third, fourth = (NO_CALL if handle is None else handle.call for handle in handles)
    calls = (first, second, third, fourth)
    return loop(sector_size, plan.numbers, plan.is_big_endian, plan.is_encrypted, calls, handles)
