"""Common alternatives to gliomaseg in their best ordinary settings. Each file describes its settings."""
