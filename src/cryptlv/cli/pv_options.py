"""What new physical volumes are to be like, as pvcreate, vgcreate and vgextend take it."""

from __future__ import annotations

from cryptlv.cli.options import Option
from cryptlv.errors import UsageError
from cryptlv.ops.pv import PvOptions
from cryptlv.units import SECTOR_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cryptlv.cli.options import Arguments

_LABEL_SECTORS = 4
PV_OPTIONS = (
    Option(long="zero", short="Z", takes="y|n", help="Clear the first 2 KiB of a new physical volume; y."),
    Option(long="metadatasize", takes="Size[m|UNIT]", help="Size of each metadata area; it may become larger."),
    Option(
        long="pvmetadatacopies", takes="0|1|2", help="Metadata areas: none, one at the start, another at the end."
    ),
    Option(long="metadatacopies", takes="0|1|2", help="The same as --pvmetadatacopies."),
    Option(long="metadataignore", takes="y|n", help="Have the metadata areas, but do not use them yet."),
    Option(long="dataalignment", takes="Size[k|UNIT]", help="Extents start at a multiple of this; 1m."),
    Option(long="dataalignmentoffset", takes="Size[k|UNIT]", help="So much further on than that."),
    Option(long="bootloaderareasize", takes="Size[m|UNIT]", help="Keep room for a boot loader before the extents."),
    Option(long="labelsector", takes="0-3", help="The sector of the label; 1."),
    Option(long="metadatatype", short="M", takes="lvm2", help="There is only one."),
)


def whole_sectors(arguments: Arguments, name: str, default_unit: str = "m") -> int:
    """The value of an option in bytes, whole sectors of them; 0 when it was not given. Raises UsageError."""
    size = arguments.size_bytes(name, default_unit) or 0
    if size % SECTOR_SIZE and arguments.text(name)[-1:] in "bB":
        raise UsageError(f"--{name}: size is not a multiple of {SECTOR_SIZE}")
    return size - size % SECTOR_SIZE


def pv_options(arguments: Arguments) -> PvOptions:
    """What new physical volumes are to be like; raises UsageError."""
    ignored = bool(arguments.yes_no("metadataignore"))
    same = "metadatacopies" if arguments.has("metadatacopies") else "pvmetadatacopies"
    copies = int(arguments.choice(same, ("0", "1", "2"), "1"))
    if ignored and not copies:
        raise UsageError("metadataignore only applies to metadatacopies > 0.")
    sector = arguments.number("labelsector", 1)
    if sector >= _LABEL_SECTORS:
        raise UsageError(f"labelsector must be less than {_LABEL_SECTORS}.")
    arguments.choice("metadatatype", ("lvm2", "text", "2"), "lvm2")
    return PvOptions(
        metadata_size_bytes=whole_sectors(arguments, "metadatasize"),
        metadata_copies=copies,
        metadata_ignored=ignored,
        data_alignment_bytes=whole_sectors(arguments, "dataalignment", "k"),
        data_alignment_offset_bytes=whole_sectors(arguments, "dataalignmentoffset", "k"),
        bootloader_area_bytes=whole_sectors(arguments, "bootloaderareasize"),
        label_sector=sector,
        zero=arguments.yes_no("zero") is not False,
    )
