"""The lowest layer: what a record looks like, what a config may say, what a reason code means."""
