"""The web console: pages over the same endpoints as the API; no rule of the service is in it."""
