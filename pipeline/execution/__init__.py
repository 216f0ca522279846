"""Where tasks run: in this process, on Ray, or in the ranks of a data-parallel training."""
