"""A run -> reviews: people judge a drawn sample of boxes and phrases; precision and recall with their intervals.

`population.py` says what is judged, `draw.py` which of it, `journal.py` keeps what people say, and `figures.py` makes
figures of it with the intervals of `estimate.py`. `session.py` is what the page shows and does, `exchange.py` the way
to other tools and back.
"""
