"""spectroscope: which spatial frequencies a vision model relies on, and which ones attacks strike."""

__version__ = "0.6.0"
