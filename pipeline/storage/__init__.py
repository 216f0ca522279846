"""Files of a run folder, on a disk or in an object store: atomic writes, retries, and reading of sources and images."""
