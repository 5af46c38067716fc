"""pvmove: extents of deactivated volumes to other physical volumes, chunk by chunk.

A chunk is copied to extents that no volume uses, flushed, and then committed metadata point there: until the commit
the old place is the valid one, after it the new one, and each holds everything. Nothing but the metadata says how far
the move is, so a move that was interrupted is taken up again by the same command. The lock is held for a chunk at a
time; what others did meanwhile is seen at the next one. lvm2 moves with a temporary mirror in the kernel instead
(tools/pvmove.c); which extents are moved, and to which, is as it has it.
"""

from __future__ import annotations

import time

from cryptlv.errors import (
    DeviceError,
    KeystoreError,
    NoSpaceError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from cryptlv.model.allocate import POLICIES
from cryptlv.model.move import (
    Place,
    allocate_for_move,
    apply_moves,
    check_apart,
    destinations,
    find_pieces,
    first_moves,
    parse_ranges,
)
from cryptlv.names import printable
from cryptlv.ops.commit import commit_change
from cryptlv.ops.copying import BLOCK_BYTES, CopyRun, Unwatched, copy_runs
from cryptlv.ops.kernel import active_ids
from cryptlv.ops.wipe import wipe
from cryptlv.record import Record
from cryptlv.units import MIB, SECTOR_SIZE, format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptlv.host.scan import Group
    from cryptlv.model.move import Move, Piece
    from cryptlv.model.vg import LogicalVolume, VolumeGroup
    from cryptlv.ops.copying import Watch
    from cryptlv.ops.session import Session


class Chunks(Record):
    """How much is copied before a commit: so many bytes at most, or fewer when it took so long."""

    most_bytes: int = 1024 * MIB
    least_bytes: int = 64 * MIB
    seconds: float = 2.0
    block_bytes: int = BLOCK_BYTES


class MoveRequest(Record):
    """What `pvmove` was asked for.

    `source` and `targets` are paths of physical volumes, with `:PE-PE` behind them for some of the extents only;
    among the targets also `@tag`; none stands for all. `lv_name`, `LV` or `VG/LV`, limits it to a volume and its
    parts.
    `policy` is "" for the volume group's. With `is_atomic` there is one commit, at the end.
    """

    source: str
    targets: tuple[str, ...] = ()
    lv_name: str = ""
    policy: str = ""
    is_atomic: bool = False
    chunks: Chunks = Chunks()


class MoveResult(Record):
    """How a move ended; not complete when it was stopped. `steps` says what was to be moved where."""

    done_bytes: int
    total_bytes: int
    steps: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether everything was moved."""
        return self.done_bytes == self.total_bytes


def move(session: Session, request: MoveRequest, watch: Watch | None = None) -> MoveResult:
    """Move extents off a physical volume. With --test nothing is written and the steps say what would be done.

    Volumes that are active, locked or of types that are not understood are skipped, each with a word. Raises
    UsageError, NotFoundError, RefusedError when nothing is left to move, NoSpaceError, DeviceError, CommitError; what
    was committed before stays moved then, and every volume is whole.
    """
    mover = Mover(session, request, watch or Unwatched())
    try:
        while mover.step():
            pass
    except DeviceError as error:
        if not mover.done_bytes:
            raise
        raise DeviceError(
            f"{error}; {mover.so_far}: the same command goes on from there", errno=error.errno
        ) from None
    return MoveResult(done_bytes=mover.done_bytes, total_bytes=mover.total_bytes, steps=tuple(mover.steps))


class Mover:
    """A move under way, `done_bytes` of it committed: `step` after `step` until there is no more to do."""

    def __init__(self, session: Session, request: MoveRequest, watch: Watch) -> None:
        self.done_bytes = 0
        self.total_bytes = 0
        self.steps: list[str] = []
        self._session = session
        self._request = request
        self._watch = watch
        self._path, self._source_ranges = split_pv(request.source)
        self._vg_name = _group_name(session, self._path)
        vg_name, slash, self._lv_name = request.lv_name.rpartition("/")
        if slash and vg_name != self._vg_name:
            raise UsageError("Named LV and old PV must be in the same VG.")
        self._known: VolumeGroup | None = None
        self._moves: tuple[Move, ...] = ()
        self._said: set[str] = set()

    @property
    def so_far(self) -> str:
        """How far the move is, for messages."""
        return f"{format_size(self.done_bytes)} of {format_size(self.total_bytes)} are moved"

    def step(self) -> bool:
        """Move one chunk; whether there is more to do. The first plans, and a later one does when it must."""
        session = self._session
        with session.locked(self._vg_name, write=True, global_read=self._known is None):
            group = session.writable_group(self._vg_name)
            if group.vg != self._known or _held(session, group.vg).intersection(
                move.piece.lv_name for move in self._moves
            ):
                self._plan(group)
            if session.test:
                commit_change(session, group, apply_moves(group.vg, self._moves))
                return False
            if self._moves:
                self._chunk(group)
        return bool(self._moves) and not self._watch.is_stopping

    def _plan(self, group: Group) -> None:
        """What is left to move, and where to."""
        pieces, words = _pieces(self._session, group, self._lv_name, self._path, self._source_ranges)
        for word in words:
            if word not in self._said:
                self._said.add(word)
                self._session.inform(word)
        vg = group.vg
        if not pieces:
            if self._known is None:
                skipped = "All data on source PV skipped. " if words else ""
                raise RefusedError(f"{skipped}No data to move for {printable(vg.name)}.")
            self._moves = ()
        else:
            policy = self._request.policy or _policy_of(vg)
            source = _place(group, self._path, self._source_ranges)
            named = _targets(self._session, group, self._request.targets)
            self._moves = allocate_for_move(vg, pieces, destinations(vg, source, named, policy), policy)
        extents = sum(move.piece.length_pe for move in self._moves)
        self.total_bytes = self.done_bytes + extents * vg.extent_size_bytes
        self.steps += [_describe(group, move) for move in self._moves]
        self._watch.tell(self.done_bytes, self.total_bytes)

    def _chunk(self, group: Group) -> None:
        """Copy, flush, commit; then overwrite the old place of keystores, which opens with old passphrases."""
        session, size = self._session, group.vg.extent_size_bytes
        runs = [_run(session, group, move) for move in self._moves]
        copied = copy_runs(runs, self._enough(size), self._request.chunks.block_bytes)
        if self._request.is_atomic and copied < sum(run.length_bytes for run in runs):
            return
        moved, left = first_moves(self._moves, copied // size)
        if not moved:
            return
        for device in {id(run.target): run.target for run in runs[: len(moved)]}.values():
            device.flush()
        stores = [move for move in moved if move.piece.is_indivisible]
        for store in stores:
            _check_copy(_run(session, group, store), store.piece.lv_name)
        self._known = commit_change(session, group, apply_moves(group.vg, moved), archive=not self.done_bytes)
        self._moves = left
        self.done_bytes += sum(move.piece.length_pe for move in moved) * size
        places = [(s.piece.source.pv_id, s.piece.source.start_pe, s.piece.length_pe) for s in stores]
        wipe(session, group, places)

    def _enough(self, extent_bytes: int) -> Callable[[int], bool]:
        """When a chunk is long enough; what is indivisible is not divided, and one extent there is at least."""
        chunks, start = self._request.chunks, time.monotonic()
        first = self._moves[0].piece
        whole = (first.length_pe if first.is_indivisible else 1) * extent_bytes

        def enough(copied: int) -> bool:
            self._watch.tell(self.done_bytes + copied, self.total_bytes)
            if self._request.is_atomic:
                return self._watch.is_stopping
            if copied < whole:
                return False
            slow = copied >= chunks.least_bytes and time.monotonic() - start >= chunks.seconds
            return slow or copied >= chunks.most_bytes or self._watch.is_stopping

        return enough


def split_pv(word: str) -> tuple[str, str]:
    """`PATH[:PE-PE...]` as the absolute path and what stands behind it; `\\:` and `\\@` stand for `:` and `@`."""
    import os.path
    import re

    found = re.match(r"((?:\\[:@]|[^:])*)(:.*)?", word, re.DOTALL)
    path, ranges = (found[1], found[2] or "") if found else (word, "")
    return os.path.abspath(re.sub(r"\\([:@])", r"\1", path)), ranges


def _group_name(session: Session, path: str) -> str:
    """The volume group of a physical volume; raises UsageError when it is none, RefusedError for an orphan."""
    world = session.world(silent=True)
    found = next((pv for pv in world.pvs if pv.path == path), None)
    if found is None:
        raise UsageError(f"Failed to find physical volume {printable(path)!r}.")
    group = world.group_of(found.label.pv_id)
    if group is None:
        raise RefusedError(f"Physical volume {printable(path)!r} is in no volume group: there is nothing to move.")
    return group.vg.name


def _policy_of(vg: VolumeGroup) -> str:
    word = vg.allocation_policy.removesuffix("_by_tags")
    return word if word in POLICIES else "normal"


def _place(group: Group, path: str, ranges: str) -> Place:
    """A physical volume of the group; raises NotFoundError and RefusedError."""
    by_path = {known: pv_id for pv_id, known in group.pv_paths.items()}
    if path not in by_path:
        raise NotFoundError(
            f'Physical Volume "{printable(path)}" not found in Volume Group "{printable(group.vg.name)}".'
        )
    pv = group.vg.pv(by_path[path])
    place = Place(pv_id=pv.id, ranges=parse_ranges(ranges, pv.pe_count))
    check_apart(place.ranges, path)
    return place


def _targets(session: Session, group: Group, words: Iterable[str]) -> tuple[Place, ...]:
    """The physical volumes that were named to take from, () for none (lib/metadata/pv_list.c:create_pv_list)."""
    from cryptlv.model.allocate import used_extents

    words = tuple(words)
    used = used_extents(group.vg)
    places: dict[str, Place] = {}
    for word in words:
        if word.startswith("@"):
            tagged = [pv.id for pv in group.vg.pvs if word[1:] in pv.tags and pv.id in group.pv_paths]
            found = [_place(group, group.pv_paths[pv_id], "") for pv_id in tagged]
        else:
            found = [_place(group, *split_pv(word))]
        for place in found:
            path, pv = group.pv_paths[place.pv_id], group.vg.pv(place.pv_id)
            if not pv.is_allocatable:
                session.warn(f"Physical volume {path} not allocatable.")
            elif sum(length for _, length in used[pv.id]) >= pv.pe_count:
                session.warn(f'No free extents on physical volume "{path}".')
            else:
                before = places.get(pv.id)
                ranges = (*(before.ranges if before else ()), *place.ranges)
                check_apart(ranges, path)
                places[pv.id] = place.replace(ranges=ranges)
    if words and not places:
        raise NoSpaceError("No specified PVs have space available.")
    return tuple(places.values())


def _held(session: Session, vg: VolumeGroup) -> frozenset[str]:
    """The names of the volumes that are active, by our servers or in the kernel, and of all that they are made of."""
    active = active_ids(session)
    return _with_parts(vg, (lv.name for lv in vg.lvs if lv.id in active)) if active else frozenset()


def _with_parts(vg: VolumeGroup, names: Iterable[str]) -> frozenset[str]:
    """Volumes, and those of which they are made."""
    lvs = {lv.name: lv for lv in vg.lvs}
    found: set[str] = set()
    left = [name for name in names if name in lvs]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += [part for segment in lvs[name].segments for _, part in segment.parts() if part in lvs]
    return frozenset(found)


def _pieces(
    session: Session, group: Group, lv_name: str, path: str, ranges: str
) -> tuple[tuple[Piece, ...], tuple[str, ...]]:
    """What is to be moved, and a line for each volume on the source that is skipped."""
    vg = group.vg
    source = _place(group, path, ranges)
    meant = {lv.name for lv in vg.lvs}
    if lv_name:
        meant &= _with_parts(vg, (vg.lv(lv_name).name,))
    held = _held(session, vg)
    opaque = {lv.name for lv in vg.lvs if any(segment.is_opaque for segment in lv.segments)}
    within_opaque = _with_parts(vg, opaque)
    skipped: dict[str, str] = {}
    for lv in vg.lvs:
        if lv.name not in meant or not _is_on(lv, source):
            continue
        name = f"{printable(vg.name)}/{printable(lv.name)}"
        if "PVMOVE" in lv.status:
            raise RefusedError(f"Detected pvmove in progress for {path}: finish or abort it with lvm2's pvmove")
        if "LOCKED" in lv.status:
            skipped[lv.name] = f"Skipping locked LV {name}."
        elif lv.name in held:
            skipped[lv.name] = f"Skipping LV {name} which is active; deactivate it first: cryptlv lvchange -an"
        elif lv.name in opaque:
            kind = next(segment.shown_type for segment in lv.segments if segment.is_opaque)
            skipped[lv.name] = f"Skipping LV {name} of type {printable(kind)}, which only lvm2's pvmove moves."
        elif lv.name in within_opaque:
            skipped[lv.name] = f"Skipping LV {name}, part of a volume that only lvm2's pvmove moves."
    pieces = find_pieces(vg, source, lambda lv: lv.name in meant and lv.name not in skipped)
    return pieces, tuple(skipped.values())


def _is_on(lv: LogicalVolume, source: Place) -> bool:
    """Whether a volume has extents in the ranges of a PV."""
    return any(
        pv_id == source.pv_id and start < first + count and first < start + length
        for segment in lv.segments
        for pv_id, start, length in segment.footprint()
        for first, count in source.ranges
    )


def _run(session: Session, group: Group, move: Move) -> CopyRun:
    """The bytes of a move, from where to where."""
    vg, piece = group.vg, move.piece
    size = vg.extent_size_bytes
    starts = {pv.id: pv.pe_start_sectors * SECTOR_SIZE for pv in vg.pvs}
    return CopyRun(
        source=session.device(group.pv_paths[piece.source.pv_id], writable=True),
        source_bytes=starts[piece.source.pv_id] + piece.source.start_pe * size + piece.offset_sectors * SECTOR_SIZE,
        target=session.device(group.pv_paths[move.target.pv_id], writable=True),
        target_bytes=starts[move.target.pv_id] + move.target.start_pe * size,
        length_bytes=piece.length_pe * size,
    )


def _check_copy(run: CopyRun, name: str) -> None:
    """Read a copied keystore back; raises KeystoreError when it is not what it was."""
    for start in range(0, run.length_bytes, BLOCK_BYTES):
        length = min(BLOCK_BYTES, run.length_bytes - start)
        if run.source.read(run.source_bytes + start, length) != run.target.read(run.target_bytes + start, length):
            raise KeystoreError(
                f"{run.target.path}: the copy of the keystore {printable(name)} does not read back; it is not moved"
            )


def _describe(group: Group, move: Move) -> str:
    piece, paths = move.piece, group.pv_paths
    name = f"{printable(group.vg.name)}/{printable(piece.lv_name)}"
    last = piece.length_pe - 1
    places = [f"{paths[area.pv_id]}:{area.start_pe}-{area.start_pe + last}" for area in (piece.source, move.target)]
    return f"{piece.length_pe} extents of logical volume {name} from {places[0]} to {places[1]}"
