"""Segment types: one file each, found through this table; any other type is opaque."""

from __future__ import annotations

from cryptlv.segments import crypt, keystore, opaque, striped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptlv.model.nodes import Section
    from cryptlv.model.vg import Segment

_PARSERS = {striped.TYPE: striped.parse, crypt.TYPE: crypt.parse, keystore.TYPE: keystore.parse}


def parse_segment(
    type_word: str, section: Section, head: dict[str, object], pv_ids: Mapping[str, str], where: str
) -> Segment:
    """The segment that a section describes.

    `section` has the type's own items, `head` the fields common to all types (start_le, length_le, tags), `pv_ids`
    the id behind each PV word, `where` the place for error messages. Raises FormatError.
    """
    parse = _PARSERS.get(type_word)
    if parse is None:
        return opaque.parse(section, head, pv_ids, type_word)
    return parse(section, head, pv_ids, where)
