-- Makes wrk end with one line of JSON; times in microseconds. It runs after the load, so it costs no request anything.
function done(summary, latency, requests)
    io.write(string.format(
        '{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "max": %d, "errors": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
    ))
end
