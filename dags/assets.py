"""The tables of the lake as Airflow assets, named after the stages that write them."""

from airflow.sdk import Asset

from pipeline.stages import STAGES

ASSETS = {stage: Asset(name=stage, uri=f"tastefeed://lake/{stage}", group="tastefeed") for stage in STAGES}
