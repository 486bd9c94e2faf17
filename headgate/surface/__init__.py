"""What clients speak to, by the catalog alone. Never imports the engine."""
