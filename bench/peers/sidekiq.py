"""Sidekiq (Debian's ``ruby-sidekiq``) on Redis: one process, 10 threads (its default), Ruby's JIT on.

A second process would make it nearly twice as fast, but every system is measured with one. It is the free
edition: a job leaves Redis when a thread takes it, so that a kill -9 loses it, at any setting. What a thread
has taken is not asked after: a drain ends when the list is empty and all bodies have begun. ``push_bulk`` is
its bulk interface. The producer is a Ruby process that is told over a pipe what to store; a start latency
has that pipe in it.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from redis import Redis

from bench.driven import WARM, Driven
from bench.marks import MARKS_VARIABLE
from bench.subject import URL_VARIABLE

THREADS = "10"
JOBS = f"""\
require "sidekiq"

$stdout.sync = true
Sidekiq.configure_client {{ |config| config.redis = {{ url: ENV.fetch("{URL_VARIABLE}") }} }}
Sidekiq.configure_server {{ |config| config.redis = {{ url: ENV.fetch("{URL_VARIABLE}") }} }}
Sidekiq.logger.level = Logger::ERROR

class Noop
  include Sidekiq::Worker

  def self.marks
    @marks ||= File.open(ENV.fetch("{MARKS_VARIABLE}"), "r+b")
  end

  def perform(index)
    self.class.marks.pwrite([Process.clock_gettime(Process::CLOCK_MONOTONIC)].pack("d"), 8 * index)
  end
end
"""
PRODUCER = """\
require_relative "jobs"

while (line = $stdin.gets)
  how, first, count = line.split
  indexes = first.to_i...(first.to_i + count.to_i)
  if how == "bulk"
    Sidekiq::Client.push_bulk("class" => Noop, "args" => indexes.map { |index| [index] })
  else
    indexes.each { |index| Noop.perform_async(index) }
  end
  puts "done"
end
"""


class Peer(Driven):
    name = "sidekiq"
    store = "redis"
    rates = {"enqueue_one": 4_000, "enqueue_bulk": 20_000, "drain": 7_000}

    def prepare(self) -> None:
        self.redis = Redis.from_url(self.place.url)
        self.folder = Path(self.place.folder)
        (self.folder / "jobs.rb").write_text(JOBS)
        (self.folder / "producer.rb").write_text(PRODUCER)
        self.producer = subprocess.Popen(
            [*ruby(), str(self.folder / "producer.rb")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def enqueue_one(self, jobs: int) -> float:
        self._tell("each", 0, WARM)
        began = time.perf_counter()
        self._tell("each", 0, jobs)
        return time.perf_counter() - began

    def enqueue(self, index: int) -> None:
        self._tell("each", index, 1)

    def enqueue_many(self, indexes: Sequence[int]) -> None:
        self._tell("bulk", indexes[0], len(indexes))

    def has_open_jobs(self) -> bool:
        return bool(self.redis.llen("queue:default"))

    def worker(self) -> Sequence[str]:
        program = shutil.which("sidekiq") or "sidekiq"
        return [*ruby(), program, "-q", "default", "-c", THREADS, "-r", str(self.folder / "jobs.rb")]

    def _tell(self, how: str, first: int, count: int) -> None:
        assert self.producer.stdin and self.producer.stdout
        self.producer.stdin.write(f"{how} {first} {count}\n")
        self.producer.stdin.flush()
        answer = self.producer.stdout.readline()
        assert answer == "done\n", f"the producer ended: {answer}"


def ruby() -> list[str]:
    """Ruby with its JIT, where it was built with one."""
    found = shutil.which("ruby") or "ruby"
    has_jit = subprocess.run([found, "--yjit", "-e", ""], capture_output=True).returncode == 0
    return [found, "--yjit"] if has_jit else [found]
