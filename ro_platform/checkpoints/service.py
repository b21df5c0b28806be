"""Issuing checkpoints of a ledger, handing them to witnesses, and reading back what was kept.

Our own are in the artifact store, ``checkpoints/<origin>/<size>.note``, created once. A witness
gets every one that it lacks, in order; one that fails keeps neither the others waiting nor its
place: what it lacks is found by asking it, so nothing is remembered here that could be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from ro_platform import errors
from ro_platform.artifacts.backends.base import BlobBackend
from ro_platform.checkpoints.notes import (
    Checkpoint,
    SignedCheckpoint,
    checked_origin,
    name_of,
    size_in,
)
from ro_platform.checkpoints.witnesses.addresses import witness_at
from ro_platform.checkpoints.witnesses.base import Witness
from ro_platform.checkpoints.witnesses.local import CommandWitness, StoreWitness
from ro_platform.kernel.clock import Clock, utc_text
from ro_platform.kernel.signing import SigningKey, VerifierKey
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.verification import Kept

SHELF = "checkpoints/"
STORE = "the artifact store"


def _nobody() -> tuple[VerifierKey, ...]:
    return ()


@dataclass(frozen=True)
class CheckpointPolicy:
    """What the log is called, who witnesses it (addresses), and whose signatures are believed."""

    origin: str = "ro-platform/local"
    witnesses: tuple[str, ...] = ()
    trusted: Callable[[], tuple[VerifierKey, ...]] = _nobody


@dataclass(frozen=True, slots=True)
class Holding:
    """What one place has of this log: sizes, ascending; or why it cannot say."""

    place: str
    sizes: tuple[int, ...] = ()
    error: errors.RunOperateError | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a witness was given now, what it still lacks, and why."""

    witness: str
    delivered: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()
    error: errors.RunOperateError | None = None


@dataclass(slots=True)
class _Said:
    """Who says that the log had that root at that size."""

    words: str
    places: list[str] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one ledger."""

    def __init__(
        self, objects: BlobBackend, ledger: Ledger, clock: Clock, policy: CheckpointPolicy
    ) -> None:
        self.policy = policy
        self._objects = objects
        self._ledger = ledger
        self._clock = clock
        self._shelf = StoreWitness(STORE, objects, SHELF)

    @property
    def origin(self) -> str:
        """The name of the log. Raises :class:`SettingsError` for one that cannot be."""
        return checked_origin(self.policy.origin)

    def witnesses(self) -> list[Witness]:
        """The configured witnesses. Raises :class:`SettingsError` for a bad address."""
        return [witness_at(address, self._objects) for address in self.policy.witnesses]

    def latest(self, trusted: Sequence[VerifierKey] | None = None) -> SignedCheckpoint | None:
        """Our newest checkpoint. Raises :class:`CheckpointRefusedError` if it is not genuine."""
        sizes = self._sizes(self._shelf)
        return self._open(self._shelf, sizes[-1], trusted) if sizes else None

    def due(self, every: int) -> bool:
        """Whether at least that many entries (or the first) came since the last checkpoint."""
        sizes, size = self._sizes(self._shelf), self._ledger.size()
        return size - sizes[-1] >= every if sizes else size > 0

    def issue(self, key: SigningKey) -> SignedCheckpoint:
        """Sign the ledger's present size and root, and keep it in the store.

        A ledger that has not grown gets the checkpoint that it has. Raises
        :class:`CheckpointRefusedError`, and signs nothing, if the ledger does not extend our last
        checkpoint and the last that each witness can show; :class:`InvalidInputError` for an empty
        one. A crash leaves the checkpoint in the store or not; witnesses get it next time.
        """
        trusted = (*self.policy.trusted(), key.verifier)
        size = self._ledger.size()
        root = self._ledger.root(size)
        last = self.latest(trusted)
        for held in [last, *self._newest_at_witnesses(trusted)]:
            if held:
                self._require_extends(held, size, root)
        if last and last.checkpoint.size == size:
            return last
        if size == 0:
            raise errors.InvalidInputError(
                "The ledger is empty: there is nothing to sign yet.",
                next_step="Sign the first checkpoint after the first entry.",
            )
        moment = utc_text(self._clock())
        signed = SignedCheckpoint.sign(Checkpoint.at(self.origin, size, root, moment), key)
        if self._objects.create(SHELF + signed.name, signed.note):
            return signed
        # Another process was quicker; its moment stands.
        found = self._open(self._shelf, size, trusted)
        self._require_extends(found, size, root)
        return found

    def deliver(self) -> list[Delivery]:
        """Hand every witness what it lacks, in order, and say how each fared."""
        ours = self._sizes(self._shelf)
        return [self._hand_over(witness, ours) for witness in self.witnesses()]

    def holdings(self) -> list[Holding]:
        """What we have and what each witness has."""
        return [self._holding(place) for place in (self._shelf, *self.witnesses())]

    def kept(
        self,
        trusted: Sequence[VerifierKey],
        *,
        files: Sequence[tuple[str, bytes]] = (),
        witnesses: Sequence[Witness] = (),
    ) -> list[Kept]:
        """What the ledger has to extend: our checkpoints, those of the witnesses, and the notes in
        files (each a name for messages, and its bytes).

        Raises :class:`CheckpointRefusedError` for a note that is not genuine, ours and a witness's
        too, and the witnesses' own errors.
        """
        said: dict[tuple[int, bytes], _Said] = {}
        for place, signed in self._all(trusted, files, witnesses):
            at = (signed.checkpoint.size, signed.checkpoint.root)
            said.setdefault(at, _Said(signed.words())).places.append(place)
        return [
            Kept(size, root, f"{one.words} ({', '.join(one.places)})")
            for (size, root), one in sorted(said.items())
        ]

    def cosigned(self, size: int) -> bytes:
        """Our note of that size with the signature lines that witnesses answered. Unverified."""
        name = name_of(self.origin, size)
        lines = [
            witness.cosignatures(name)
            for witness in self.witnesses()
            if isinstance(witness, CommandWitness)
        ]
        return self._shelf.read(name) + b"".join(lines)

    def _all(
        self,
        trusted: Sequence[VerifierKey],
        files: Sequence[tuple[str, bytes]],
        witnesses: Sequence[Witness],
    ) -> Iterator[tuple[str, SignedCheckpoint]]:
        for name, note in files:
            yield name, self._opened(name, note, trusted)
        for place in (self._shelf, *witnesses):
            for size in self._sizes(place) if place.readable else ():
                yield place.label, self._open(place, size, trusted)

    def _hand_over(self, witness: Witness, ours: Sequence[int]) -> Delivery:
        missing, delivered = list(ours), list[int]()
        try:
            held = set(self._sizes(witness))
            missing = [size for size in ours if size not in held]
            while missing:
                name = name_of(self.origin, missing[0])
                witness.keep(name, self._shelf.read(name))
                delivered.append(missing.pop(0))
        except errors.RunOperateError as error:
            return Delivery(witness.label, tuple(delivered), tuple(missing), error)
        return Delivery(witness.label, tuple(delivered))

    def _holding(self, place: Witness) -> Holding:
        try:
            return Holding(place.label, tuple(self._sizes(place)))
        except errors.RunOperateError as error:
            return Holding(place.label, error=error)

    def _newest_at_witnesses(
        self, trusted: Sequence[VerifierKey]
    ) -> Iterator[SignedCheckpoint | None]:
        """The last that each witness can show; one that does not answer now is not waited for."""
        for witness in self.witnesses():
            holding = self._holding(witness)
            if witness.readable and holding.sizes:
                try:
                    yield self._open(witness, holding.sizes[-1], trusted)
                except errors.CheckpointRefusedError:
                    raise
                except errors.RunOperateError:
                    yield None

    def _require_extends(self, held: SignedCheckpoint, size: int, root: bytes) -> None:
        old = held.checkpoint
        why = ""
        if old.size > size:
            why = f"it has {size} entries now"
        elif self._ledger.root(old.size) != old.root:
            why = f"its first {old.size} entries have another root now"
        elif not self._ledger.consistency_proof(old.size, size).verify(old.root, root):
            why = "no proof leads from there to its present root"
        if why:
            raise errors.CheckpointRefusedError(
                f"The ledger does not extend the {held.words()} that was signed before: {why}.",
                next_step="Nothing was signed. Run `ro ledger verify` and keep the ledger's files.",
                size=old.size,
            )

    def _sizes(self, place: Witness) -> list[int]:
        origin = self.origin
        sizes = (size_in(name, origin) for name in place.names(origin))
        return sorted(size for size in sizes if size is not None)

    def _open(
        self, place: Witness, size: int, trusted: Sequence[VerifierKey] | None
    ) -> SignedCheckpoint:
        keys = self.policy.trusted() if trusted is None else trusted
        name = name_of(self.origin, size)
        signed = self._opened(f"{name} in {place.label}", place.read(name), keys)
        if signed.checkpoint.size != size:
            raise errors.CheckpointRefusedError(
                f"The checkpoint {name} in {place.label} is of size {signed.checkpoint.size}.",
                next_step="Somebody moved it: keep it as evidence.",
            )
        return signed

    def _opened(self, where: str, note: bytes, trusted: Sequence[VerifierKey]) -> SignedCheckpoint:
        try:
            return SignedCheckpoint.open(note, trusted, self.origin)
        except errors.CheckpointRefusedError as error:
            raise errors.CheckpointRefusedError(
                f"{where}: {error.message}", next_step=error.next_step, where=where
            ) from None
