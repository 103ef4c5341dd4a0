"""Faces of other libraries over this one, so that only the import line of a project changes."""
