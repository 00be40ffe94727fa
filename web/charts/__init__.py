"""Charts as SVG, made here from numbers. Each is hidden from screen readers or has a title; the page says the same in words or a table."""
