"""HTTP: one file for each noun, one table of endpoints, one pipeline, and the front before Flask."""
