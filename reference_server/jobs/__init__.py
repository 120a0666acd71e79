"""Long work: queued in the store, run by a process of its own, resumed or honestly ended after a crash."""
