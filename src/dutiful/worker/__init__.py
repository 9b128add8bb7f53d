"""Running tasks: claims, threads and loops that run bodies, endings, heartbeats, chores."""
