"""Which labels of a dataset are probably wrong, how many, and what they should be called. docs/relabel.md

`estimation` predicts each sample by a network that has not seen it, `noise_estimate` is the file of what comes out.
From a finished run to its suspects: `evidence` reads the run, `scoring` turns what it remembers of each sample into a
suspicion, `against_truth` measures that where the clean labels are known, `corrected` writes the new dataset, `page`
and `output` the rest.
"""
