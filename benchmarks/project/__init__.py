"""The Django project that the systems for Django are installed in."""
