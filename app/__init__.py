"""The page. Imports ``hcl_core``, never the other way round; loads no model library before the first live run."""
