"""What a user's code holds: the app, its tasks, handles to jobs, and the run that a body is given."""
