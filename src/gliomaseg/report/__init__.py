"""Reports for people: HTML pages, charts and terminal tables."""
