"""Advice: what a version is like in other settings, measured on this machine, and which of them to take."""
