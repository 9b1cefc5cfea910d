"""How well a method finds forgeries: metrics, profiles, ladders, audit and baselines."""
