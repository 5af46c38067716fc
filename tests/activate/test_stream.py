"""The volume stream against a bytearray and sector-by-sector AES-XTS of another library."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptlv.activate.stream import RangeLock
from cryptlv.errors import DeviceError, RefusedError
from cryptlv.model.mapping import CryptTarget, LinearTarget, StripedTarget, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from activate.conftest import Disks, MakeDisks
    from cryptlv.model.mapping import VolumeMapping

    Mappings = dict[str, Callable[..., VolumeMapping]]
    Model = Callable[..., bytes]
    Foreign = Callable[[VolumeMapping, Mapping[str, bytes]], dict[str, bytes]]

SIZE = 296 * 512
NEAR_BORDERS = st.sampled_from([0, 40, 112, 120, 176, 224, 232, 240, 248, 296]).flatmap(
    lambda sector: st.integers(-520, 520).map(lambda skew: min(max(sector * 512 + skew, 0), SIZE))
)
PLACES = st.one_of(st.integers(0, SIZE), NEAR_BORDERS)
RANGES = st.tuples(PLACES, PLACES).map(lambda ends: (min(ends), max(ends) - min(ends)))
SHORT_RANGES = st.tuples(PLACES, st.integers(0, 700)).map(lambda r: (r[0], min(r[1], SIZE - r[0])))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "zero", "discard", "flush"]),
        st.one_of(RANGES, SHORT_RANGES),
        st.integers(0, 2**32),
    ),
    max_size=14,
)


@pytest.mark.parametrize("sector_size", [512, 4096])
@pytest.mark.parametrize("allow_discards", [False, True], ids=["keeps", "discards"])
def test_any_sequence_of_operations_gives_what_a_bytearray_gives(
    disks: MakeDisks,
    mappings: Mappings,
    read_by_model: Model,
    foreign_bytes: Foreign,
    sector_size: int,
    allow_discards: bool,
) -> None:
    mapping = mappings["every_target"]()

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS)
    def run(steps: list[tuple[str, tuple[int, int], int]]) -> None:
        made = disks(mapping, sector_size=sector_size, allow_discards=allow_discards)
        before = made.contents()
        model = bytearray(read_by_model(mapping, before, sector_size))
        for what, (offset, length), seed in steps:
            _do(made, model, what, (offset, length), seed)
            if what == "discard" and allow_discards:
                _follow_discard(made, model, read_by_model(mapping, made.contents(), sector_size), (offset, length))
        assert bytes(made.stream.read(0, SIZE)) == model
        assert read_by_model(mapping, made.contents(), sector_size) == model
        assert foreign_bytes(mapping, made.contents()) == foreign_bytes(mapping, before)

    run()


def _do(made: Disks, model: bytearray, what: str, place: tuple[int, int], seed: int) -> None:
    offset, length = place
    if what == "read":
        assert made.stream.read(offset, length) == model[offset : offset + length]
    elif what == "write":
        data = random.Random(seed).randbytes(length)
        made.stream.write(offset, data)
        model[offset : offset + length] = data
    elif what == "zero":
        made.stream.write_zeroes(offset, length)
        model[offset : offset + length] = bytes(length)
    elif what == "discard":
        made.stream.discard(offset, length)
    else:
        made.stream.flush()


def _follow_discard(made: Disks, model: bytearray, now: bytes, place: tuple[int, int]) -> None:
    """A discarded range may read as anything; nothing else may have changed."""
    offset, length = place
    assert now[:offset] == model[:offset]
    assert now[offset + length :] == model[offset + length :]
    model[offset : offset + length] = now[offset : offset + length]


def test_a_write_of_several_slices_reads_back_and_is_encrypted(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model
) -> None:
    mapping = mappings["one_crypt"](8192)
    made = disks(mapping, device_bytes=5 * 1024 * 1024)
    model = bytearray(read_by_model(mapping, made.contents()))
    data = random.Random(1).randbytes(3 * 1024 * 1024 + 77)
    made.stream.write(700_001, data)
    model[700_001 : 700_001 + len(data)] = data
    made.stream.write_zeroes(100, 2 * 1024 * 1024)
    model[100 : 100 + 2 * 1024 * 1024] = bytes(2 * 1024 * 1024)
    assert made.stream.read(0, len(model)) == model
    assert read_by_model(mapping, made.contents()) == model


def test_read_into_fills_a_buffer_that_lies_anywhere_in_memory(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model
) -> None:
    mapping = mappings["every_target"]()
    made = disks(mapping)
    plain = read_by_model(mapping, made.contents())
    buffer = bytearray(3 * 512 + 3)
    made.stream.read_into(41 * 512, memoryview(buffer)[3:])
    assert buffer[3:] == plain[41 * 512 : 44 * 512]
    assert buffer[:3] == bytes(3)


def test_size_is_that_of_the_mapping(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"]())
    assert made.stream.size_bytes == SIZE
    assert made.stream.writable


def test_writers_of_neighbouring_bytes_lose_nothing(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model
) -> None:
    """Each of eight threads owns every eighth byte around a border of targets, and writes them over and over."""
    mapping = mappings["every_target"]()
    made = disks(mapping, sector_size=4096)
    start, count, threads = 39 * 512 + 300, 700, 8
    model = bytearray(read_by_model(mapping, made.contents(), 4096))
    barrier = threading.Barrier(threads)

    def write(mine: int) -> None:
        order = random.Random(mine)
        places = list(range(start + mine, start + count, threads))
        barrier.wait()
        for _ in range(2):
            order.shuffle(places)
            for place in places:
                made.stream.write(place, bytes([mine * 16 + place % 16]))

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(write, mine) for mine in range(threads)]:
            done.result()
    for place in range(start, start + count):
        model[place] = (place - start) % threads * 16 + place % 16
    assert read_by_model(mapping, made.contents(), 4096) == model


def test_reads_and_writes_of_many_threads_are_those_of_one_after_another(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model
) -> None:
    mapping = mappings["every_target"]()
    made = disks(mapping)
    model = bytearray(read_by_model(mapping, made.contents()))
    share = SIZE // 4

    def work(mine: int) -> None:
        chance = random.Random(mine)
        for _ in range(60):
            offset = mine * share + chance.randrange(share - 1)
            length = chance.randrange(1, (mine + 1) * share - offset + 1)
            data = chance.randbytes(length)
            made.stream.write(offset, data)
            model[offset : offset + length] = data
            assert made.stream.read(offset, length) == data

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work, mine) for mine in range(4)]:
            done.result()
    assert read_by_model(mapping, made.contents()) == model


def test_a_range_lock_keeps_overlaps_out_and_lets_neighbours_in(wait_until: Callable[..., bool]) -> None:
    lock = RangeLock()
    entered: list[str] = []

    def enter(name: str, start: int, end: int) -> None:
        with lock.held(start, end):
            entered.append(name)

    with lock.held(100, 200):
        waiting = threading.Thread(target=enter, args=("overlaps", 199, 300))
        free = [
            threading.Thread(target=enter, args=("before", 0, 100)),
            threading.Thread(target=enter, args=("behind", 200, 300)),
        ]
        for thread in (waiting, *free):
            thread.start()
        for thread in free:
            thread.join(10)
        waiting.join(0.1)
        assert sorted(entered) == ["before", "behind"]
    waiting.join(10)
    assert entered[-1] == "overlaps"


def test_a_range_lock_is_free_again_after_an_exception() -> None:
    lock = RangeLock()
    with pytest.raises(ZeroDivisionError), lock.held(0, 10):
        _ = 1 // 0
    with lock.held(0, 10):
        pass


@pytest.mark.parametrize("what", ["write", "zero", "discard"])
def test_a_read_only_volume_refuses_and_keeps_its_bytes(disks: MakeDisks, mappings: Mappings, what: str) -> None:
    made = disks(mappings["every_target"](writable=False), allow_discards=True)
    before = made.contents()
    assert not made.stream.writable
    with pytest.raises(RefusedError, match=r"vg0/lv0.*read-only"):
        _do(made, bytearray(), what, (512, 512), 0)
    assert made.contents() == before


@pytest.mark.parametrize("what", ["read", "write", "zero", "discard"])
@pytest.mark.parametrize(
    ("offset", "length"), [(SIZE, 1), (SIZE - 1, 2), (0, SIZE + 1), (-1, 1), (2**63, 512), (2**64, 0)]
)
def test_a_range_beyond_the_end_is_refused_and_nothing_is_written(
    disks: MakeDisks, mappings: Mappings, what: str, offset: int, length: int
) -> None:
    made = disks(mappings["every_target"](), allow_discards=True)
    before = made.contents()
    with pytest.raises(DeviceError, match="vg0/lv0"):
        _do(made, bytearray(SIZE), what, (offset, length), 0)
    assert made.contents() == before


@pytest.mark.parametrize("what", ["read", "write", "zero", "discard"])
def test_nothing_at_the_very_end_is_allowed(disks: MakeDisks, mappings: Mappings, what: str) -> None:
    made = disks(mappings["every_target"](), allow_discards=True)
    before = made.contents()
    _do(made, bytearray(SIZE), what, (SIZE, 0), 0)
    assert made.contents() == before


def test_flush_flushes_only_devices_that_were_written_and_each_once(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"]())

    def flushes() -> dict[str, int]:
        made.stream.flush()
        return {pv_id: device.flushes for pv_id, device in made.devices.items()}

    assert flushes() == {"pv0": 0, "pv1": 0, "pv2": 0, "pv9": 0}
    made.stream.read(0, SIZE)
    assert flushes() == {"pv0": 0, "pv1": 0, "pv2": 0, "pv9": 0}
    made.stream.write(10, b"x")
    assert flushes() == {"pv0": 0, "pv1": 1, "pv2": 0, "pv9": 0}
    assert flushes() == {"pv0": 0, "pv1": 1, "pv2": 0, "pv9": 0}
    made.stream.write_zeroes(112 * 512, 16 * 512)
    assert flushes() == {"pv0": 1, "pv1": 1, "pv2": 1, "pv9": 0}
    made.stream.write(40 * 512 - 1, b"two")
    assert flushes() == {"pv0": 2, "pv1": 2, "pv2": 1, "pv9": 0}


def test_without_leave_a_discard_does_not_reach_the_devices(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"](), allow_discards=False)
    before = made.contents()
    made.stream.discard(0, SIZE)
    assert made.contents() == before


def test_an_allowed_discard_reaches_whole_cipher_sectors_only(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["one_crypt"](64), sector_size=4096, allow_discards=True)
    before = made.contents()["pv0"]
    made.stream.discard(100, 3 * 4096)
    now = made.contents()["pv0"]
    base = 64 * 512
    assert now[: base + 4096] == before[: base + 4096]
    assert now[base + 4096 : base + 3 * 4096] == bytes(2 * 4096), "the device in memory gives zeros"
    assert now[base + 3 * 4096 :] == before[base + 3 * 4096 :]
    made.stream.discard(4097, 4096)
    assert made.contents()["pv0"] == now


@pytest.mark.parametrize("what", ["read", "write"])
def test_a_device_error_surfaces_with_the_device_named(disks: MakeDisks, mappings: Mappings, what: str) -> None:
    made = disks(mappings["every_target"]())
    made.devices["pv0"].failing = frozenset([what])
    with pytest.raises(DeviceError, match="dev-pv0") as caught:
        _do(made, bytearray(SIZE), what, (0, SIZE), 0)
    assert caught.value.errno == 5
    assert made.stream.read(0, 512) is not None, "other devices still serve"


def test_after_a_failed_flush_no_later_one_says_that_all_is_well(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"]())
    made.stream.write(112 * 512, bytes(16 * 512))
    made.devices["pv2"].failing = frozenset(["flush"])
    for _ in range(2):
        with pytest.raises(DeviceError, match="dev-pv2"):
            made.stream.flush()
    assert made.devices["pv2"].flushes == 0
    made.devices["pv2"].failing = frozenset()
    with pytest.raises(DeviceError, match="earlier writes may be lost"):
        made.stream.flush()


def test_what_was_written_before_an_error_is_flushed_later(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"]())
    made.devices["pv0"].failing = frozenset(["write"])
    with pytest.raises(DeviceError):
        made.stream.write(39 * 512, bytes(1024))
    made.stream.flush()
    assert made.devices["pv1"].flushes == 1


def test_a_failed_write_lets_go_of_its_range(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["every_target"]())
    made.devices["pv1"].failing = frozenset(["write"])
    with pytest.raises(DeviceError):
        made.stream.write(0, b"abc")
    made.devices["pv1"].failing = frozenset()
    done = threading.Thread(target=made.stream.write, args=(0, b"abc"), daemon=True)
    done.start()
    done.join(10)
    assert made.stream.read(0, 3) == b"abc"


def test_a_flush_does_not_return_while_another_is_still_flushing_earlier_writes(
    disks: MakeDisks, mappings: Mappings
) -> None:
    """Two clients: the write is finished when both ask for a flush, so neither may hear success before the device."""
    made = disks(mappings["every_target"]())
    device = made.devices["pv1"]
    made.stream.write(0, b"abc")
    device.gate.clear()
    first = threading.Thread(target=made.stream.flush, daemon=True)
    first.start()
    assert device.flushing.wait(10)
    second = threading.Thread(target=made.stream.flush, daemon=True)
    second.start()
    second.join(0.3)
    too_early = not second.is_alive()
    device.gate.set()
    first.join(10)
    second.join(10)
    assert not too_early


def test_an_unknown_kind_of_target_is_refused(disks: MakeDisks, mappings: Mappings) -> None:
    class Mirror(Target):
        @property
        def pv_ids(self) -> frozenset[str]:
            return frozenset()

    made = disks(mappings["of"](Mirror(start_sectors=0, length_sectors=8)))
    with pytest.raises(RefusedError, match="Mirror"):
        made.stream.read(0, 512)


def test_a_volume_whose_end_is_inside_a_cipher_sector_of_another_keystore_is_served_whole(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model
) -> None:
    """The last target is not encrypted and ends at an odd 512-byte sector."""
    mapping = mappings["of"](
        CryptTarget(
            start_sectors=0,
            length_sectors=16,
            pv_id="pv0",
            offset_sectors=0,
            crypto_store="ks0",
            iv_offset_sectors=0,
        ),
        LinearTarget(start_sectors=16, length_sectors=3, pv_id="pv1", offset_sectors=5),
    )
    made = disks(mapping, sector_size=4096)
    model = bytearray(read_by_model(mapping, made.contents(), 4096))
    after = made.contents()["pv1"][8 * 512 :]
    assert made.stream.read(0, 19 * 512) == model
    made.stream.write(18 * 512 + 1, b"tail")
    model[18 * 512 + 1 : 18 * 512 + 5] = b"tail"
    assert read_by_model(mapping, made.contents(), 4096) == model
    assert made.contents()["pv1"][8 * 512 :] == after


def states(made: Disks, offset: int = 0, length: int = SIZE) -> list[tuple[int, bool, bool]]:
    """The extents of a volume, each sector by itself where that changes something."""
    return list(made.stream.extents(offset, length))


def test_extents_are_those_of_the_places_behind_every_target(disks: MakeDisks, mappings: Mappings) -> None:
    """All that is stored on pv1 is discarded: a linear target reads as zeros then, a stripe of three in its turn."""
    made = disks(mappings["every_target"](), allow_discards=True)
    assert states(made) == [(SIZE, True, False)]
    made.devices["pv1"].content[:] = bytes(len(made.devices["pv1"].content))
    chunk = 8 * 512
    expected = [(40 * 512, False, True), (184 * 512, True, False)]
    for _ in range(3):
        expected += [(chunk, True, False), (chunk, False, True), (chunk, True, False)]
    merged: list[tuple[int, bool, bool]] = []
    for one in expected:
        if merged and merged[-1][1:] == one[1:]:
            merged[-1] = merged[-1][0] + one[0], one[1], one[2]
        else:
            merged.append(one)
    assert states(made) == merged
    assert states(made, 40 * 512 - 7, 10) == [(7, False, True), (3, True, False)]
    assert states(made, SIZE, 0) == []
    with pytest.raises(DeviceError, match="vg0/lv0"):
        states(made, 1, SIZE)


def test_a_discarded_range_of_an_encrypted_volume_has_no_storage_and_is_not_said_to_be_zeros(
    disks: MakeDisks, mappings: Mappings
) -> None:
    made = disks(mappings["one_crypt"](64), allow_discards=True)
    made.stream.discard(0, 32 * 512)
    assert states(made, 0, 64 * 512) == [(32 * 512, False, False), (32 * 512, True, False)]
    assert any(made.stream.read(0, 512))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_writing_in_place_and_reading_into_do_what_write_and_read_do(
    disks: MakeDisks, mappings: Mappings, read_by_model: Model, data: st.DataObject
) -> None:
    mapping = mappings["every_target"]()
    made = disks(mapping)
    model = bytearray(read_by_model(mapping, made.contents()))
    for offset, length in data.draw(st.lists(st.one_of(RANGES, SHORT_RANGES), max_size=6)):
        content = random.Random(offset * SIZE + length).randbytes(length)
        made.stream.write_in_place(offset, memoryview(bytearray(content)))
        model[offset : offset + length] = content
        made.stream.start_reading(offset, length)
        buffer = bytearray(length)
        made.stream.read_into(offset, memoryview(buffer))
        assert buffer == content
    assert read_by_model(mapping, made.contents()) == model
    made.stream.flush()


def test_an_encrypted_volume_over_a_striped_one_is_written_in_place_too(disks: MakeDisks, mappings: Mappings) -> None:
    """Against the same volume with its sectors in one piece: a stripe's place is that of dm-stripe."""
    below = mappings["of"](
        StripedTarget(start_sectors=0, length_sectors=128, chunk_sectors=8, stripes=(("pv0", 16), ("pv1", 40))),
        lv_name="lv0_cryptdata",
        lv_id="below",
    )
    target = mappings["one_crypt"](128).targets[0].replace(pv_id="below", offset_sectors=0)
    made = disks(mappings["of"](target).replace(layers=(below,)))
    flat = disks(mappings["one_crypt"](128))
    chance = random.Random(6)
    for _ in range(60):
        offset = chance.choice((chance.randrange(128) * 512, chance.randrange(128 * 512)))
        data = chance.randbytes(chance.choice((512, 4096, 1000, 20_000)))[: 128 * 512 - offset]
        for one in (made, flat):
            one.stream.write_in_place(offset, memoryview(bytearray(data)))
            assert one.stream.read(offset, len(data)) == data
    made.stream.write(0, flat.stream.read(0, 128 * 512))
    one_piece = flat.contents()["pv0"][64 * 512 :]
    chunks = [one_piece[start : start + 4096] for start in range(0, 128 * 512, 4096)]
    for number, chunk in enumerate(chunks):
        pv_id, base = (("pv0", 16), ("pv1", 40))[number % 2]
        place = (base + number // 2 * 8) * 512
        assert made.contents()[pv_id][place : place + 4096] == chunk
    made.stream.flush()
    assert (made.devices["pv0"].flushes, made.devices["pv1"].flushes) == (1, 1)


def test_writing_in_place_marks_its_device_for_the_next_flush(disks: MakeDisks, mappings: Mappings) -> None:
    made = disks(mappings["one_crypt"](64))
    for count in (1, 2):
        made.stream.write_in_place(4096, memoryview(bytearray(4096)))
        made.stream.flush()
        made.stream.flush()
        assert made.devices["pv0"].flushes == count


def test_only_a_volume_in_the_clear_is_punched_and_only_where_discards_are_allowed(
    disks: MakeDisks, mappings: Mappings
) -> None:
    linear = mappings["of"](
        LinearTarget(start_sectors=0, length_sectors=40, pv_id="pv0", offset_sectors=16),
        StripedTarget(start_sectors=40, length_sectors=32, chunk_sectors=8, stripes=(("pv0", 200), ("pv1", 96))),
    )
    made = disks(linear, allow_discards=True)
    model = bytearray(made.stream.read(0, 72 * 512))
    assert made.stream.punch(30 * 512, 30 * 512)
    model[30 * 512 : 60 * 512] = bytes(30 * 512)
    assert made.stream.read(0, 72 * 512) == model
    made.stream.flush()
    assert (made.devices["pv0"].flushes, made.devices["pv1"].flushes) == (1, 1)
    for other in (disks(linear), disks(mappings["one_crypt"](64), allow_discards=True)):
        before = other.contents()
        assert not other.stream.punch(0, 4096)
        assert other.contents() == before
    assert not made.stream.punch(100, 4096)
    with pytest.raises(DeviceError, match="vg0/lv0"):
        made.stream.punch(72 * 512, 512)
