"""What applications need to test themselves against a real PostgreSQL."""
