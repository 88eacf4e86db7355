"""Commands: python -m jobs.NAME; the ones that train or generate at scale use Ray."""
