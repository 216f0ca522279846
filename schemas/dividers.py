"""What may stand between the columns of a table of text, by the names that the config has for it."""

DIVIDERS = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|"}
