"""Keeps AWS credentials and hands out short-lived ones."""

__version__ = "0.1.0"
