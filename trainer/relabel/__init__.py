"""From a finished run to its suspects: which labels are probably wrong, and what they should be called.

`evidence` reads the run, `scoring` turns what it remembers of each sample into a suspicion, `against_truth` measures
that where the clean labels are known, `corrected` writes the new dataset, `page` and `output` the rest. docs/relabel.md
"""
