"""A run from start to end: the loop, its checkpoint, what a resume may not differ in, and what ends it early."""
