"""The lake, one short stage function a step of the night (read, call, write, track), and the command line."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reports its use to its makers by default
