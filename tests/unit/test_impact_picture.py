"""The picture of a blast radius: well-formed, the same bytes each time, and nothing lost."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ro_platform.cli.gate.picture import layers_of, picture
from ro_platform.gates.impact import Impact, ImpactedArtifact, Origin
from tests.unit.small_world import SmallWorld

SVG = "{http://www.w3.org/2000/svg}"
NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])


def item(asset: str, number: int, *because: str, bundle: bool = False) -> ImpactedArtifact:
    return ImpactedArtifact(
        asset=asset,
        fingerprint=f"{number:064x}",
        ref=ref(asset, number),
        digest="d" * 64,
        depth=1,
        because=because,
        bundle=bundle,
        run_id=None,
        dagster_run_id=None,
        made_seq=number,
    )


def ref(asset: str, number: int) -> str:
    return f"refs/{asset}/fingerprint={number:064x}/rev=000001.json"


def drawn(impact: Impact) -> ElementTree.Element:
    return ElementTree.fromstring(picture(impact))


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_the_picture_shows_assets_counts_and_marks() -> None:
    """Each asset once, the origin and bundles by their looks, each edge with its count."""
    world = SmallWorld()
    raw = world.made("raw")
    for number in range(3):
        clean = world.made("clean", raw, under=world.register(f"m{number}"))
    world.made("report", clean, raw, bundle=True)
    root = drawn(world.plane.revocations.impact(raw))
    assert root.get("role") == "img"
    said = texts(root)
    for words in ("raw", "origin", "clean", "3 artifacts, 3 manifests", "report", "1 bundle", "3"):
        assert words in said
    looks = [element.get("class") for element in root.iter(f"{SVG}rect")]
    assert sorted(filter(None, looks)) == ["box", "bundle", "ground", "origin"]
    assert len([path for path in root.iter(f"{SVG}path") if path.get("class") == "edge"]) == 3
    description = root.find(f"{SVG}desc")
    assert description is not None
    assert "raw went into clean 3 times" in (description.text or "")


def test_the_same_radius_is_the_same_bytes() -> None:
    """Whatever the order in which its artifacts are given."""
    origin = Origin("a", "0" * 64, "d" * 64, (ref("a", 0),))
    items = [item("b", 1, ref("a", 0)), item("c", 1, ref("a", 0), ref("b", 1))]
    assert picture(Impact(origin, tuple(items))) == picture(Impact(origin, tuple(items[::-1])))


def test_texts_are_escaped() -> None:
    """No contract lets such a name in; the picture does not rely on it."""
    origin = Origin("<script>&", "0" * 64, "d" * 64, ())
    assert "<script>&" in texts(drawn(Impact(origin, ())))


def test_a_radius_of_nothing_is_drawn_as_its_origin() -> None:
    """It says so in words."""
    root = drawn(Impact(Origin("alone", "0" * 64, "d" * 64, ()), ()))
    assert "0 artifacts of 0 assets" in texts(root)
    description = root.find(f"{SVG}desc")
    assert description is not None
    assert "Nothing was made from it" in (description.text or "")


def test_layers_are_the_longest_ways() -> None:
    """An edge over several layers does not draw its end nearer."""
    edges = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")}
    assert layers_of("a", edges) == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_a_circle_of_assets_is_drawn() -> None:
    """Under another manifest an asset may be made from what was made of it."""
    edges = {("a", "b"), ("b", "a"), ("b", "b"), ("b", "c"), ("c", "b")}
    assert layers_of("a", edges) == {"a": 0, "b": 1, "c": 2}
    origin = Origin("a", "0" * 64, "d" * 64, (ref("a", 0),))
    items = (item("b", 1, ref("a", 0)), item("a", 2, ref("b", 1)), item("b", 3, ref("a", 2)))
    assert texts(drawn(Impact(origin, items))).count("b") == 1


@given(edges=st.sets(st.tuples(NAMES, NAMES)))
def test_any_graph_has_layers_and_a_picture(edges: set[tuple[str, str]]) -> None:
    """Every asset that the origin reaches has one layer, and without circles each edge goes on."""
    reached = {"a"}
    while more := {made for used, made in edges if used in reached} - reached:
        reached |= more
    mine = {edge for edge in edges if edge[0] in reached}
    layers = layers_of("a", mine)
    assert layers.keys() == reached
    assert [name for name, layer in layers.items() if layer == 0] == ["a"]
    forward = {(used, made) for used, made in edges if used < made}
    for used, made in forward:
        sorted_layers = layers_of("a", {edge for edge in forward if edge[0] in reached})
        if used in sorted_layers and made in sorted_layers:
            assert sorted_layers[used] < sorted_layers[made]
    items = tuple(
        item(name, 1, *(ref(used, 1) for used, made in sorted(mine) if made == name))
        for name in sorted(reached - {"a"} | {made for _, made in mine})
    )
    root = drawn(Impact(Origin("a", f"{1:064x}", "d" * 64, (ref("a", 1),)), items))
    assert reached <= set(texts(root))
