"""Every error is one kind with an exit status that lvm2 users know; format errors say where."""

from __future__ import annotations

import inspect

from cryptlv import errors
from cryptlv.errors import CheckError, CryptlvError, FormatError, UsageError


def test_exit_statuses_are_3_for_usage_and_5_for_the_rest() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(classes) > 15
    for kind in classes:
        assert issubclass(kind, CryptlvError)
        assert kind.exit_code == (3 if issubclass(kind, UsageError) else 5)
        assert kind.__name__ in (errors.__doc__ or ""), f"{kind.__name__} is in the overview"


def test_a_format_error_says_device_place_and_field() -> None:
    error = FormatError("checksum is wrong", offset_bytes=512, field="crc")
    assert str(error) == "at byte 512: crc: checksum is wrong"
    assert str(error.at("/dev/x")) == "/dev/x at byte 512: crc: checksum is wrong"
    assert str(error.at("/dev/x").at("/dev/y", 7)) == "/dev/x at byte 7: crc: checksum is wrong"


def test_a_check_error_keeps_each_violation() -> None:
    error = CheckError(("one", "two"))
    assert error.violations == ("one", "two")
    assert str(error) == "one; two"
