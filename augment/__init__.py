"""Generators, their data, training, sampling and bundles; plain torch, no Ray."""
