"""Runs SELFIE and its baselines on the binary batches of `datatools`."""
