"""Standing here, this file lets tests import the helpers beside it (`search_doubles`, ...)."""
