"""What a new volume will be: its properties, its hidden parts, its keystore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, ExistsError, RefusedError, UsageError
from cryptlv.keys.registry import find_handler
from cryptlv.model.check import check
from cryptlv.model.vg import LvArea
from cryptlv.ops.lv_plan import LvRequest, plan_volume, policy_of
from cryptlv.segments.crypt import CryptSegment
from cryptlv.segments.striped import StripedSegment
from cryptlv.units import KIB
from support.disks import MIB, REQUEST, make_disks

if TYPE_CHECKING:
    from pathlib import Path

    from cryptlv.ops.lv_plan import LvPlan

LINEAR = LvRequest(name="x", size_bytes=MIB)


def planned(folder: Path, request: LvRequest, areas: tuple[int, ...] = (1, 1, 1)) -> LvPlan:
    with make_disks(folder, areas).session() as session:
        draft = None
        if request.segment_type == "crypt":
            draft = find_handler(request.handler).draft(request.keystore.replace(unit_bytes=64 * KIB))
        plan = plan_volume(session, session.world().group("vg0"), request, draft)
    assert check(plan.after) == ()
    assert plan.after.lv(plan.lv.name) == plan.lv
    return plan


def test_an_encrypted_volume_of_stripes_lies_over_a_hidden_one(tmp_path: Path) -> None:
    plan = planned(tmp_path, REQUEST.replace(stripes=2))
    (over,) = plan.lv.segments
    assert isinstance(over, CryptSegment)
    assert over.areas == (LvArea(lv_name="new_cryptdata", start_le=0),)
    below = plan.after.lv("new_cryptdata")
    assert below.status == ("READ", "WRITE")
    assert all(isinstance(part, StripedSegment) and len(part.areas) == 2 for part in below.segments)
    assert below.length_le == plan.lv.length_le
    assert plan.store is not None
    assert over.crypto_store == plan.store.name


def test_properties(tmp_path: Path) -> None:
    lv = planned(
        tmp_path,
        LINEAR.replace(
            tags=("a", "b"), is_writable=False, read_ahead=64, minor=9, skips_activation=True, autoactivates=False,
            policy="cling",
        ),
    ).lv  # fmt: skip
    assert lv.status == ("READ", "FIXED_MINOR", "VISIBLE")
    assert lv.flags == ("ACTIVATION_SKIP", "NOAUTOACTIVATE")
    assert (lv.tags, lv.read_ahead, lv.minor, lv.allocation_policy) == (("a", "b"), 64, 9, "cling")
    assert planned(tmp_path, LINEAR).lv.status == ("READ", "WRITE", "VISIBLE")


def test_the_policy_is_the_first_that_says_something(tmp_path: Path) -> None:
    vg = planned(tmp_path, LINEAR).after
    assert [policy_of(vg, *words) for words in ((), ("",), ("inherit", "cling"), ("anywhere", "cling"))] == [
        "normal", "normal", "cling", "anywhere",
    ]  # fmt: skip
    assert policy_of(vg.replace(allocation_policy="contiguous"), "inherit") == "contiguous"


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    cases: list[tuple[LvRequest, type[CryptlvError]]] = [
        (LINEAR.replace(name="first"), ExistsError),
        (LINEAR.replace(name="cryptostore9"), UsageError),
        (LINEAR.replace(name="x_cryptdata"), UsageError),
        (LINEAR.replace(stripes=4, segment_type="striped"), RefusedError),
        (LINEAR.replace(stripes=2), UsageError),
        (LINEAR.replace(name="n" * 122), UsageError),
    ]
    for request, error in cases:
        with pytest.raises(error):
            planned(tmp_path, request)


def test_a_name_without_room_for_its_hidden_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too long"):
        planned(tmp_path, REQUEST.replace(name="n" * 115, stripes=2))
    planned(tmp_path, REQUEST.replace(name="n" * 115))
