"""Records to features: sources, templates, preprocessors and the feature converter."""
