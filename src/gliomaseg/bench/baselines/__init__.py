"""What people use in our place, in its best ordinary settings. Each file says what it grants itself."""
