//! A client in a storm: it asks, checks every byte of what it gets, and now and then just leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::ask::{Ask, Dice, HEADER, HELD, Kind, excerpt};
use crate::tally::Tally;

/// Longer than the queue and all attempts together may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Statuses of the proxy's own errors and of those that it passes on.
const HONEST: [u16; 7] = [400, 401, 404, 429, 502, 503, 504];

/// The state that clients share with the storm.
#[derive(Clone, Debug)]
pub struct Crowd {
    pub proxy: SocketAddr,
    pub tally: Arc<Tally>,
    pub key: String,
    pub seed: u64,
    /// Models that some requests ask for, as commands to the strategy.
    pub commands: watch::Receiver<&'static [&'static str]>,
    /// The present phase.
    pub scene: watch::Receiver<Scene>,
    /// Of a hundred requests, so many are left.
    pub leavers: usize,
    /// True when anything but a whole answer is a complaint.
    pub strict: bool,
    /// True when some ask for streams, embeddings or things that do not exist.
    pub mixed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scene {
    Storm,
    /// The proxy has been told to end at this moment: what was sent shortly before or after may find a closed door.
    Ending(Instant),
    /// No further requests; those under way are to be answered.
    Over,
    /// The proxy has ended.
    Ended,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
    used: usize,
    /// The status of the answer before.
    last: u16,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer.
struct Got {
    status: u16,
    /// True when the proxy itself refused the request because of its body.
    body: Vec<u8>,
    /// True when the body ended as HTTP requires.
    complete: bool,
    provider: String,
    attempts: u32,
}

enum Missing {
    /// Nobody listens.
    Refused,
    /// The connection ended before the answer began; how.
    Closed(String),
    Hung,
}

impl Crowd {
    /// Runs client `number` until the storm is over.
    pub async fn live(mut self, number: u64) {
        let mut dice = Dice::part(self.seed, number | 1 << 60);
        let mut connection: Option<Connection> = None;
        let mut asked = 0;
        loop {
            let scene = *self.scene.borrow();
            if matches!(scene, Scene::Over | Scene::Ended) {
                return;
            }
            if dice.chance(20) {
                sleep(Duration::from_millis(dice.below(50) as u64)).await;
            }
            asked += 1;
            if self.mixed && dice.chance(4) {
                self.ask_wrongly(&mut connection, &mut dice).await;
                continue;
            }
            let ask = self.draw((number << 32) | asked, &mut dice);
            self.tally.count(&format!("requests: {:?}", ask.kind));
            let began = Instant::now();
            if dice.chance(self.leavers) {
                let patience = Duration::from_millis(dice.below(400) as u64);
                match timeout(patience, self.exchange(&mut connection, &ask)).await {
                    // It stayed after all. A cut answer ends its connection, which is not to be asked again.
                    Ok(Ok(got)) if !self.judge(&ask, &got) && got.complete => {}
                    Ok(_) => connection = None,
                    Err(_) => {
                        self.tally.count("result: client left");
                        connection = None;
                    }
                }
                continue;
            }
            let outcome = match timeout(PATIENCE, self.exchange(&mut connection, &ask)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Missing::Hung),
            };
            match outcome {
                Ok(got) => {
                    let closes = self.judge(&ask, &got);
                    if closes && let Some(connection) = &mut connection {
                        let closed = timeout(Duration::from_secs(5), closed(&mut connection.sender)).await;
                        if closed.is_err() {
                            self.tally.complain(format!("{}: the connection of a cut answer stays", ask.to_header()));
                        }
                    }
                    if !got.complete || closes {
                        connection = None;
                    }
                    if got.status != 200 {
                        sleep(Duration::from_millis(dice.below(200) as u64)).await;
                    }
                }
                Err(missing) => {
                    connection = None;
                    let ending = match *self.scene.borrow_and_update() {
                        Scene::Ending(at) => began + Duration::from_millis(200) > at,
                        Scene::Storm | Scene::Over => false,
                        Scene::Ended => true,
                    };
                    match missing {
                        Missing::Refused | Missing::Closed(_) if ending => {
                            self.tally.count("result: closed door while ending");
                            sleep(Duration::from_millis(20)).await;
                        }
                        Missing::Refused => self.tally.complain("a connection was refused".to_owned()),
                        Missing::Closed(how) => {
                            self.tally.complain(format!("{}: no answer at all: {how}", ask.to_header()));
                        }
                        Missing::Hung => self.tally.complain(format!("{}: no answer in time", ask.to_header())),
                    }
                }
            }
        }
    }

    fn draw(&self, id: u64, dice: &mut Dice) -> Ask {
        let commands = *self.commands.borrow();
        let kind = match dice.below(10) {
            _ if !self.mixed => Kind::Chat,
            0..=3 => Kind::Chat,
            4 => Kind::Reread,
            5..=8 => Kind::Stream,
            _ => Kind::Embeddings,
        };
        let model = match commands {
            [] => "gpt-4",
            some if dice.chance(10) => dice.pick(some),
            _ => "gpt-4",
        };
        let large = self.mixed && dice.chance(2);
        let padding = if large { 200_000 } else { dice.below(2000) };
        let (words, width) = match kind {
            Kind::Stream => (1 + dice.below(30), dice.below(60)),
            Kind::Chat | Kind::Reread | Kind::Embeddings if large && dice.chance(30) => (2 + dice.below(60), HELD / 20),
            Kind::Chat | Kind::Reread | Kind::Embeddings => (1 + dice.below(50), dice.below(20)),
        };
        Ask { id, kind, model: model.to_owned(), padding, words, width }
    }

    async fn exchange(&self, slot: &mut Option<Connection>, ask: &Ask) -> Result<Got, Missing> {
        let request = Request::post(ask.path())
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header(HEADER, ask.to_header())
            .body(Full::new(ask.body(&ask.model)))
            .expect("a legal request");
        self.send(slot, request).await
    }

    async fn send(&self, slot: &mut Option<Connection>, request: Request<Full<Bytes>>) -> Result<Got, Missing> {
        let mut request = Some(request);
        loop {
            let usable = match slot {
                Some(open) => open.used < 20 && open.sender.ready().await.is_ok(),
                None => false,
            };
            if !usable {
                *slot = Some(connect(self.proxy).await.map_err(|_| Missing::Refused)?);
            }
            let Some(open) = slot.as_mut() else { return Err(Missing::Refused) };
            open.used += 1;
            let Some(next) = request.take() else { return Err(Missing::Closed("nothing to send".to_owned())) };
            let mut sent = match open.sender.try_send_request(next).await {
                Ok(response) => response,
                Err(mut error) => {
                    // An idle connection may be closed at the very moment it is used again; nothing was sent then.
                    request = error.take_message();
                    let (used, last) = (open.used, open.last);
                    *slot = None;
                    if request.is_some() && usable {
                        continue;
                    }
                    let error = error.into_error();
                    let how = format!("{error:?} in request {used} of its connection, which had {last} before");
                    return Err(Missing::Closed(how));
                }
            };
            let header = |name: &str| {
                sent.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
            };
            let (provider, attempts) = (header("x-pointsman-provider"), header("x-pointsman-attempts"));
            for (name, value) in sent.headers() {
                if String::from_utf8_lossy(value.as_bytes()).contains(harness::SECRET_MARK) {
                    self.tally.complain(format!("a key in the header {name}"));
                }
            }
            let mut body = Vec::new();
            let complete = loop {
                match sent.body_mut().frame().await {
                    None => break true,
                    Some(Ok(frame)) => body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                    Some(Err(_)) => break false,
                }
            };
            let attempts = attempts.parse().unwrap_or(1);
            return Ok(Got { status: sent.status().as_u16(), body, complete, provider, attempts });
        }
    }

    /// Checks an answer; whether its connection must be closed now.
    fn judge(&self, ask: &Ask, got: &Got) -> bool {
        let tally = &self.tally;
        let wrong = |what: &str| {
            let shown = excerpt(&got.body[got.body.len().saturating_sub(300)..], 300);
            tally.complain(format!("{}: {what}: {} from {:?}: {shown}", ask.to_header(), got.status, got.provider));
        };
        if String::from_utf8_lossy(&got.body).contains(harness::SECRET_MARK) {
            tally.complain("a key in an answer".to_owned());
        }
        if got.attempts > 1 {
            tally.count("failovers");
        }
        if got.status != 200 {
            let parsed: Option<Value> = serde_json::from_slice(&got.body).ok();
            let error = parsed.as_ref().map(|body| &body["error"]).filter(|error| error["message"].is_string());
            match error {
                Some(error) if got.complete && HONEST.contains(&got.status) => {
                    let code = error["code"].as_str().unwrap_or("none");
                    tally.count(&format!("result: {} {code}", got.status));
                    let message = error["message"].as_str().unwrap_or_default();
                    // Alone, a provider's refusal is quoted in the proxy's own words; whose it is can be told from it all the same.
                    if code == "mock" && !message.contains(&format!("mock {}", ask.id)) {
                        wrong("an error meant for another");
                    }
                    if self.strict {
                        wrong("failed");
                    }
                }
                _ => wrong("no honest error"),
            }
            return false;
        }
        if ask.kind == Kind::Reread {
            let said: Option<Value> = serde_json::from_slice(&got.body).ok();
            let text = said.as_ref().and_then(|said| said["choices"][0]["message"]["content"].as_str());
            if got.complete && text == Some(&ask.answer_text()) {
                tally.count("result: whole, by an approach");
            } else {
                wrong("another answer of an approach");
            }
            return false;
        }
        let expected = ask.whole_answer();
        if got.complete && got.body == expected {
            tally.count("result: whole");
            return false;
        }
        if self.strict {
            wrong("not whole");
        }
        if ask.kind == Kind::Stream {
            // Behind whole events only; alone where the head went out while nobody had answered yet.
            const FRAME: &[u8] = b"data: {\"error\":";
            let at = got.body.windows(FRAME.len()).position(|window| window == FRAME);
            match at {
                Some(at) if expected.starts_with(&got.body[..at]) && (at == 0 || got.body[..at].ends_with(b"\n\n")) => {
                    let rest = &got.body[at..];
                    if rest.ends_with(b"\n\n") && !rest.windows(6).any(|window| window == b"[DONE]") {
                        tally.count("result: cut stream with its error frame");
                    } else {
                        wrong("something behind the error frame");
                    }
                }
                _ => wrong("a stream that is neither whole nor says so"),
            }
            return true;
        }
        if !got.complete && expected.len() > HELD && expected.starts_with(&got.body) {
            tally.count("result: large answer cut, and so by HTTP");
        } else if got.complete && expected.starts_with(&got.body) {
            // A provider that announces less than it sends: whole, as far as HTTP goes.
            tally.count("result: provider announced less than its answer");
        } else {
            wrong("another answer");
        }
        !got.complete
    }

    /// Requests that are refused before they take a slot.
    async fn ask_wrongly(&self, slot: &mut Option<Connection>, dice: &mut Dice) {
        let (key, path, body, expected) = match dice.below(4) {
            0 => ("wrong", "/v1/chat/completions", "{}", 401),
            1 => (self.key.as_str(), "/v1/chat/completions", "{\"model\": ", 400),
            2 => (self.key.as_str(), "/nowhere", "{}", 404),
            _ => (
                self.key.as_str(),
                "/v1/chat/completions",
                "{\"model\": \"bon-gpt-4\", \"optillm_approach\": \"bon\"}",
                400,
            ),
        };
        let request = Request::post(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .expect("a legal request");
        self.tally.count("requests: bad");
        match timeout(PATIENCE, self.send(slot, request)).await {
            Ok(Ok(got)) if got.status == expected => self.tally.count(&format!("result: {expected} as it should be")),
            Ok(Ok(got)) if got.status == 503 && *self.scene.borrow() != Scene::Storm => {}
            Ok(Ok(got)) => self.tally.complain(format!("{path}: {} instead of {expected}", got.status)),
            Ok(Err(_)) if *self.scene.borrow() != Scene::Storm => *slot = None,
            Ok(Err(_)) | Err(_) => {
                *slot = None;
                self.tally.complain(format!("{path}: no answer, should be {expected}"));
            }
        }
    }
}

async fn connect(proxy: SocketAddr) -> std::io::Result<Connection> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    let task = harness::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Connection { sender, task, used: 0, last: 0 })
}

async fn closed(sender: &mut SendRequest<Full<Bytes>>) {
    // Not ready for good is closed.
    while sender.ready().await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
}
