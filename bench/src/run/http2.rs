//! Load over HTTP/2, by h2load where it is installed.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, ensure};

use crate::load::{Job, Sample};
use crate::machine::{self, Ticks, find_program};
use crate::process::output;
use crate::targets::Scene;
use crate::wire::{self, CLIENT_KEY};

/// The program, of the Debian package nghttp2-client.
pub const PROGRAM: &str = "h2load";

/// Connections; each has as many requests at once as gives those of the job together.
const CONNECTIONS: usize = 8;

/// Puts a target under load. The time in which connections are made counts too, as the program cannot be asked when it has passed.
pub fn load(job: &Job, scene: &Scene) -> anyhow::Result<Sample> {
    let body = scene.folder.join("body.json");
    fs::write(&body, wire::body(job.body, false))?;
    let mut command = machine::pinned(&[scene.cores.load], &find_program(PROGRAM).context("h2load is missing")?);
    let streams = (job.connections / CONNECTIONS).max(1);
    command.args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-m{streams}"), &format!("-D{}", job.seconds.ceil())]);
    command.args(["-H", "content-type: application/json", "-H", &format!("authorization: Bearer {CLIENT_KEY}"), "-d"]);
    command.arg(&body).arg(format!("http://{}/v1/chat/completions", job.address));
    let mock = || Ticks::of(job.mock);
    let (watched, mock_before, wakes) = (Ticks::of_all(&job.watched)?, mock()?, machine::wakes(&job.watched));
    let said = output(command)?;
    let (watched, mock) = (Ticks::of_all(&job.watched)?.since(watched), mock()?.since(mock_before));
    let replies = answered(&said).with_context(|| format!("h2load said: {said}"))?;
    ensure!(replies > 0, "no answer came; h2load said: {said}");
    Ok(Sample {
        seconds: job.seconds.ceil(),
        replies,
        events: 0,
        by_provider: [0; 2],
        watched_us: watched,
        wakes: machine::wakes(&job.watched).saturating_sub(wakes),
        mock_us: mock,
        load_us: 0.0,
        rss_peak_kib: machine::rss_kib(&job.watched),
        latency: None,
        first_byte: None,
    })
}

/// The number of requests that were answered with 200: all that were, or it is an error.
fn answered(said: &str) -> anyhow::Result<u64> {
    let line = |start: &str| said.lines().find_map(|line| line.strip_prefix(start)).with_context(|| start.to_owned());
    let number = |text: &str, what: &str| {
        let found = text.split(", ").find_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok());
        found.with_context(|| format!("{what} in {text}"))
    };
    let requests = line("requests: ")?;
    let good = number(line("status codes: ")?, "2xx")?;
    let done = number(requests, "succeeded")?;
    let codes: BTreeSet<u64> = ["3xx", "4xx", "5xx"]
        .map(|code| number(line("status codes: ")?, code))
        .into_iter()
        .collect::<anyhow::Result<_>>()?;
    ensure!(codes == BTreeSet::from([0]) && number(requests, "failed")? == 0, "some were not answered well");
    ensure!(done <= good, "more succeeded than were answered with 200");
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "finished in 3.00s, 9000.33 req/s, 7.60MB/s\n\
        requests: 27001 total, 27065 started, 27001 done, 27001 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 27033 2xx, 0 3xx, 0 4xx, 0 5xx\n";

    #[test]
    fn what_it_says_is_understood() {
        assert_eq!(answered(SAID).unwrap(), 27001);
        assert!(answered(&SAID.replace("0 5xx", "7 5xx")).is_err());
        assert!(answered(&SAID.replace("0 failed", "7 failed")).is_err());
        assert!(answered("").is_err());
    }
}
