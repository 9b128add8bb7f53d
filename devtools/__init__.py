"""What `./dev`, the tests and the benchmark stand on: environments, servers, and the plan of a test run.

Standard library only, except where a function says otherwise. Not shipped in the wheel.
"""
