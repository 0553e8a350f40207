"""Where JAX keeps the programs it has compiled, so that the next run of the same kind compiles none.

A run's results do not depend on it: a kept program is the one that would be compiled again. It can be deleted at any
time.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import jax

from trainer.config import COMPILATION_CACHE_VARIABLE
from trainer.errors import TrainerError

OFF = "off"


def keep_compiled() -> tuple[str, ...]:
    """Let JAX keep what it compiles in the folder that the environment names, else in the user's cache folder.

    Where JAX itself was told of a folder (JAX_COMPILATION_CACHE_DIR), that stays.

    Returns:
        What the user should know, a line each: nothing, or that the user's cache folder cannot be written.

    Raises:
        TrainerError: the named folder cannot be written.
    """
    named = os.environ.get(COMPILATION_CACHE_VARIABLE)
    if named == OFF or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return ()
    folder = (Path(named) if named else default_folder()) / processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(None, "Permission denied")
    except OSError as error:
        reason = f"{folder}: compiled steps cannot be kept there ({error.strerror or error})"
        if named:
            raise TrainerError(f"{reason}; name another --compilation-cache, or off") from None
        return (f"{reason}, and are compiled anew each time",)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Small programs too: a run's start has hundreds of them
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return ()


def default_folder() -> Path:
    """`selfie-noisy-labels/compiled` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "selfie-noisy-labels" / "compiled"


def processor() -> str:
    """A name for this kind of processor: a program for one may not run on another that shares the user's folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    kind = "\n".join([platform.machine(), platform.processor(), *features])
    return f"{platform.machine()}-{hashlib.sha256(kind.encode()).hexdigest()[:12]}"
