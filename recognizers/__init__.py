"""Recognizers, what they read back, and the gain that generated images bring them."""
