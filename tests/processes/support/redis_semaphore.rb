# The commands that the gem redis-semaphore (0.3.1) sends, in its order, for tests.
#
# ruby redis_semaphore.rb PORT NAME SLOTS LOG SEED MODE: takes a token, says so in the log, holds it for a while,
# gives it back. MODE "stale" also releases what is taken for longer than 0.3 s, as the gem does with
# stale_client_timeout. Each line of the log is one JSON object, its time that of the server.
require "redis"
require "json"

port, name, slots, log, seed, mode = ARGV
redis = Redis.new(port: port.to_i, reconnect_attempts: 0)
chance = Random.new(seed.to_i)
out = File.open(log, "a")
out.sync = true
key = ->(part) { "SEMAPHORE:#{name}:#{part}" }
now = -> { s, us = redis.time; s + us / 1e6 }
signal = lambda do |token|
  redis.multi do |m|
    m.hdel(key["GRABBED"], token)
    m.lpush(key["AVAILABLE"], token)
  end
end

loop do
  if redis.getset(key["EXISTS"], "1").nil?
    redis.expire(key["EXISTS"], 10)
    redis.multi do |m|
      m.del(key["GRABBED"])
      m.del(key["AVAILABLE"])
      slots.to_i.times { |i| m.rpush(key["AVAILABLE"], i) }
      m.set(key["VERSION"], "1")
      m.persist(key["EXISTS"])
    end
  end
  if mode == "stale" && redis.setnx(key["release_locks"], now[] + 11)
    redis.hgetall(key["GRABBED"]).each { |token, at| signal[token] if at.to_f + 0.3 < now[] }
    redis.del(key["release_locks"])
  end
  _, token = redis.blpop(key["AVAILABLE"], timeout: 1)
  next if token.nil?
  redis.hset(key["GRABBED"], token, now[].to_s)
  out.puts({ who: "ruby #{$$}", token: token, at: now[], what: "took" }.to_json)
  sleep(mode == "stale" && chance.rand < 0.3 ? 0.5 : chance.rand * 0.02)
  out.puts({ who: "ruby #{$$}", token: token, at: now[], what: "gives" }.to_json)
  signal[token]
end
