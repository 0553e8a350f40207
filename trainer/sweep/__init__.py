"""Many runs as one: a grid of datasets, noise, methods, networks and seeds, each cell an ordinary run directory.

`grid` says which cells there are, `datasets` makes what they train on, `cell` runs one in a process of its own, `local`
and `ray` say where the processes run, `board` shows how far they are, `plan` what they will cost, `loop` drives it all.
"""

from __future__ import annotations

EXECUTORS = {
    "local": "trainer.sweep.local:LocalExecutor",
    "ray": "trainer.sweep.ray:RayExecutor",
}
"""Where cells can run, as "module:class"; loaded when a sweep starts."""
