"""The SDK of Model as a Service."""
