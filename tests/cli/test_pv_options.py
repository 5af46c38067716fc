"""The words for new physical volumes, as values."""

from __future__ import annotations

import pytest

from cryptlv.cli.options import Command, parse
from cryptlv.cli.pv_options import PV_OPTIONS, pv_options, whole_sectors
from cryptlv.errors import UsageError
from cryptlv.ops.pv import PvOptions

COMMAND = Command(name="pvcreate", summary="", usage=("PATH",), options=PV_OPTIONS, run=lambda _: 0)


def options(*words: str) -> PvOptions:
    return pv_options(parse(COMMAND, list(words), "pvcreate"))


def test_nothing_means_the_defaults() -> None:
    assert options() == PvOptions()


def test_each_word_has_its_value() -> None:
    assert options(
        "--metadatasize", "3m", "--metadatacopies", "2", "--metadataignore", "y", "--dataalignment", "64",
        "--dataalignmentoffset", "7s", "--bootloaderareasize", "1m", "--labelsector", "3", "-Zn", "-Mlvm2",
    ) == PvOptions(
        metadata_size_bytes=3 << 20, metadata_copies=2, metadata_ignored=True, data_alignment_bytes=64 << 10,
        data_alignment_offset_bytes=7 * 512, bootloader_area_bytes=1 << 20, label_sector=3, zero=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ("--labelsector", "4"), ("--pvmetadatacopies", "3"), ("--metadataignore", "y", "--pvmetadatacopies", "0"),
        ("-M", "lvm1"), ("--metadatasize", "700b"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_usage_error(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        options(*words)


def test_sizes_are_cut_to_whole_sectors() -> None:
    assert whole_sectors(parse(COMMAND, ["--metadatasize", "0.7k"], "pvcreate"), "metadatasize") == 512
