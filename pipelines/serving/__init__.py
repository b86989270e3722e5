"""Code that MLflow keeps beside a model and runs by itself. It imports from `hier` alone, so that moves inside break nothing."""
