//! `pointsman demo`: the real proxy in front of embedded providers, for a first look without an account or a network.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::listener::socket::Socket;
use crate::listener::{Listening, Settings};
use crate::{config, listener, strategy};

/// The default port.
const PORT: u16 = 8000;
/// The largest request body that a mock reads.
const MAX_BODY: usize = 32 << 20;
/// The pause between two words of a streamed answer.
const WORD: Duration = Duration::from_millis(40);

/// A demo that is bound but not yet running.
pub struct Demo {
    app: App,
    mocks: TaskTracker,
    stop: CancellationToken,
}

/// One embedded provider.
struct Mock {
    name: &'static str,
    /// The pause before each answer.
    delay: Duration,
    /// Each request whose number is a multiple of this fails; 0 means none.
    fails_every: u32,
    requests: AtomicU32,
}

impl Demo {
    /// Starts the mocks and binds the proxy at `host`. The default port is 8000 or, if that is taken, any free one.
    ///
    /// # Errors
    ///
    /// When a port cannot be bound.
    pub async fn bind(host: IpAddr, port: Option<u16>) -> anyhow::Result<Self> {
        let (mocks, stop) = (TaskTracker::new(), CancellationToken::new());
        let swift = start("swift", Duration::from_millis(20), 0, &mocks, &stop).await?;
        let slow = start("slow", Duration::from_millis(1500), 0, &mocks, &stop).await?;
        let moody = start("moody", Duration::from_millis(100), 3, &mocks, &stop).await?;
        let text = |port: u16| configuration(host, port, swift, slow, moody);
        let parse = |text: &str| {
            config::parse(text, Path::new("demo.yaml"), &|_| None, strategy::builtins()).map_err(anyhow::Error::from)
        };
        let app = match (App::bind(parse(&text(port.unwrap_or(PORT)))?).await, port) {
            (Err(_taken), None) => App::bind(parse(&text(0))?).await?,
            (bound, _) => bound?,
        };
        Ok(Self { app, mocks, stop })
    }

    /// A text for the terminal with requests to try.
    pub fn introduction(&self) -> String {
        let address = match self.app.local_addr() {
            // Every address of this machine, among them its own.
            Some(all) if all.is_ipv4() && all.ip().is_unspecified() => format!("127.0.0.1:{}", all.port()),
            Some(all) if all.ip().is_unspecified() => format!("[::1]:{}", all.port()),
            _ => self.app.address().to_string(),
        };
        let base = format!("http://{address}");
        format!(
            r#"Pointsman demo: three embedded providers behind {base}
  swift answers at once, slow takes 1.5 s, moody fails every third request (the proxy makes up for it).

Try, in another terminal:

  curl -s {base}/v1/chat/completions -d '{{"model": "demo", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  curl -sN {base}/v1/chat/completions -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

  curl -si {base}/v1/chat/completions -d '{{"model": "demo", "messages": []}}' | grep -i x-pointsman

  curl -si {base}/v1/chat/completions -d '{{"model": "moa-demo", "messages": [{{"role": "user", "content": "Hello"}}]}}' | grep -i x-pointsman-approach

  curl -s {base}/v1/chat/completions -d '{{"model": "bon&proxy-demo", "messages": [{{"role": "user", "content": "Hello"}}]}}'

  curl -s {base}/v1/models

  curl -s {base}/health

Any OpenAI client works with base_url={base}/v1 and any API key. Ctrl-C ends the demo.
"#
        )
    }

    /// The address of the proxy.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.app.local_addr()
    }

    /// Serves until `shutdown` is ready.
    ///
    /// # Errors
    ///
    /// As [`App::run`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let outcome = self.app.run(shutdown).await;
        self.stop.cancel();
        self.mocks.close();
        outcome
    }
}

fn configuration(host: IpAddr, port: u16, swift: SocketAddr, slow: SocketAddr, moody: SocketAddr) -> String {
    format!(
        "providers:
  - {{name: swift, base_url: 'http://{swift}/v1', api_key: demo-key-1}}
  - {{name: slow, base_url: 'http://{slow}/v1', api_key: demo-key-2}}
  - {{name: moody, base_url: 'http://{moody}/v1', api_key: demo-key-3}}
routing:
  strategy: round_robin
  health_check: {{interval: 5, timeout: 2}}
server: {{host: '{host}', port: {port}}}
"
    )
}

async fn start(
    name: &'static str,
    delay: Duration,
    fails_every: u32,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<SocketAddr> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot bind a port for an embedded provider")?;
    let address = bound.local_addr()?;
    let mock = Arc::new(Mock { name, delay, fails_every, requests: AtomicU32::new(0) });
    let router = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .with_state(mock);
    let settings = Settings {
        max_header_bytes: 32 << 10,
        max_connections: 1000,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        http2: false,
        max_streams: 1,
        tls: None,
    };
    tasks.spawn(listener::serve(Listening {
        socket: Socket::Tcp(bound),
        site: router,
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        traffic: Arc::default(),
        connections: tasks.clone(),
        stop: stop.clone(),
        close: stop.clone(),
    }));
    Ok(address)
}

async fn models(State(mock): State<Arc<Mock>>) -> Json<Value> {
    Json(json!({"object": "list", "data": [{"id": "demo", "object": "model", "created": 0, "owned_by": mock.name}]}))
}

async fn embeddings(State(mock): State<Arc<Mock>>, _request: Request) -> Json<Value> {
    tokio::time::sleep(mock.delay).await;
    let embedding = json!({"object": "embedding", "index": 0, "embedding": [0.1, 0.2, 0.3]});
    Json(
        json!({"object": "list", "data": [embedding], "model": "demo", "usage": {"prompt_tokens": 1, "total_tokens": 1}}),
    )
}

async fn chat(State(mock): State<Arc<Mock>>, request: Request) -> Response {
    let Ok(body) = Limited::new(request.into_body(), MAX_BODY).collect().await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    tokio::time::sleep(mock.delay).await;
    let number = mock.requests.fetch_add(1, Relaxed) + 1;
    if mock.fails_every > 0 && number.is_multiple_of(mock.fails_every) {
        let error = json!({"error": {"message": "moody does not want to", "type": "server_error", "param": null, "code": null}});
        return (StatusCode::INTERNAL_SERVER_ERROR, Json(error)).into_response();
    }
    let model = body["model"].as_str().unwrap_or("demo").to_owned();
    let text = format!("Hello from {}, this is my request number {number}.", mock.name);
    let n = body["n"].as_u64().unwrap_or(1).clamp(1, 128);
    if body["stream"] == true { streamed(&model, &text) } else { whole(&model, &text, n) }
}

fn whole(model: &str, text: &str, n: u64) -> Response {
    let words = text.split_whitespace().count() as u64 * n;
    let choice =
        |index| json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    Json(json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": model,
        "choices": (0..n).map(choice).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": words + 1},
    }))
    .into_response()
}

fn streamed(model: &str, text: &str) -> Response {
    let chunk = |delta: Value, finish: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [choice]});
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    events.extend(text.split_inclusive(' ').map(|word| chunk(json!({"content": word}), None)));
    events.push(chunk(json!({}), Some("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    let paced = stream::unfold(events.into_iter(), |mut events| async move {
        let event = events.next()?;
        tokio::time::sleep(WORD).await;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(event)), events))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(paced)).into_response()
}
