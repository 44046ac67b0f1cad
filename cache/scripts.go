package cache

import "github.com/redis/rueidis"

// A scope in Redis is one key holding "COUNT TOKEN": how many writers are between
// sending a write and knowing its outcome, and a random token that is replaced by
// every write. A missing key is an unknown generation; it is made anew with a
// token that was never used, so an entry stored under an older one stays dead.

// beatScript renews this member's place and says which incarnation is in force.
// It begins a new one when Redis's memory cannot be trusted: it is gone, it is
// from before a restart, a member fell silent (it may have written without telling),
// the list of members was lost, or the caller asks.
//
// KEYS: incarnation, members. ARGV: run id, a new token, member, lease in ms, "1"
// to ask for a new one, the incarnation known. Returns: incarnation, why it is new.
var beatScript = rueidis.NewLuaScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local inc = redis.call('GET', KEYS[1])
local why = ''
if not inc then
  why = 'no incarnation'
elseif ARGV[5] == '1' then
  why = 'asked'
elseif string.sub(inc, 1, #ARGV[1] + 1) ~= ARGV[1] .. '.' then
  why = 'restarted'
elseif #redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, 1) > 0 then
  why = 'a proxy fell silent'
elseif inc == ARGV[6] and not redis.call('ZSCORE', KEYS[2], ARGV[3]) then
  why = 'members lost'
end
if why ~= '' then
  inc = ARGV[1] .. '.' .. ARGV[2]
  redis.call('SET', KEYS[1], inc)
  redis.call('DEL', KEYS[2])
end
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[4]), ARGV[3])
return {inc, why}
`)

// announceScript changes scopes under the incarnation in force, whichever that
// is: mark counts a writer in, bump counts it out and replaces the token, drop
// only counts it out. A writer is counted out where it was counted in.
//
// KEYS: incarnation. ARGV: prefix, mark|bump|drop, a new token, token life in ms,
// then pairs of scope and the incarnation that holds the caller's mark ("" for none).
// Returns: incarnation, "" if there is none (then nothing in Redis is valid).
var announceScript = rueidis.NewLuaScript(`
local inc = redis.call('GET', KEYS[1])
if not inc then return {''} end
for i = 5, #ARGV, 2 do
  local scope, marked = ARGV[i], ARGV[i + 1]
  local key = ARGV[1] .. inc .. ':g:' .. scope
  local n, token = string.match(redis.call('GET', key) or '', '^(%d+) (%S+)$')
  n = tonumber(n or '0')
  if ARGV[2] == 'mark' then
    n = n + 1
  elseif marked == inc and n > 0 then
    n = n - 1
  end
  if ARGV[2] == 'bump' or not token then token = ARGV[3] end
  local value = string.format('%.0f', n) .. ' ' .. token
  local level = string.sub(scope, 1, 1)
  if level == 'a' or level == 'b' then
    redis.call('SET', key, value)
  else
    redis.call('SET', key, value, 'PX', ARGV[4])
  end
end
return {inc}
`)

// ensureScript returns the values of scopes, making those that are missing.
//
// KEYS: incarnation. ARGV: prefix, the incarnation expected, a new token, token
// life in ms, then scopes. Returns: a value for each scope, nothing if another
// incarnation is in force.
var ensureScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {} end
local values = {}
for i = 5, #ARGV do
  local key = ARGV[1] .. ARGV[2] .. ':g:' .. ARGV[i]
  local value = redis.call('GET', key)
  if not value then
    value = '0 ' .. ARGV[3]
    local level = string.sub(ARGV[i], 1, 1)
    if level == 'a' or level == 'b' then
      redis.call('SET', key, value)
    else
      redis.call('SET', key, value, 'PX', ARGV[4])
    end
  end
  values[#values + 1] = value
end
return values
`)
