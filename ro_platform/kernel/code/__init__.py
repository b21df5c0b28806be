"""What a function depends on, as a listing that is the same on every machine, and its digest.

:func:`~ro_platform.kernel.code.listing.listing_of` walks from a function to all that it reads of
its own code: syntax, closure cells, defaults, constants, classes, helpers. Code of other
distributions is named with its version. What has no canonical form is refused, by name.
"""
