"""What pages show, as plain models: functions of the store, with nothing of HTTP or HTML in them."""
