"""Runs models: execution providers, sessions, tasks, the pool of loaded models, the probe of new ones."""
