"""Source -> pairs: plan the parts and read the source's rows."""
