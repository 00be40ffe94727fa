"""Language models behind one Protocol: what is asked, what comes back, what it cost."""
