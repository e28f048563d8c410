"""What people read: no logic here, only words and tables."""
