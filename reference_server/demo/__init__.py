"""The demo's models: real data, a real training, two packages."""
