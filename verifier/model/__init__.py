"""The performance model: modelled times from counters and data sheets, always labelled `modelled`."""
