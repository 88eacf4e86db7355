"""The HTTP service: Ray Serve in front of generator bundles."""
