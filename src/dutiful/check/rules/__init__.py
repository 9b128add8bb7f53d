"""The rules as code, by what they look at; the words are in the catalogue."""
