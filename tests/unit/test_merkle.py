"""Merkle trees: the published vectors, the RFC's own recursion, and a second implementation."""

from __future__ import annotations

import json
from pathlib import Path

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ro_platform.kernel.merkle import (
    EMPTY_ROOT,
    Node,
    NodeReader,
    consistency_proof,
    extend,
    fold,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    peaks_of,
    push,
    root_of,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parent / "vectors" / "rfc9162.json").read_text("utf-8"))
CT_LEAVES = [bytes.fromhex(text) for text in VECTORS["leaves"]]
CT_ROOTS = [bytes.fromhex(text) for text in VECTORS["roots"]]


def reader(leaves: list[bytes]) -> NodeReader:
    """Complete subtrees over leaf data, computed on demand."""

    def read(level: int, offset: int) -> bytes:
        return mth(leaves[offset << level : (offset + 1) << level])

    return read


def mth(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(mth(leaves[:split]), mth(leaves[split:]))


def numbered(count: int) -> list[bytes]:
    """That many different leaves."""
    return [str(number).encode() for number in range(count)]


SIZES = st.integers(1, 200)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    """The eight-leaf vectors, at every size, by peaks read and by peaks pushed."""
    read = reader(CT_LEAVES)
    assert root_of(peaks_of(size, read)) == CT_ROOTS[size]
    peaks: list[Node] = []
    for leaf in CT_LEAVES[:size]:
        list(push(peaks, leaf_hash(leaf)))
    assert root_of(peaks) == CT_ROOTS[size]


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_paths_are_those_of_certificate_transparency(case: dict[str, object]) -> None:
    """Path and verification of the published inclusion cases."""
    index, size, path = case["index"], case["size"], case["path"]
    assert isinstance(index, int)
    assert isinstance(size, int)
    proof = inclusion_proof(index, size, reader(CT_LEAVES))
    assert [step.hex() for step in proof] == path
    assert verify_inclusion(leaf_hash(CT_LEAVES[index]), index, size, proof, CT_ROOTS[size])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_paths_are_those_of_certificate_transparency(case: dict[str, object]) -> None:
    """Path and verification of the published consistency cases."""
    old, new, path = case["old"], case["new"], case["path"]
    assert isinstance(old, int)
    assert isinstance(new, int)
    proof = consistency_proof(old, new, reader(CT_LEAVES))
    assert [step.hex() for step in proof] == path
    assert verify_consistency(old, new, CT_ROOTS[old], CT_ROOTS[new], proof)


@given(SIZES)
def test_pushing_leaves_completes_each_subtree_once_and_gives_the_same_peaks(size: int) -> None:
    """The appender's peaks equal the reader's; every completed subtree is named with its hash."""
    leaves, peaks, completed = numbered(size), list[Node](), list[Node]()
    for leaf in leaves:
        completed += push(peaks, leaf_hash(leaf))
    read = reader(leaves)
    assert peaks == peaks_of(size, read)
    assert root_of(peaks) == mth(leaves)
    assert all(node.hash == read(node.level, node.offset) for node in completed)
    places = [(node.level, node.offset) for node in completed]
    assert len(set(places)) == len(places) == sum(size >> level for level in range(9))


@given(st.lists(st.integers(0, 70), max_size=6))
def test_extending_by_many_leaves_is_pushing_each(counts: list[int]) -> None:
    """The same peaks, and the same subtrees completed, however the leaves are divided."""
    pushed, extended = list[Node](), list[Node]()
    leaves = iter(leaf_hashes(numbered(sum(counts))))
    for count in counts:
        some = [next(leaves) for _ in range(count)]
        each = [node for leaf in some for node in push(pushed, leaf)]
        rows = [
            Node(level, offset + number, hashed)
            for level, offset, hashes in extend(extended, some)
            for number, hashed in enumerate(hashes)
        ]
        assert extended == pushed
        assert rows == sorted(each)


def test_leaf_hashes_are_each_a_leaf_hash() -> None:
    """In their order."""
    assert leaf_hashes(numbered(9)) == [leaf_hash(leaf) for leaf in numbered(9)]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40))
def test_folding_a_row_of_leaf_hashes_gives_the_root(leaves: list[bytes]) -> None:
    """``fold`` is MTH over hashes, for any number of them."""
    assert fold([leaf_hash(leaf) for leaf in leaves]) == mth(leaves)


@given(SIZES, st.data())
def test_every_inclusion_proof_verifies_and_any_altered_one_fails(
    size: int, data: st.DataObject
) -> None:
    """For any leaf of any tree; altered in one bit, one step, the index, the size, leaf or root."""
    index = data.draw(st.integers(0, size - 1))
    leaves = numbered(size)
    leaf, root = leaf_hash(leaves[index]), mth(leaves)
    proof = inclusion_proof(index, size, reader(leaves))
    assert verify_inclusion(leaf, index, size, proof, root)
    for changed in _altered(proof, data):
        assert not verify_inclusion(leaf, index, size, changed, root)
    assert not verify_inclusion(_flipped(leaf, 3), index, size, proof, root)
    assert not verify_inclusion(leaf, index, size, proof, _flipped(root, 5))
    other = data.draw(st.integers(-2, size + 2).filter(lambda place: place != index))
    assert not verify_inclusion(leaf, other, size, proof, root)


@given(st.integers(0, 120), st.integers(0, 120), st.data())
def test_every_consistency_proof_verifies_and_any_altered_one_fails(
    one: int, other: int, data: st.DataObject
) -> None:
    """For any two sizes; altered in one bit, one step, or either root."""
    old, new = sorted((one, other))
    leaves = numbered(new)
    old_root, new_root = mth(leaves[:old]), mth(leaves)
    proof = consistency_proof(old, new, reader(leaves))
    assert verify_consistency(old, new, old_root, new_root, proof)
    for changed in _altered(proof, data):
        assert not verify_consistency(old, new, old_root, new_root, changed)
    assert not verify_consistency(old, new, _flipped(old_root, 1), new_root, proof)
    if old:
        assert not verify_consistency(old, new, old_root, _flipped(new_root, 2), proof)


@given(st.integers(2, 120), st.data())
def test_a_rewritten_past_has_no_consistency_proof(new: int, data: st.DataObject) -> None:
    """A tree in which an old leaf differs cannot be shown to extend the old one."""
    old = data.draw(st.integers(1, new - 1))
    leaves = numbered(new)
    rewritten = [*leaves]
    rewritten[data.draw(st.integers(0, old - 1))] = b"rewritten"
    proof = consistency_proof(old, new, reader(rewritten))
    assert not verify_consistency(old, new, mth(leaves[:old]), mth(rewritten), proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_there_is_no_proof_for_a_leaf_outside_the_tree(index: int, size: int) -> None:
    """An index beyond the tree is an error, not a proof of something else."""
    with pytest.raises(IndexError):
        inclusion_proof(index, size, reader(numbered(5)))


def test_there_is_no_consistency_from_a_larger_tree() -> None:
    """A log cannot have shrunk."""
    with pytest.raises(IndexError):
        consistency_proof(4, 3, reader(numbered(5)))


@given(SIZES, st.data())
def test_another_implementation_agrees(size: int, data: st.DataObject) -> None:
    """pymerkle has our roots and our inclusion paths (behind the leaf), and its own consistency
    proofs, which are laid out otherwise, hold between our roots."""
    leaves = numbered(size)
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        tree.append_entry(leaf)
    read, index = reader(leaves), data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    assert tree.get_root() == root_of(peaks_of(size, read))
    assert tree.prove_inclusion(index + 1).path[1:] == inclusion_proof(index, size, read)
    pymerkle.verify_consistency(mth(leaves[:old]), mth(leaves), tree.prove_consistency(old, size))


def _altered(proof: list[bytes], data: st.DataObject) -> list[list[bytes]]:
    longer = [*proof, b"\x00" * 32]
    if not proof:
        return [longer]
    place = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    flipped = [*proof]
    flipped[place] = _flipped(proof[place], bit)
    return [longer, flipped, proof[:place] + proof[place + 1 :], proof[:-1]]


def _flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ (1 << bit)).to_bytes(32, "big")
