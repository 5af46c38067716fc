from typing import Self

from cryptlv.libraries import Call

# Built from native/sectors.c, where there is a compiler.

class Loop:
    def __new__(
        cls,
        sector_size: int,
        numbers: tuple[int, int, int, int, int],
        is_big_endian: bool,
        is_encrypted: bool,
        calls: tuple[Call, Call, Call, Call],
        owners: object,
        /,
    ) -> Self: ...
    def encrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None: ...
    def decrypt(self, buffer: bytearray | memoryview, first_sector: int, /) -> None: ...
