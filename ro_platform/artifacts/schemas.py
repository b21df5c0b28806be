"""Fields of an Arrow schema in one form: what Arrow takes for equal is written in equal bytes.

Metadata has an order, and the elements of a list a name, which no comparison of two fields sees.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def sorted_field(field: pa.Field) -> pa.Field:
    """The field with its metadata, at every depth, sorted, and Arrow's own names inside lists."""
    kind = _sorted_type(field.type)
    metadata = dict(sorted((field.metadata or {}).items())) or None
    if kind is field.type and _order(field) == (metadata and list(metadata)):
        return field
    return pa.field(field.name, kind, nullable=field.nullable, metadata=metadata)


def same_field_metadata(one: pa.Field, other: pa.Field) -> bool:
    """Whether two fields of one type have the same metadata at every depth."""
    if (one.metadata or {}) != (other.metadata or {}):
        return False
    pairs = zip(_children(one.type), _children(other.type), strict=True)
    return all(same_field_metadata(*pair) for pair in pairs)


def _sorted_type(kind: pa.DataType) -> pa.DataType:
    """The type with sorted fields; the very same object if it has them already."""
    children = _children(kind)
    fields = [sorted_field(child) for child in children]
    remade: Any = None
    if pa.types.is_struct(kind):
        remade = pa.struct(fields)
    elif pa.types.is_map(kind):
        fields = [fields[0].with_name("key"), fields[1].with_name("value")]
        remade = pa.map_(*fields, keys_sorted=kind.keys_sorted)
    elif fields:
        fields = [fields[0].with_name("item")]
        remade = _list_like(kind, fields[0])
    # A map's entries have a name too, which only its text shows.
    same = remade is None or (
        str(kind) == str(remade)
        and all(
            field is child
            or (field.equals(child, check_metadata=True) and _order(field) == _order(child))
            for field, child in zip(fields, children, strict=True)
        )
    )
    return kind if same else remade


def _list_like(kind: pa.DataType, item: pa.Field) -> pa.DataType | None:
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(item, kind.list_size)
    made = {
        pa.types.is_list: pa.list_,
        pa.types.is_large_list: pa.large_list,
        pa.types.is_list_view: pa.list_view,
        pa.types.is_large_list_view: pa.large_list_view,
    }
    return next((make(item) for is_kind, make in made.items() if is_kind(kind)), None)


def _order(field: pa.Field) -> list[bytes] | None:
    """The metadata's keys as they are written; None and none are two ways to have no metadata."""
    return None if field.metadata is None else list(field.metadata)


def _children(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_struct(kind):
        return [kind.field(position) for position in range(kind.num_fields)]
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if hasattr(kind, "value_field") and not pa.types.is_dictionary(kind):
        return [kind.value_field]
    return []
