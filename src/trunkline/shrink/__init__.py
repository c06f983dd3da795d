"""A product made smaller: what it answers with tried in cheaper forms, measured beside the form it has, and the cheapest
that loses little put on the shelf as a new bundle."""
