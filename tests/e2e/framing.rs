//! How messages are framed, and what others might make of it: RFC 9112 row by row, in both directions, on bare sockets.
//!
//! A row is the bytes of one side, what must come of them, and the section that it stands for. Whatever a row is about,
//! these claims hold of it: the provider hears no request that the client's bytes did not hold by a strict reading, each
//! in one framing that nobody can read in two ways, and nobody gets an answer that belongs to another request. The rows
//! of a table go through one proxy, one after the other, so that hundreds of them take a second.
//!
//! Each table is in two: what is decided, and apart from it what may be refused or be one request: rows marked [`OPEN`]
//! because RFC 9112 leaves it open, rows marked [`LAX`] because the proxy is laxer than it should be.

mod answers;
mod chunks;
mod client;
mod conversations;
mod heads;
mod lengths;
mod provider;
mod torn;

use std::time::Duration;

use harness::{KEY, PATIENCE, Proxy, ProxyBuilder};
use serde_json::json;
use tokio::time::timeout;

use self::client::{Came, Client, Next};
use self::provider::{Heard, Provider};

/// The body of the requests of rows, of 43 bytes: its length has a letter as a hexadecimal number.
const BODY: &str = r#"{"model":"m","user":"row","messages":[   ]}"#;

/// A request that rows hide in what is no request.
const SMUGGLED: &str = "GET /v1/files/smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

/// What must come of the bytes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The request reaches the provider once, with [`BODY`], is answered, and the connection serves the next one.
    Passes,
    /// The same, but the connection ends with the answer.
    PassesLast,
    /// One of these answers and the end of the connection, and nothing at the provider. None where the connection may
    /// end without one.
    Refused(&'static [u16]),
    /// The same, when the client says that no more will come: a reader may have waited for it.
    Starved(&'static [u16]),
    /// An answer of the proxy's own with one of these statuses, and nothing at the provider. Whether the connection goes
    /// on is the proxy's choice.
    Own(&'static [u16]),
    /// A refusal of any kind, or [`Want::Passes`], whether or not the connection goes on.
    Either,
}

/// A malformed request.
const BAD: Want = Want::Refused(&[400]);
/// A transfer coding that is unknown, or in a place where it must not be.
const CODING: Want = Want::Refused(&[400, 501]);

/// What is read as a request although it should be refused: by RFC 9112, or because others read it in another way.
const LAX: Want = Want::Either;
/// What RFC 9112 lets a reader forgive, or leaves open, so that a refusal is as good as one request.
const OPEN: Want = Want::Either;

/// The time after which a row is given up, and the next one is played: less than a test waits for anything.
const IN_TIME: Duration = PATIENCE.checked_div(4).expect("not by zero");

/// The section of RFC 9112 (or of another RFC, if it says so), what is so, and the bytes, as much of them as the table says.
type Row = (&'static str, &'static str, &'static str, Want);

/// `text` with its placeholders filled: `<n>` is the length of the body, `<h>` the same as a hexadecimal number, `<b>` the
/// body.
fn filled(text: &str) -> String {
    let (n, h) = (BODY.len().to_string(), format!("{:x}", BODY.len()));
    text.replace("<n>", &n).replace("<h>", &h).replace("<b>", BODY)
}

/// A proxy and its one provider, and what rows of a table have in common.
struct Stage {
    provider: Provider,
    proxy: Proxy,
}

/// A proxy before providers at these addresses, which ejects none of them.
fn before(providers: &[(&str, &Provider)]) -> ProxyBuilder {
    let of =
        |(name, provider): &(&str, &Provider)| json!({"name": name, "base_url": provider.base_url(), "api_key": KEY});
    let providers: Vec<_> = providers.iter().map(of).collect();
    Proxy::builder().set(json!({"providers": providers, "monitoring": {"track_errors": false}}))
}

impl Stage {
    async fn new() -> Self {
        let provider = Provider::start().await;
        let proxy = before(&[("a", &provider)]).start().await;
        Self { provider, proxy }
    }

    async fn client(&self) -> Client {
        Client::connect(self.proxy.address()).await
    }

    /// Sends the bytes of a row; gives what was answered, what the provider heard, and whether the connection still serves.
    async fn play(&self, bytes: &[u8]) -> Outcome {
        self.play_until(bytes, false).await
    }

    async fn play_until(&self, bytes: &[u8], gives_up: bool) -> Outcome {
        let mut client = self.client().await;
        client.send(bytes).await;
        if gives_up {
            client.finish().await;
        }
        let answer = client.answer().await;
        let next = match &answer {
            Some(_) => client.next().await,
            None => Next::Nothing,
        };
        Outcome { answer, next, heard: self.provider.take() }
    }

    /// Plays each row as `bytes` makes it, and claims that what should comes of it.
    async fn claim(&self, table: &[Row], bytes: impl Fn(&str) -> String) {
        let mut faults = Vec::new();
        for (section, what, text, want) in table {
            let mut bytes = bytes(text);
            // In what is refused nothing may be found that looks like a request.
            if matches!(want, Want::Refused(_)) {
                bytes.push_str(SMUGGLED);
            }
            let played = timeout(IN_TIME, self.play_until(bytes.as_bytes(), matches!(want, Want::Starved(_)))).await;
            let Ok(outcome) = played else {
                faults.push(format!("section {section}, {what}: {bytes:.400?}\n{want:?}, but nothing comes of it"));
                continue;
            };
            if let Some(fault) = outcome.fault(*want) {
                faults.push(format!("section {section}, {what}: {bytes:.400?}\n{want:?}, but {fault}: {outcome:?}"));
            }
        }
        assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), table.len(), faults.join("\n\n"));
    }
}

/// What came of a row.
#[derive(Debug)]
struct Outcome {
    answer: Option<Came>,
    next: Next,
    heard: Vec<Heard>,
}

impl Outcome {
    /// What is not as it should be.
    fn fault(&self, want: Want) -> Option<String> {
        let (served, ended) = (self.next == Next::Served, self.next == Next::Nothing);
        let fault = match want {
            Want::Passes => self.fault_of_passing().or_else(|| fault(served, "the connection serves the next")),
            Want::PassesLast => self.fault_of_passing().or_else(|| fault(ended, "the connection ends")),
            Want::Refused(statuses) | Want::Starved(statuses) => {
                self.fault_of_own(statuses).or_else(|| fault(ended, "nothing more is read from the connection"))
            }
            Want::Own(statuses) => self.fault_of_own(statuses).or_else(|| fault(self.answer.is_some(), "an answer")),
            Want::Either if self.heard.is_empty() => {
                self.fault_of_own(&[400, 403, 404, 405, 413, 414, 417, 431, 501, 505])
            }
            Want::Either => self.fault_of_passing(),
        };
        fault.or_else(|| (self.next == Next::Surplus).then(|| "there is an answer that nobody asked for".to_owned()))
    }

    fn fault_of_passing(&self) -> Option<String> {
        let [heard] = &self.heard[..] else {
            return Some(format!("the provider hears one request, not {}", self.heard.len()));
        };
        let answer = self.answer.as_ref();
        fault(answer.is_some_and(|came| came.status == 200), "the status is 200")
            .or_else(|| {
                fault(answer.is_some_and(|came| came.text().contains("echo of row")), "the answer is the row's")
            })
            .or_else(|| fault(heard.body == BODY.as_bytes(), "the body is the row's"))
            .or_else(|| heard.fault())
    }

    fn fault_of_own(&self, statuses: &[u16]) -> Option<String> {
        let legal = self.answer.as_ref().is_none_or(|came| statuses.contains(&came.status));
        fault(self.heard.is_empty(), "the provider hears nothing")
            .or_else(|| fault(legal, "the status is one of these"))
    }
}

/// What should be so, when it is not.
fn fault(so: bool, what: &str) -> Option<String> {
    (!so).then(|| format!("it is not so that {what}"))
}
