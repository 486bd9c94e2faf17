"""PostgreSQL: embedded or yours. The only door to the driver."""
