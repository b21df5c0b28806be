"""The reference workload: who buys again? From shop purchases to a scored, bundled model.

``scenario`` -> ``quarantine`` -> ``admitted`` -> ``feature_snapshot`` and ``labels`` -> ``model``
-> ``evaluation`` -> ``bundle``. The computation is in pure modules that know neither Dagster nor
a store; :mod:`assets.purchases.definitions` wraps them as assets and gates.

Same manifest, same code, same packages: the same bytes, whatever the number of threads or the hash
seed; weights and report numbers are rounded, so that the vector instructions of another processor
are very unlikely to show. Another release of numpy, scikit-learn, skops or
pyarrow may give other bytes, which is why an attempt records the packages it ran with.
"""
