"""Words for physical volumes, with ranges of extents and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cryptlv.errors import CryptlvError, NoSpaceError, NotFoundError, RefusedError, UsageError
from cryptlv.model.allocate import Candidate
from cryptlv.ops.candidates import PvArgument, choose_candidates, parse_pv_argument
from cryptlv.ops.commit import commit_change
from support.disks import make_disks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("word", "argument"),
    [
        ("/d0", PvArgument(path="/d0")),
        ("@fast", PvArgument(tag="fast")),
        ("/d0:7", PvArgument(path="/d0", ranges_pe=((7, 1),))),
        ("/d0:0-9", PvArgument(path="/d0", ranges_pe=((0, 10),))),
        ("/d0:5+3", PvArgument(path="/d0", ranges_pe=((5, 3),))),
        ("/d0:5-", PvArgument(path="/d0", ranges_pe=((5, None),))),
        ("/d0:-5", PvArgument(path="/d0", ranges_pe=((0, 6),))),
        ("/d0:1:3-4", PvArgument(path="/d0", ranges_pe=((1, 1), (3, 2)))),
    ],
)
def test_words(word: str, argument: PvArgument) -> None:
    assert parse_pv_argument(word) == argument


@pytest.mark.parametrize("word", ["@", ":1", "/d0:x", "/d0:1-2-3", "/d0:5-3", "/d0:1+2-3", "/d0:99999999999"])
def test_words_that_are_none(word: str) -> None:
    with pytest.raises(UsageError):
        parse_pv_argument(word)


def test_what_words_mean_on_a_group(tmp_path: Path) -> None:
    warnings: list[str] = []
    with make_disks(tmp_path, (1, 1, 1)).session(warn=warnings.append) as session:
        group = session.world().group("vg0")
        first, second, third = group.vg.pvs
        closed = third.replace(status=())
        vg = group.vg.replace(pvs=(first, second.replace(tags=("fast",)), closed))
        commit_change(session, group, vg)
        group = session.world().group("vg0")

        def chosen(*words: str) -> tuple[Candidate, ...] | None:
            return choose_candidates(session, group, [parse_pv_argument(word) for word in words])

        assert chosen() is None
        assert chosen("/d1", "/d0:3-4") == (
            Candidate(pv_id=second.id), Candidate(pv_id=first.id, ranges_pe=((3, 2),)),
        )  # fmt: skip
        assert chosen("@fast") == (Candidate(pv_id=second.id),)
        assert chosen("/d1:5-") == (Candidate(pv_id=second.id, ranges_pe=((5, second.pe_count),)),)
        assert chosen("/d2", "/d0") == (Candidate(pv_id=first.id),)
        assert warnings == ["physical volume /d2 is not allocatable"]
        refused: list[tuple[tuple[str, ...], type[CryptlvError]]] = [
            (("/d2",), NoSpaceError), (("@none",), NoSpaceError), (("/d9",), NotFoundError),
            (("/d0:100000",), RefusedError),
        ]  # fmt: skip
        for words, error in refused:
            with pytest.raises(error):
                chosen(*words)
