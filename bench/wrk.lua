-- Posts the published request over many sessions. Each request is formatted once, so the client's own cost stays small.
-- arguments: body file, sessions, bearer or "-", session prefix
local requests, count, at = {}, 0, 0

function init(arguments)
  local file = assert(io.open(arguments[1], "r"))
  local template = file:read("*a")
  file:close()
  count = tonumber(arguments[2])
  local headers = { ["Content-Type"] = "application/json", ["Host"] = wrk.host }
  if arguments[3] ~= "-" then headers["Authorization"] = "Bearer " .. arguments[3] end
  for k = 1, count do
    local body = template:gsub("{{session}}", arguments[4] .. k):gsub("{{user}}", "sim_user_" .. k)
    requests[k] = wrk.format("POST", "/v1/chat/completions", headers, body)
  end
end

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\nJSON{"requests":%d,"seconds":%.4f,"p50_ms":%.3f,"p99_ms":%.3f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
