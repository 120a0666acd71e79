"""One pure function per API call, one file per noun: arguments in, an `Operation` out, nothing sent."""
