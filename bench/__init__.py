"""Measures dutiful, its floor (the same SQL without a framework) and its peers, in one run on one machine.

Run it as ``./dev bench``, or as ``python -m bench`` where everything is installed. It is a report and never
a test: a busy machine changes the figures, so read the ratios, and never fail anything because of one.

Where to begin reading: ``measures.py`` (what is measured, against which target), ``subject.py`` (what every
contestant can do), ``run.py`` (the order of things), ``report.py`` (the table).
"""
