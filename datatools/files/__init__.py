"""Files that know nothing of datasets: writing, copying, downloading, archives, and other programs' formats."""
