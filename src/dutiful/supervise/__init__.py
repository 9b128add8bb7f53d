"""Looking after the whole: what a person must know, said only as far as it was checked."""
