"""Gates: verdicts bound to exact bytes, and the guard that lets nothing past without them."""
