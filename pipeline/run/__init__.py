"""The state of a run folder: plan, commit records, fingerprints, lock; and the runner that brings it up to date."""
