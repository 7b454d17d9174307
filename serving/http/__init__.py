"""The HTTP application and its processes: routes, keys, limits, metrics, and how a server starts."""
