"""All that this library takes from Dagster and that Dagster does not promise, in one place.

Nothing else in the library imports a private name of Dagster, its webserver or its GraphQL schema.
Each part has a module: what definitions say of themselves (:mod:`.definitions`), what launching
takes (:mod:`.launches`), what running, its events and its storage take (:mod:`.running`), and the
webserver (:mod:`.webserver`). A test shows each of them to mean what is assumed here, so that a new
Dagster that changes one fails there, loudly, and not in somebody's run.
"""
