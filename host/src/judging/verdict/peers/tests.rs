use super::*;

fn meant(text: &str, sense: Sense) -> String {
    match translate(text, sense) {
        Some(Answer::Meant(meant)) => meant,
        Some(Answer::Unclear(advice)) => format!("unclear: {advice}"),
        None => String::new(),
    }
}

/// The tool, its text, what is bad, and what is good.
const UNDERSTOOD: [(&str, &str, &str, &str); 69] = [
    ("k6", "p(95)<200", "p95>200ms", "p95<200ms"),
    ("k6", "p(99.9) < 1500", "p99.9>1500ms", "p99.9<1500ms"),
    ("k6", "p(95)<0,5", "p95>0.5ms", "p95<0.5ms"),
    ("k6", "avg<200", "mean>200ms", "mean<200ms"),
    ("k6", "med<200", "p50>200ms", "p50<200ms"),
    ("k6", "rate<0.01", "failed>1%", "failed<1%"),
    ("k6", "rate<=0.01", "failed>1%", "failed<1%"),
    ("k6", "rate>100", "throughput<100", "throughput>100"),
    ("k6", "http_req_failed<0.01", "http.failed>1%", "http.failed<1%"),
    ("k6", "http_req_failed: ['rate<0.005']", "http.failed>0.5%", "http.failed<0.5%"),
    ("k6", "http_req_duration{status:200}: p(95)<200", "http.p95>200ms", "http.p95<200ms"),
    ("k6", "checks>0.95", "failed>5%", "failed<5%"),
    ("k6", "checks: rate==1", "failed>0", "failed<=0"),
    ("k6", "checks: rate>=1", "failed>0", "failed<=0"),
    ("k6", "http_reqs: rate>100", "http.throughput<100", "http.throughput>100"),
    ("k6", "http_reqs: count>100", "http.requests<=100", "http.requests>100"),
    ("k6", "http_reqs: count>=100", "http.requests<100", "http.requests>=100"),
    ("k6", "iterations: rate>100", "throughput<100", "throughput>100"),
    ("k6", "dropped_iterations==0", "dropped>0", "dropped<=0"),
    ("k6", "dropped_iterations: count<10", "dropped>=10", "dropped<10"),
    ("k6", "iteration_duration p(90)<1s", "p90>1s", "p90<1s"),
    ("Locust", "fail_ratio > 0.01", "failed>1%", "failed<1%"),
    ("Locust", "error_rate<1%", "failed>1%", "failed<1%"),
    ("Locust", "error_rate<0,5%", "failed>0.5%", "failed<0.5%"),
    ("Locust", "avg_response_time<500", "mean>500ms", "mean<500ms"),
    ("Locust", "median_response_time < 500", "p50>500ms", "p50<500ms"),
    ("Locust", "total_rps>100", "throughput<100", "throughput>100"),
    ("Gatling", "global.responseTime.max.lt(5000)", "max>5000ms", "max<5000ms"),
    ("Gatling", "global.responseTime.percentile(99).lt(800)", "p99>800ms", "p99<800ms"),
    ("Gatling", "global.successfulRequests.percent.gt(95)", "failed>5%", "failed<5%"),
    ("Gatling", "global.failedRequests.percent.lt(1)", "failed>1%", "failed<1%"),
    ("Gatling", "global.failedRequests.count.is(0)", "failed>0", "failed<=0"),
    ("Gatling", "global.failedRequests.count.lt(5)", "failed>=5", "failed<5"),
    ("Gatling", "global.requestsPerSec.gt(100)", "throughput<100", "throughput>100"),
    ("Artillery", "http.response_time.p95: 200", "http.p95>200ms", "http.p95<200ms"),
    ("Artillery", "p999<300", "p99.9>300ms", "p99.9<300ms"),
    ("Artillery", "http.request_rate > 1000", "http.throughput<1000", "http.throughput>1000"),
    ("Artillery", "http.request_rate > 0.5", "http.throughput<0.5", "http.throughput>0.5"),
    ("Artillery", "http.codes.500 == 0", "result(500)>0", "result(500)<=0"),
    ("Artillery", "http.codes.500 < 5", "result(500)>=5", "result(500)<5"),
    ("Artillery", "vusers.failed == 0", "failed>0", "failed<=0"),
    ("oha", "success_rate<0.99", "failed>1%", "failed<1%"),
    ("oha", "Success rate: 99.5%", "failed>0.5%", "failed<0.5%"),
    ("oha", "requests/sec<100", "throughput<100", "throughput>100"),
    ("oha", "slowest<1s", "max>1s", "max<1s"),
    ("vegeta", "latencies.95th < 50 ms", "p95>50ms", "p95<50ms"),
    ("ours, without a unit", "p95>200", "p95>200ms", "p95<200ms"),
    ("ours, as others compare", "failed==0", "failed>0", "failed<=0"),
    ("ours, as others compare", "result(500)=0", "result(500)>0", "result(500)<=0"),
    ("ours, turned", "200ms<p95", "p95>200ms", "p95<200ms"),
    ("ours, turned", "5>failed", "failed>=5", "failed<5"),
    ("ours, scaled", "throughput<1k", "throughput<1000", "throughput>1000"),
    ("ours, scaled", "throughput<1.1k/s", "throughput<1100", "throughput>1100"),
    ("ours, scaled", "throughput<2M", "throughput<2000000", "throughput>2000000"),
    ("ours, scaled", "failed>1k", "failed>1000", "failed<=1000"),
    ("words", "rps>1k", "throughput<1000", "throughput>1000"),
    ("words", "rps>=1,000", "throughput<1,000", "throughput>1,000"),
    ("words", "rps>500/min", "throughput<500/m", "throughput>500/m"),
    ("words", "qps>2k req/h", "throughput<2000/h", "throughput>2000/h"),
    ("words", "throughput>5 requests per second", "throughput<5", "throughput>5"),
    ("words", "error_rate<0.1", "failed>10%", "failed<10%"),
    ("words", "errors<5", "failed>=5", "failed<5"),
    ("words", "errors<1", "failed>=1", "failed<1"),
    ("words", "errors>5", "failed>5", "failed<=5"),
    ("words", "timeouts==0", "timed_out>0", "timed_out<=0"),
    ("words", "timeout_rate<0.01", "timed_out>1%", "timed_out<1%"),
    ("words", "status 503 < 1%", "result(503)>1%", "result(503)<1%"),
    ("words", "status 200 > 99%", "result(200)<99%", "result(200)>99%"),
    ("words", "latency_p95_s<1", "p95>1s", "p95<1s"),
];

#[test]
fn the_words_of_peers_are_understood() {
    for (tool, text, bad, good) in UNDERSTOOD {
        assert_eq!(meant(text, Sense::Bad), bad, "{tool}: {text}");
        assert_eq!(meant(text, Sense::Good), good, "{tool}: {text}");
    }
}

/// An answer is valid, in the direction that its sense asks for.
#[test]
fn every_answer_is_an_expression() {
    for (_, _, bad, good) in UNDERSTOOD {
        for (text, sense) in [(bad, Sense::Bad), (good, Sense::Good)] {
            let expression = crate::judging::verdict::Expression::parse(text, sense).unwrap();
            assert_eq!(expression.turned(sense), None, "{text}");
        }
    }
}

#[test]
fn what_may_mean_several_things_is_asked_for() {
    for (text, advice) in [
        ("rate>0.95", "`rate` does not say of what: if it is of successes, write `failed>5%`"),
        ("rate<5", "`rate` does not say of what: write `throughput<500`, or `failed>1%`"),
        ("rate<1", PERCENT),
        ("error_rate<1", PERCENT),
        ("error_rate<5", PERCENT),
        ("success_rate>99", PERCENT),
        ("success_rate>1", PERCENT),
        ("latency<250", "say which time: write `p99>250ms`, or `mean>250ms`"),
        ("http_req_duration<250", "say which time: write `http.p99>250ms`, or `http.mean>250ms`"),
        ("p95<0.5", "`0.5` has no unit: write `0.5ms` or `0.5s`"),
        ("iterations>100", "say whether it is a number or a rate: for a rate write `throughput<100`"),
        ("http_reqs>100", "say whether it is a number or a rate: for a rate write `http.throughput<100`"),
    ] {
        assert_eq!(meant(text, Sense::Bad), format!("unclear: {advice}"), "{text}");
    }
}

#[test]
fn what_is_not_understood_gets_no_answer() {
    for text in [
        "http_req_connecting<5",
        "span(login)>1s",
        "p101<5",
        "p<5",
        "p95",
        "p95<fast",
        "p95<5%",
        "p95==200",
        "p95!=200",
        "errors==5",
        "rps==100",
        "rps>100%",
        "throughput<1m",
        "throughput<500/day",
        "throughput<5 apples",
        "throughput<100s",
        "throughput<1kB",
        "failed>1kB",
        "failures_per_sec<1",
        "errors/s<1",
        "dropped_iterations: rate<0.1",
        "iterations: count>100",
        "status 302 < 5",
        "failed>-1",
        "checks>100",
        "result(200).p99==1s",
        "service.failed>1%",
        "ok and failed",
        "99th percentile",
        "<5",
        "",
        "worst(p99)>1s",
        "95<200",
        "result(500>1%",
        "{",
        "=",
    ] {
        assert_eq!(translate(text, Sense::Bad), None, "{text}");
    }
}
