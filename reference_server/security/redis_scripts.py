"""What Redis is asked to do, in Lua; see `shared_limits.py`."""

from __future__ import annotations

_NOW = "local time = redis.call('TIME'); local now = tonumber(time[1]) + tonumber(time[2]) / 1e6\n"

# KEYS: buckets. ARGV: how many to take, at most, of each; then rate and burst of each.
# Returns how many were taken, then the level of each before that, as text: Redis cuts fractions off.
TAKE = (
    _NOW
    + """
local most, levels = tonumber(ARGV[1]), {}
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local known = redis.call('HMGET', key, 'level', 'at')
  local level = burst
  if known[1] then
    level = math.min(burst, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) * rate)
  end
  levels[i] = level
  most = math.min(most, math.floor(level))
end
most = math.max(most, 0)
local answer = {most}
for i, key in ipairs(KEYS) do
  local rate, burst = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  redis.call('HSET', key, 'level', tostring(levels[i] - most), 'at', string.format('%.6f', now))
  redis.call('EXPIRE', key, math.ceil(burst / rate) + 60)
  answer[i + 1] = tostring(levels[i])
end
return answer
"""
)

# KEYS: counters. ARGV: rows, then the quota of each. Returns 1 if they were taken, then the counts before.
TAKE_ROWS = """
local rows, fits, counts = tonumber(ARGV[1]), 1, {}
for i, key in ipairs(KEYS) do
  counts[i] = tonumber(redis.call('GET', key) or '0')
  if counts[i] + rows > tonumber(ARGV[i + 1]) then fits = 0 end
end
if fits == 1 then
  for i, key in ipairs(KEYS) do
    redis.call('INCRBY', key, rows)
    redis.call('EXPIRE', key, 172800)
  end
end
return {fits, unpack(counts)}
"""

GIVE_BACK_ROWS = "for i, key in ipairs(KEYS) do redis.call('DECRBY', key, ARGV[1]) end return 1"

# KEYS: tries. ARGV: first, longest and forgotten seconds, then the free tries of each.
BEGIN = (
    _NOW
    + """
local wait, counts = 0, {}
for i, key in ipairs(KEYS) do
  local known = redis.call('HMGET', key, 'count', 'at')
  counts[i] = tonumber(known[1] or '0')
  local over = counts[i] - tonumber(ARGV[i + 3])
  if over >= 0 then
    local delay = math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) * 2 ^ math.min(over, 20))
    wait = math.max(wait, tonumber(known[2] or '0') + delay - now)
  end
end
if wait <= 0 then
  for i, key in ipairs(KEYS) do
    redis.call('HSET', key, 'count', counts[i] + 1, 'at', string.format('%.6f', now))
    redis.call('EXPIRE', key, ARGV[3])
  end
end
return tostring(wait)
"""
)

# KEYS: first those to forget, then those to take one back from. ARGV: how many are to be forgotten.
END = """
for i, key in ipairs(KEYS) do
  if i <= tonumber(ARGV[1]) then redis.call('DEL', key)
  elseif redis.call('EXISTS', key) == 1 then redis.call('HINCRBY', key, 'count', -1) end
end
return 1
"""

KNOWS = "return redis.call('EXISTS', KEYS[1])"
REMEMBER = "redis.call('SET', KEYS[1], 1, 'EX', ARGV[1]) return 1"
