"""Many processes enqueue one duty in the same moment: ``crowd.py URL NUMBER``; a line of JSON for each."""

from __future__ import annotations

import json
import os
import sys
import traceback

from dutiful.engines.urls import open_engine
from tests.contract.stores import new, store


def main(url: str, number: int) -> int:
    reader, writer = os.pipe()
    children = [pid for _ in range(number) if (pid := _child(url, reader, writer))]
    os.close(writer)  # they all see the end of the pipe at once
    ends = [os.waitpid(pid, 0)[1] for pid in children]
    return 0 if ends == [0] * number else 1


def _child(url: str, reader: int, writer: int) -> int:
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.close(writer)
        engine = open_engine(url)
        os.read(reader, 1)
        answer = store(engine.run, new("k"))
        os.write(1, json.dumps([answer.id, answer.duplicate]).encode() + b"\n")
        engine.close()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
