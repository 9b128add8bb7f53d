"""What each screen shows, as values: one view-model for the page and for its ``.json`` twin."""
