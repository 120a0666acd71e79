"""The web console: pages rendered here, over the same endpoints as the API; no rule of the service is in it."""
