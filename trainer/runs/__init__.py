"""Run directories: `directory` writes what is in one, `run` opens it, `weights` gives back its networks."""
