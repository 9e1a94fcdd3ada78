//! A provider that keeps the accounts: what each client's requests took, as it has said itself, and how many of them it was
//! answering at once.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// The header that carries a [`Plan`].
pub const HEADER: &str = "x-plan";

/// The tokens of every prompt: fewer than the proxy expects of its bytes, so that none settles above its reservation.
pub const PROMPT: u64 = 60;
/// The tokens of each word of an answer.
pub const PER_WORD: u64 = 2;
/// The prices in nano-dollars.
pub const PRICES: (u64, u64) = (1000, 2000);

/// What a request is to get.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The client.
    pub client: String,
    pub words: u64,
    /// Before each word of a stream, or before a whole answer.
    pub pause: Duration,
    /// After so many words the provider breaks off.
    pub cut: Option<u64>,
}

impl Plan {
    pub fn to_header(&self) -> String {
        let cut = self.cut.unwrap_or(u64::MAX);
        format!("{}/{}/{}/{cut}", self.client, self.words, self.pause.as_millis())
    }

    fn of(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let client = parts.next()?.to_owned();
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (words, pause, cut) = (number()?, Duration::from_millis(number()?), number()?);
        Some(Self { client, words, pause, cut: Some(cut).filter(|cut| *cut < u64::MAX) })
    }

    /// The tokens of prompt and answer, if it is not cut.
    pub fn tokens(&self) -> u64 {
        PROMPT + self.words * PER_WORD
    }

    /// What they cost.
    pub fn nano(&self) -> u64 {
        PROMPT * PRICES.0 + self.words * PER_WORD * PRICES.1
    }

    fn usage(&self) -> Value {
        let (answer, all) = (self.words * PER_WORD, self.tokens());
        json!({"prompt_tokens": PROMPT, "completion_tokens": answer, "total_tokens": all})
    }
}

/// The account of one client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    pub requests: u64,
    /// What the answers said that are not cut.
    pub tokens: u64,
    pub nano: u64,
    at_once: u64,
    pub most_at_once: u64,
}

/// The provider.
#[derive(Debug)]
pub struct Till {
    pub address: SocketAddr,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
    accepting: AbortHandle,
}

/// Counts a request that is being answered.
struct Serving {
    client: String,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(account) = self.accounts.lock().get_mut(&self.client) {
            account.at_once -= 1;
        }
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Till {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
        let address = listener.local_addr().expect("bound");
        let accounts: Arc<Mutex<HashMap<String, Account>>> = Arc::default();
        let theirs = Arc::clone(&accounts);
        let accepting = harness::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let accounts = Arc::clone(&theirs);
                drop(stream.set_nodelay(true));
                harness::spawn(async move {
                    let service = service_fn(move |request| answer(request, Arc::clone(&accounts)));
                    let mut server = http1::Builder::new();
                    server.timer(TokioTimer::new());
                    // Who leaves, leaves.
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, accounts, accepting: accepting.abort_handle() }
    }

    pub fn account(&self, client: &str) -> Account {
        self.accounts.lock().get(client).copied().unwrap_or_default()
    }
}

impl Drop for Till {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    accounts: Arc<Mutex<HashMap<String, Account>>>,
) -> Result<Response<Body>, Infallible> {
    let plan = request.headers().get(HEADER).and_then(|plan| Plan::of(plan.to_str().ok()?));
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Some(plan) = plan else { return Ok(Response::new(whole("{}".to_owned()))) };
    let streams = serde_json::from_slice::<Value>(&body).is_ok_and(|body| body["stream"] == true);
    {
        let mut accounts = accounts.lock();
        let account = accounts.entry(plan.client.clone()).or_default();
        account.requests += 1;
        account.at_once += 1;
        account.most_at_once = account.most_at_once.max(account.at_once);
        if plan.cut.is_none() {
            account.tokens += plan.tokens();
            account.nano += plan.nano();
        }
    }
    let serving = Serving { client: plan.client.clone(), accounts };
    let label = if streams { "text/event-stream" } else { "application/json" };
    let body = if streams {
        events(plan, serving)
    } else {
        sleep(plan.pause).await;
        let text = "word ".repeat(usize::try_from(plan.words).expect("a few"));
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
        let answer = json!({"id": "1", "object": "chat.completion", "choices": [choice], "usage": plan.usage()});
        drop(serving);
        whole(answer.to_string())
    };
    let response = Response::builder().header("content-type", label).body(body);
    Ok(response.expect("a legal answer"))
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

/// The words one by one, then the usage and the end; or an end of the connection in the middle.
fn events(plan: Plan, serving: Serving) -> Body {
    let choice = |delta: Value, finish: Value| json!({"index": 0, "delta": delta, "finish_reason": finish});
    let word = choice(json!({"content": "word "}), Value::Null);
    let word = format!("data: {}\n\n", json!({"id": "1", "object": "chat.completion.chunk", "choices": [word]}));
    let last = choice(json!({}), json!("stop"));
    let last = json!({"id": "1", "object": "chat.completion.chunk", "choices": [last]});
    let usage = json!({"id": "1", "object": "chat.completion.chunk", "choices": [], "usage": plan.usage()});
    let end = format!("data: {last}\n\ndata: {usage}\n\ndata: [DONE]\n\n");
    let frames = stream::unfold((0, Some(serving)), move |(number, mut serving)| {
        let (plan, word, end) = (plan.clone(), word.clone(), end.clone());
        async move {
            if plan.cut == Some(number) {
                // So that the word before has gone out.
                sleep(plan.pause).await;
                serving.take();
                return Some((Err(std::io::Error::other("cut")), (u64::MAX, serving)));
            }
            let text = match number {
                number if number < plan.words => {
                    sleep(plan.pause).await;
                    word
                }
                number if number == plan.words => {
                    // Whoever reads the end may ask anew before this is asked for more.
                    serving.take();
                    end
                }
                _ => return None,
            };
            Some((Ok(Frame::data(Bytes::from(text))), (number + 1, serving)))
        }
    });
    BodyExt::boxed(StreamBody::new(Box::pin(frames)))
}
