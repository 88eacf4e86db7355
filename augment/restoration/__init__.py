"""Repair and enlarge images with any model that encodes and decodes them."""
