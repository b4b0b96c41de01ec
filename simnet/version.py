"""The version, for provenance."""

__version__ = "0.1.0"
