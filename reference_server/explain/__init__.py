"""Why a model says what it says: attributions, how exact they are, and how far they can be trusted."""
