"""Baselines that learn from image labels, on the same frozen patch features, in the same trainer as ViLaCo.

Each file names its source and says what of it the frozen features leave standing. A published number of the original,
which trains a backbone of its own, is never the number of the restatement here.
"""
