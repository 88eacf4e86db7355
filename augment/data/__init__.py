"""Labelled images from any source, classical augmentation, drawn and rendered labels."""
