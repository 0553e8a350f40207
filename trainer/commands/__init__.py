"""The command `trainer`, and its sub-commands, one file each: parse, call, print.

What a command needs beside click is imported when it is called, so that `--help` answers at once.
"""

from __future__ import annotations

from datatools.commands import CommandGroup

COMMANDS = ("run", "embed", "sweep", "report", "audit", "apply", "relabel", "estimate-noise", "list")

main = CommandGroup(
    "trainer",
    COMMANDS,
    """Train image classifiers on noisy labels: SELFIE and its baselines.

    \b
    trainer run selfie                         on the only noisy dataset under data/
    trainer run default --preset quick         a small network and few epochs, for a CPU
    trainer embed --data data/my_photos        pretrained features, to train on in minutes on a CPU
    trainer list                               methods and networks, with papers and sizes
    """,
)
