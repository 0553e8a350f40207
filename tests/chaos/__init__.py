"""Kills, power cuts, full disks and rivals, at every point where they can hurt: `make chaos`.

`faults` lets one of a process's calls go wrong, `children` runs commands in processes that may die, `cases` has what is
run and what has to be there afterwards. Other commands bring cases and tests of their own and share the rest.
"""
