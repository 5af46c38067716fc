"""version."""

from __future__ import annotations

from cryptlv import __version__
from cryptlv.cli.options import Command, Option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments


def _version(arguments: Arguments) -> int:
    print(f"  cryptlv {__version__}")
    if arguments.has("engines"):
        _engines()
    return 0


def _engines() -> None:
    from cryptlv.ops.engines import SECTOR_SIZE, cipher_speeds, engine_states

    for state in engine_states():
        print(f"  {state.name:<10} {state.version or f'not used: {state.reason}'}")
    print(f"\n  In use is what is fastest here, in GB/s encrypted/decrypted with sectors of {SECTOR_SIZE} bytes:\n")
    for row in cipher_speeds():
        used = " + ".join(dict.fromkeys(filter(None, row.chosen))) or "none"
        speeds = ", ".join(f"{name} {one / 1e9:.2f}/{other / 1e9:.2f}" for name, one, other in row.speeds)
        print(f"  {row.spec:<31} {row.key_bits:>3}  {used:<19}  {speeds}".rstrip())


VERSION = Command(
    name="version",
    summary="Show the version, and what encrypts.",
    usage=("[--engines]",),
    options=(Option(long="engines", help="Show what encrypts sectors on this machine, why, and how fast."),),
    run=_version,
)
