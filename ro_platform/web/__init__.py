"""The authenticated face of the Dagster UI: the whole webserver behind one door."""
