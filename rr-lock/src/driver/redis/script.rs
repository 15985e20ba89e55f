//! The scripts, in Lua: what a method does to one resource, at once. Each begins by reading all that the hash has.

/// A script's own part.
pub(super) struct Script(&'static str);

impl Script {
    /// The whole text.
    pub(super) fn text(&self) -> String {
        format!("{READ}{}", self.0)
    }
}

/// Puts the holders into `held` by field (`id:ID`), removes those whose time is over, and defines what all need. `keep`
/// lets the hash outlive its last lock by an hour.
const READ: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local held, count, last, place = {}, 0, 0, nil
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 'token' then
        last = tonumber(value)
    elseif name == 'place' then
        local call, till = value:match('^(%S+) (%d+)$')
        if tonumber(till) > now then place = call end
    else
        local mode, till, token, call = value:match('^(%a) (%d+) (%d+) (%S+)$')
        till = tonumber(till)
        if till > now then
            held[name] = {mode = mode, till = till, token = token, call = call}
            count = count + 1
        else
            redis.call('HDEL', KEYS[1], name)
        end
    end
end
local function hold(name, lock)
    held[name] = lock
    redis.call('HSET', KEYS[1], name, lock.mode .. ' ' .. whole(lock.till) .. ' ' .. lock.token .. ' ' .. lock.call)
end
local function keep()
    local latest = now
    for _, lock in pairs(held) do latest = math.max(latest, lock.till) end
    redis.call('PEXPIRE', KEYS[1], whole(latest - now + 3600000))
end
local name = ARGV[1] and 'id:' .. ARGV[1]
";

/// id, mode, time to live, call, how long to keep the place: the token, or nothing.
pub(super) const LOCK: Script = Script(
    "
local mode, ttl, call, wait = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local own = held[name]
if own and own.call == call then return own.token end
local free
if own then
    free = own.mode == 'r' and (mode == 'r' or count == 1)
else
    free = not place or place == call
    for _, lock in pairs(held) do
        if mode == 'w' or lock.mode == 'w' then free = false end
    end
end
if not free then
    if wait > 0 and (not place or place == call) then
        redis.call('HSET', KEYS[1], 'place', call .. ' ' .. whole(now + wait))
        keep()
    end
    return false
end
local till, token = now + ttl, nil
if own and mode == 'r' then
    till, token = math.max(till, own.till), own.token
else
    token = whole(math.max(last + 1, time[1] * 1000000 + time[2]))
    redis.call('HSET', KEYS[1], 'token', token)
end
hold(name, {mode = mode, till = till, token = token, call = call})
if place == call then redis.call('HDEL', KEYS[1], 'place') end
keep()
return token
",
);

/// id: whether it had a lock.
pub(super) const RELEASE: Script = Script(
    "
if not held[name] then return 0 end
held[name] = nil
redis.call('HDEL', KEYS[1], name)
keep()
return 1
",
);

/// Whether there were locks.
pub(super) const FORCE: Script = Script(
    "
if count == 0 then return 0 end
for other in pairs(held) do redis.call('HDEL', KEYS[1], other) end
held = {}
keep()
return 1
",
);

/// id, or nothing for anyone: whether there is a lock.
pub(super) const EXISTS: Script = Script(
    "
if ARGV[1] == '' then return count > 0 and 1 or 0 end
return held[name] and 1 or 0
",
);

/// id, time to live: whether it has a lock.
pub(super) const MOVE: Script = Script(
    "
local own = held[name]
if not own then return 0 end
own.till = now + tonumber(ARGV[2])
hold(name, own)
keep()
return 1
",
);
