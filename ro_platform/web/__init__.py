"""The authenticated gateway of the Dagster UI: the whole webserver behind one door."""
