"""Headgate: the backend for products built on collected data."""

__version__ = "0.1.0"
