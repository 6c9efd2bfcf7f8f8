//! The sink by the suite that every sink is held to.

use ctforward_core::testing;
use ctforward_visionone::standin::StandIn;

use crate::{TOKEN, builder, secret};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sink_conforms() {
    for (gzip, newline) in [(false, false), (true, true)] {
        let server = StandIn::builder()
            .token(secret(TOKEN))
            .gzip(true)
            .start()
            .await
            .unwrap();
        let sink = builder(&server.endpoint())
            .gzip(gzip)
            .final_newline(newline)
            .build()
            .unwrap();
        testing::sink::check(sink, async || server.lines())
            .await
            .assert();
    }
}

#[tokio::test]
async fn limits_that_the_endpoint_does_not_have_are_found() {
    let server = StandIn::builder()
        .max_body_bytes(500_000)
        .start()
        .await
        .unwrap();
    let sink = builder(&server.endpoint()).build().unwrap();
    let findings = testing::sink::check(sink, async || server.lines()).await;
    let broken: Vec<_> = findings.violations().iter().map(|v| v.clause).collect();
    assert!(
        broken.contains(&"a batch as large as the limit is taken"),
        "{findings}"
    );
}
