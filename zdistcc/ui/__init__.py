"""What people see; the only home of rich."""
