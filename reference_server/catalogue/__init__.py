"""A short list of real models that `maas-server models add` publishes, each made from pinned downloads."""
