"""Storage for named objects that are created once: the port and its implementations."""
