"""Configuration: the deployment's settings, and the versioned configs that runs pin."""
