//! What being observed costs: a broadcast with one of a hundred publishes traced and a scrape each
//! second, and without. Called by the binary.

use crate::backend::answer_posts;
use crate::caller::{Caller, ReceiveBuffer};
use crate::figures::Figures;
use crate::operator::Operator;
use crate::prepare::Places;
use crate::product::NATIVE;
use crate::subject::Subject;
use std::io;
use std::time::{Duration, Instant};

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observed {
    /// Members of the room.
    pub(crate) members: usize,
    /// Publishes.
    pub(crate) messages: usize,
    /// How often, each time with fresh servers, in turns.
    pub(crate) rounds: u32,
}

/// Publishes on end, before members read.
const BURST: usize = 10;
const SCRAPE_EACH: Duration = Duration::from_secs(1);

const OBSERVED: &str = "with metrics and traces at 1 %: ns of CPU a delivery";
const ALONE: &str = "without: ns of CPU a delivery";

/// Does it.
///
/// # Errors
/// The server ends, refuses or is stuck.
pub(crate) fn observed(plan: Observed, places: &Places) -> io::Result<Figures> {
    let mut figures = Figures::default();
    figures.compare(OBSERVED, ALONE);
    figures.must_compared(OBSERVED, 1.03);
    let collector = format!("tracing.endpoint=http://{}/", answer_posts("")?);
    let settings = ["--set", &collector, "--set", "tracing.sample=0.01"];
    for number in 1..=plan.rounds {
        for (name, settings) in [(OBSERVED, &settings[..]), (ALONE, &[])] {
            let server = Subject::start(places, NATIVE, settings)?;
            let ns = round(plan, &server, name == OBSERVED)?;
            let deliveries = (plan.members * plan.messages) as f64;
            figures.add(name, number, ns as f64 / deliveries);
        }
    }
    Ok(figures)
}

/// CPU time in ns of all of it.
fn round(plan: Observed, server: &Subject, is_scraped: bool) -> io::Result<u64> {
    let connect =
        |count| Caller::connect_many(count, server.address(), NATIVE.path, ReceiveBuffer::Usual);
    let (mut publisher, mut members) = (connect(1)?.remove(0), connect(plan.members)?);
    for member in &mut members {
        member.say(r#"{"type":"join_room","id":1,"room":"r"}"#)?;
        member.hear_of("joined")?;
    }
    let operator = Operator::new(server.admin());
    let mut scraped = Instant::now();
    let begun = server.cpu_ns()?;
    let mut sent = 0;
    while sent < plan.messages {
        let burst = BURST.min(plan.messages - sent);
        for number in sent..sent + burst {
            publisher.say(format!(
                r#"{{"type":"broadcast","room":"r","data":{{"number":{number},"text":"what is published"}}}}"#
            ))?;
        }
        for member in &mut members {
            for _ in 0..burst {
                member.hear_of("message")?;
            }
        }
        sent += burst;
        if is_scraped && scraped.elapsed() >= SCRAPE_EACH {
            operator.get("/metrics")?;
            scraped = Instant::now();
        }
    }
    Ok(server.cpu_ns()? - begun)
}
