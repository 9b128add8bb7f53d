"""The floors: dutiful's own tables and statements, run by a bare driver in one loop, with no framework.

A floor says what the database costs by itself: it decodes no arguments, runs no task, renews no lease and
waits for nobody. The ratio of dutiful to it is the price of everything else.
"""
