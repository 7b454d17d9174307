-- the database tastefeed, of the stores, exists already
CREATE DATABASE airflow;
CREATE DATABASE mlflow;
