"""One module a system: how it is prepared, and how tasks get into it. Loaded only in its own processes."""
