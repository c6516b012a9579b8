"""Own estimators, a module each: see docs/estimators.md."""
