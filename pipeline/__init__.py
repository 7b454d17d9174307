"""The night: the lake, and one short stage function a step (read, call, write, log)."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reports its use to its makers by default
