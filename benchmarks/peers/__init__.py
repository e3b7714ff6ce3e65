"""What people would use or write instead of this library, as the documentation of each shows it."""
