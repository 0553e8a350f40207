"""What is on disk: records, dataset.json, the dataset directory and manifest.h5 (docs/format.md)."""
