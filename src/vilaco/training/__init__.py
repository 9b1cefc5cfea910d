"""How the method is trained: recipes, the Lightning module, the feature cache, checkpoints."""
