"""tastefeed: every night, what people saved, clicked and did in their sessions becomes a home feed that knows their
taste, and that forgets them the moment they ask."""

__version__ = "0.1.0"
