// Charts of the metrics screen.
