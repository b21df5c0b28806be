"""For the tests of those who adopt the plane: a whole one, real, in a folder that goes away."""

from ro_platform.testing.ephemeral import EphemeralPlane, ephemeral_plane

__all__ = ["EphemeralPlane", "ephemeral_plane"]
