"""Data sets: one record for every format, and what is done with records."""
