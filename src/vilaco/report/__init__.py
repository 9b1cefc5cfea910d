"""Pictures and reports that people read."""
