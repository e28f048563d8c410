"""The page and the REST API: `gliomaseg serve`."""
