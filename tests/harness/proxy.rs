//! The app in this process, on a port of its own, before mocks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Method;
use pointsman::admin::{Failure, ReloadRequest, Reloaded};
use pointsman::clients::Store;
use pointsman::listener::Settings;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::component::keep_compiled_code;
use crate::{
    Answer, Call, Knock, Mock, Raw, Session, Streaming, chat_request, eventually, panics, secrets, stream_request,
    within,
};

/// The key of every provider in the configuration of a test; it may appear in no answer.
pub const KEY: &str = "sk-provider-zq7-s3cr3t-0123456789";

/// Writes the configuration and starts the app.
#[derive(Debug)]
pub struct ProxyBuilder {
    config: Value,
    folder: TempDir,
    environment: HashMap<String, String>,
    key_store: Option<Arc<dyn Store>>,
}

/// A running app.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    operators: Option<SocketAddr>,
    settings: Arc<ArcSwap<Settings>>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    reloads: mpsc::Sender<ReloadRequest>,
    config: Value,
    folder: TempDir,
}

impl ProxyBuilder {
    /// Adds a provider that reaches `mock`, with options such as `{"weight": 2}` laid over the necessary ones.
    pub fn provider(mut self, mock: &Mock, options: Value) -> Self {
        let providers = self.config["providers"].as_array_mut().expect("a list from the start");
        providers.push(crate::proxy::provider(mock, options));
        self
    }

    /// Lays a piece of configuration over what is there, such as `{"queue": {"timeout": 1}}`.
    pub fn set(mut self, piece: Value) -> Self {
        lay_over(&mut self.config, piece);
        self
    }

    /// Chooses the strategy.
    pub fn strategy(self, name: &str) -> Self {
        self.set(json!({"routing": {"strategy": name}}))
    }

    /// Sets a variable for the configuration.
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Keeps keys made at run time there.
    pub fn key_store(mut self, store: Arc<dyn Store>) -> Self {
        self.key_store = Some(store);
        self
    }

    /// The folder of the configuration file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration file and gives its path. JSON is YAML, so nothing is lost in quoting.
    pub fn write(&self) -> PathBuf {
        let path = self.folder.path().join("proxy_config.yaml");
        std::fs::write(&path, format!("{:#}\n", self.config)).expect("a temporary folder is writable");
        path
    }

    /// Starts the app.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(self) -> Proxy {
        self.start_while(|_| ()).await
    }

    /// Starts the app, with `change` made to its configuration's file after that was read.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_while(self, change: impl FnOnce(&Path)) -> Proxy {
        let path = self.write();
        self.start_from(&path, change).await
    }

    /// Starts the app with `yaml` as its configuration, in place of all that was added and set.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_yaml(self, yaml: &str) -> Proxy {
        let path = self.folder.path().join("proxy_config.yaml");
        std::fs::write(&path, yaml).expect("a temporary folder is writable");
        self.start_from(&path, |_| ()).await
    }

    async fn start_from(self, path: &Path, change: impl FnOnce(&Path)) -> Proxy {
        // Boxed, as it holds a whole configuration.
        let bound = Box::pin(self.bind(path)).await;
        let error = bound.as_ref().err().map(|error| format!("{error:#}"));
        assert_eq!(error, None, "the app starts");
        let app = bound.expect("just checked");
        change(path);
        // One at a socket in the file system has none, and is reached by its path.
        let address = app.local_addr().unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
        let (operators, reloads) = (app.operators_addr(), app.reloads());
        let settings = app.settings();
        let (stop, stopped) = oneshot::channel();
        let running = crate::spawn(app.run(async move { drop(stopped.await) }));
        let (stop, running) = (Some(stop), Some(running));
        Proxy { address, operators, settings, stop, running, reloads, config: self.config, folder: self.folder }
    }

    /// Loads the file at `path` and binds the app, whatever comes of it.
    ///
    /// # Errors
    ///
    /// The app's own.
    pub async fn bind(&self, path: &Path) -> anyhow::Result<pointsman::app::App> {
        keep_compiled_code();
        panics::watch();
        secrets::watch_logs();
        let (path, environment) = (path.to_owned(), self.environment.clone());
        let source: pointsman::app::Source = Arc::new(move || {
            let lookup = |name: &str| environment.get(name).cloned();
            pointsman::config::load(&path, &lookup, pointsman::strategy::builtins())
        });
        let config = source()?;
        let options =
            pointsman::app::Options { source: Some(source), key_store: self.key_store.clone(), ..Default::default() };
        // Boxed, as it holds a whole configuration.
        Box::pin(within("binding the app", pointsman::app::App::bind_with(config, options))).await
    }
}

impl Proxy {
    /// A configuration without providers, with fast and quiet defaults: no active checks, `failover`, so that the
    /// provider written first is asked first, no retries, and one failure is enough to eject: for a second, or where a key
    /// was refused for longer than any test.
    pub fn builder() -> ProxyBuilder {
        let config = json!({
            "providers": [],
            "routing": {"strategy": "failover", "retries": 0,
                "health_check": {"enabled": false, "cooldown": 600, "failures": 1}},
            "timeouts": {"request": 15, "connect": 5},
            "queue": {"slot_wait": 0.05},
            // Raw requests in tests call the proxy so.
            "server": {"host": "127.0.0.1", "port": 0, "watch": false, "hosts": ["x", "proxy"]},
        });
        let folder = TempDir::new().expect("a temporary folder");
        ProxyBuilder { config, folder, environment: HashMap::new(), key_store: None }
    }

    /// The app before `mocks`, in this order, with the defaults of [`Proxy::builder`].
    pub async fn before<const N: usize>(mocks: [&Mock; N]) -> Self {
        mocks.iter().fold(Self::builder(), |builder, mock| builder.provider(mock, json!({}))).start().await
    }

    /// The settings of the listener, which a test may change while it runs.
    pub fn listener_settings(&self) -> &ArcSwap<Settings> {
        &self.settings
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of its second listener.
    ///
    /// # Panics
    ///
    /// When it has none.
    pub fn operators(&self) -> SocketAddr {
        self.operators.expect("the configuration has server.admin")
    }

    /// The folder of the configuration file.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lays a piece of configuration over the file, without a reload.
    pub fn rewrite(&mut self, piece: Value) {
        lay_over(&mut self.config, piece);
        // In place of the old one at once, as editors and deployments do it.
        let (path, draft) = (self.folder.path().join("proxy_config.yaml"), self.folder.path().join("draft"));
        std::fs::write(&draft, format!("{:#}\n", self.config)).expect("a temporary folder is writable");
        std::fs::rename(draft, path).expect("the same folder");
    }

    /// Lays a piece of configuration over the file and reloads it.
    ///
    /// # Errors
    ///
    /// The problems that the app reports; the configuration in force has not changed.
    pub async fn reload(&mut self, piece: Value) -> Result<Reloaded, Failure> {
        self.rewrite(piece);
        let (request, outcome) = ReloadRequest::awaited("the test");
        self.reloads.send(request).await.expect("the app runs");
        within("a reload", outcome).await.expect("the app runs")
    }

    /// A request to be filled and sent.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call::to(self.address, method, path)
    }

    /// A request for a WebSocket, to be filled and sent.
    pub fn knock(&self, path: &str) -> Knock {
        Knock::to(self.address, path)
    }

    /// A request without a body.
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path).answer().await
    }

    /// A JSON request.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path).json(body).answer().await
    }

    /// A chat request to be filled and sent.
    pub fn chat_call(&self, body: &Value) -> Call {
        self.call(Method::POST, "/v1/chat/completions").json(body)
    }

    /// A usual chat request and its answer.
    pub async fn chat(&self) -> Answer {
        self.chat_call(&chat_request()).answer().await
    }

    /// A usual streaming chat request, up to the head of its answer.
    pub async fn stream(&self) -> Streaming {
        self.chat_call(&stream_request()).open().await
    }

    /// A usual chat request in a task of its own, for what must happen meanwhile. Aborting it is leaving.
    pub fn chat_meanwhile(&self) -> JoinHandle<Answer> {
        crate::spawn(self.chat_call(&chat_request()).answer())
    }

    /// A connection for many requests.
    pub fn session(&self) -> Session {
        Session::new(self.address)
    }

    /// A bare connection.
    pub async fn raw(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// The value of one series of `/metrics`, named as it stands there; 0 when there is none.
    ///
    /// # Panics
    ///
    /// When its value is no number.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// The entry of a provider in `/health`.
    ///
    /// # Panics
    ///
    /// When it says nothing of it.
    pub async fn health_of(&self, mock: &Mock) -> Map<String, Value> {
        let health = self.get("/health").await.json();
        let providers = health["providers"].as_array().cloned().unwrap_or_default();
        let found = providers.iter().find(|provider| provider["name"] == mock.name()).and_then(Value::as_object);
        assert!(found.is_some(), "{} is in {health}", mock.name());
        found.cloned().expect("just checked")
    }

    /// The state that `/health` shows for a provider.
    pub async fn state_of(&self, mock: &Mock) -> String {
        self.health_of(mock).await["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `/health` shows `state` for a provider.
    pub async fn wait_for_state(&self, mock: &Mock, state: &str) {
        let what = format!("{} is {state}", mock.name());
        eventually(&what, || async { self.state_of(mock).await == state }).await;
    }

    /// Asks the app to drain, as a first signal does.
    pub fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// True when it has ended.
    pub fn has_stopped(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Drains and waits for the end.
    ///
    /// # Panics
    ///
    /// When the app ends with an error.
    pub async fn stop(mut self) {
        self.begin_to_stop();
        let running = self.running.take().expect("runs until stopped");
        within("the app's end", running).await.expect("the app does not panic").expect("the app ends well");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
        panics::assert_none();
        secrets::assert_none_logged();
    }
}

/// A provider of a configuration that reaches `mock`, with options laid over what is necessary.
pub fn provider(mock: &Mock, options: Value) -> Value {
    let mut provider = json!({"name": mock.name(), "base_url": mock.base_url(), "api_key": KEY});
    lay_over(&mut provider, options);
    provider
}

/// Maps are merged, anything else is replaced.
fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (key, value) in above {
                lay_over(below.entry(key).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
