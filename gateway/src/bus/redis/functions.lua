#!lua name=editorcluster_v2
-- The log's functions. Each is atomic. KEYS: stream, head. The protocol and its reasons: docs/log.md.
--
-- Epochs are strings everywhere: a Lua number holds 53 bits. `n` is small enough to be a number.
-- Head is a hash: epoch, tenure, and the trim candidate (trim_n, trim_at): a covered position and when it was covered.
-- The version is in every name, so that gateways of two versions can share a server during a rollout.

-- Entries are trimmed this long after they were covered, and only by a later COVER.
local TRIM_AFTER_MS = 60000
-- A larger entry is announced by its id alone; subscribers fetch it. A published byte is held once per subscriber.
local PUBLISH_MAX = 65536

-- Asked each time and never cached: a promotion or a restart must be seen by the very next call.
local function tenure()
  return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
end

-- The last id ever given out in the stream that exists now, also when it was trimmed to nothing; '' without a stream.
local function last_id(stream)
  if redis.call('EXISTS', stream) == 0 then return '' end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
  return ''
end

local function add(keys, channel, epoch, update)
  local id = redis.call('XADD', keys[1], epoch .. '-*', 'u', update)
  redis.call('PERSIST', keys[1])
  redis.call('PERSIST', keys[2])
  if #update > PUBLISH_MAX then
    redis.call('PUBLISH', channel, 'l' .. id .. '\n')
  else
    redis.call('PUBLISH', channel, 'e' .. id .. '\n' .. update)
  end
  return id
end

-- -> tenure, head's epoch or '', head's tenure or '', last id or '', entries
local function read(keys, args)
  local head = redis.call('HMGET', keys[2], 'epoch', 'tenure')
  return {tenure(), head[1] or '', head[2] or '', last_id(keys[1]), redis.call('XRANGE', keys[1], '-', '+')}
end

-- -> READ without the entries
local function peek(keys, args)
  local head = redis.call('HMGET', keys[2], 'epoch', 'tenure')
  return {tenure(), head[1] or '', head[2] or '', last_id(keys[1])}
end

-- -> last id if the log has no time to live, so that a sweep may have to look after it; otherwise ''
local function uncovered(keys, args)
  if redis.call('PTTL', keys[1]) ~= -1 then return '' end
  return last_id(keys[1])
end

-- args: channel, expected epoch or '', expected head's tenure or '', new epoch, tenure, update -> id, or '' if refused
local function open(keys, args)
  local head = redis.call('HMGET', keys[2], 'epoch', 'tenure')
  if (head[1] or '') ~= args[2] or (head[2] or '') ~= args[3] or tenure() ~= args[5] then return '' end
  redis.call('DEL', keys[2])
  redis.call('HSET', keys[2], 'epoch', args[4], 'tenure', args[5])
  return add(keys, args[1], args[4], args[6])
end

-- args: channel, epoch, update -> id, or '' if refused
local function append(keys, args)
  local head = redis.call('HMGET', keys[2], 'epoch', 'tenure')
  if head[1] ~= args[2] or head[2] ~= tenure() or redis.call('EXISTS', keys[1]) == 0 then return '' end
  return add(keys, args[1], args[2], args[3])
end

-- args: channel, epoch, n, time to live in ms, rev or '' -> 1, or 0 if refused
--
-- Trim: the candidate stays until it is old enough, then everything up to it goes and the position covered now
-- becomes the candidate. So what is trimmed was covered by an earlier checkpoint, at least TRIM_AFTER_MS ago, and
-- frequent checkpoints do not put the trim off.
local function cover(keys, args)
  local epoch = args[2]
  local head = redis.call('HMGET', keys[2], 'epoch', 'trim_n', 'trim_at')
  if head[1] ~= epoch then return 0 end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local old_enough = head[3] and now - tonumber(head[3]) >= TRIM_AFTER_MS
  if old_enough then
    redis.call('XTRIM', keys[1], 'MINID', '=', epoch .. '-' .. string.format('%.0f', tonumber(head[2]) + 1))
  end
  if old_enough or not head[2] then
    redis.call('HSET', keys[2], 'trim_n', args[3], 'trim_at', string.format('%.0f', now))
  end
  if last_id(keys[1]) == epoch .. '-' .. args[3] then
    redis.call('PEXPIRE', keys[1], args[4])
    redis.call('PEXPIRE', keys[2], args[4])
  end
  redis.call('PUBLISH', args[1], 'c' .. epoch .. '-' .. args[3] .. '\n' .. args[5])
  return 1
end

-- args: channel
local function delete(keys, args)
  redis.call('DEL', keys[1], keys[2])
  redis.call('PUBLISH', args[1], 'd')
  return 1
end

redis.register_function{function_name = 'ec_read_v2', callback = read, flags = {'no-writes'}}
redis.register_function{function_name = 'ec_peek_v2', callback = peek, flags = {'no-writes'}}
redis.register_function{function_name = 'ec_uncovered_v2', callback = uncovered, flags = {'no-writes'}}
redis.register_function{function_name = 'ec_open_v2', callback = open}
redis.register_function{function_name = 'ec_append_v2', callback = append}
redis.register_function{function_name = 'ec_cover_v2', callback = cover}
redis.register_function{function_name = 'ec_delete_v2', callback = delete}
