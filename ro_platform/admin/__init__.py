"""The closed set of administrative actions: each done once, by somebody, with a reason."""
