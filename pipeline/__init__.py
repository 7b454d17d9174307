"""The lake, one short stage function a step of the night (read, call, write, track), and the command line."""
