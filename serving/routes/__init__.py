"""The HTTP calls, a module each. Handlers ask, and answer; what they ask lives beside this folder."""
