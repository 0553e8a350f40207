"""Run directories: `run` opens one, by `config_file`, `result`, `samples` and `weights`; `directory` writes one."""
