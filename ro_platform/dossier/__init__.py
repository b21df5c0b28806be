"""One file that a third party verifies: seal, export, verify, show."""
