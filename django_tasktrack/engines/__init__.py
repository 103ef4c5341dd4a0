"""How a committed row reaches a process that runs it."""
