"""The HTTP calls. A handler reads the request, calls one function of `serving`, and returns its result."""
