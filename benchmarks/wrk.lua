-- Sends each request with the next of many headers, which are the lines of the file that is the first argument.
local requests, number = {}, 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        local name, value = line:match("^([^:]+): (.*)$")
        requests[#requests + 1] = wrk.format("GET", nil, {[name] = value})
    end
end

function request()
    number = number % #requests + 1
    return requests[number]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('\n{"requests": %d, "seconds": %f, "failed": %d, "p99": %f}\n',
        summary.requests, summary.duration / 1e6,
        errors.status + errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(99) / 1000))
end
