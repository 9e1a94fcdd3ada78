//! The dashboard without a browser: who gets in, what forms may do, who may listen. What a browser makes of it is in
//! `tests/browser`.

use harness::{Answer, Call, Mock, Proxy, Reply, Streaming, chat_request, eventually, within};
use http::Method;
use serde_json::{Value, json};

const ADMIN: &str = "admin-zq7-s3cr3t";
const PAGES: [&str; 7] = [
    "/admin",
    "/admin/stories.html",
    "/admin/config.html",
    "/admin/charts.html",
    "/admin/report.html",
    "/admin/events.html",
    "/admin/replicas.html",
];

async fn start(admin: Value) -> (Mock, Proxy) {
    let a = Mock::start("a", Reply::chat("a")).await;
    let proxy = Proxy::builder().provider(&a, json!({})).set(json!({"server": admin})).start().await;
    (a, proxy)
}

async fn with_key() -> (Mock, Proxy) {
    start(json!({"admin": {"port": 0, "api_key": ADMIN}})).await
}

async fn get(proxy: &Proxy, path: &str, cookie: &str) -> Answer {
    Call::to(proxy.operators(), Method::GET, path).header("cookie", cookie).answer().await
}

async fn post(proxy: &Proxy, path: &str, cookie: &str, form: &[(&str, &str)]) -> Answer {
    let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let call = Call::to(proxy.operators(), Method::POST, path).header("cookie", cookie);
    call.header("content-type", "application/x-www-form-urlencoded").body(form.join("&")).answer().await
}

/// The token in the first form of a page.
fn token(page: &Answer) -> String {
    let text = page.text();
    let after = text.split_once("name=\"token\" value=\"").map(|(_, after)| after.to_owned()).unwrap_or_default();
    after.split('"').next().unwrap_or_default().to_owned()
}

async fn sign_in(proxy: &Proxy, key: &str) -> Answer {
    let token = token(&get(proxy, "/admin/login", "").await);
    post(proxy, "/admin/login", "", &[("token", &token), ("key", key)]).await
}

/// The cookie of somebody who has signed in.
async fn cookie(proxy: &Proxy) -> String {
    let answer = sign_in(proxy, ADMIN).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/admin"));
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

async fn listen(proxy: &Proxy) -> Streaming {
    let call = Call::to(proxy.operators(), Method::GET, "/admin/events");
    call.header("authorization", &format!("Bearer {ADMIN}")).open().await
}

#[tokio::test]
async fn pages_want_a_session_and_apis_the_key() {
    let (_a, proxy) = with_key().await;
    for path in PAGES {
        assert_eq!(
            (get(&proxy, path, "").await.status, get(&proxy, path, "pointsman=x").await.status),
            (303, 303),
            "{path}"
        );
    }
    let session = cookie(&proxy).await;
    for path in PAGES {
        let page = get(&proxy, path, &session).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.header("content-security-policy").starts_with("default-src 'none'; "), "{path}");
    }
    for path in ["/metrics", "/admin/spend", "/admin/stories", "/admin/keys"] {
        assert_eq!(get(&proxy, path, &session).await.status, 401, "{path}");
    }
    for path in PAGES {
        assert_eq!(proxy.get(path).await.status, 404, "clients do not see {path}");
    }
}

#[tokio::test]
async fn a_session_ends_with_its_key() {
    let (_a, mut proxy) = with_key().await;
    let session = cookie(&proxy).await;
    assert_eq!(get(&proxy, "/admin", &session).await.status, 200);
    proxy.reload(json!({"server": {"admin": {"api_key": "another-zq7-s3cr3t"}}})).await.expect("sound");
    assert_eq!(get(&proxy, "/admin", &session).await.status, 303);
}

#[tokio::test]
async fn wrong_keys_are_slowed_down() {
    let (_a, proxy) = with_key().await;
    for _ in 0..3 {
        assert_eq!(sign_in(&proxy, "wrong").await.status, 403);
    }
    let held = sign_in(&proxy, ADMIN).await;
    assert_eq!(held.status, 429);
    assert!(held.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds <= 2), "{}", held.text());
    assert_eq!(sign_in(&proxy, "").await.status, 429);
}

#[tokio::test]
async fn without_a_key_own_pages_alone_may_ask() {
    let (_a, proxy) = start(json!({"admin": {"port": 0}})).await;
    let page = get(&proxy, "/admin/config.html", "").await;
    assert_eq!(page.status, 200);
    assert_eq!(get(&proxy, "/admin/login", "").await.status, 303);
    let form = [("token", token(&page)), ("act", "reload".to_owned()), ("confirm", "yes".to_owned())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(post(&proxy, "/admin/act", "", &form[1..]).await.status, 403);
    let call = Call::to(proxy.operators(), Method::GET, "/admin").header("origin", "http://evil.example");
    assert_eq!(call.answer().await.status, 403);
    assert_eq!(post(&proxy, "/admin/act", "", &form).await.status, 200);
}

#[tokio::test]
async fn what_a_reload_has_changed_is_shown_without_secrets() {
    let (_a, mut proxy) = with_key().await;
    let session = cookie(&proxy).await;
    proxy.reload(json!({"queue": {"timeout": 7}})).await.expect("sound");
    proxy.reload(json!({"queue": {"timeout": "soon"}})).await.expect_err("wrong");
    let page = get(&proxy, "/admin/config.html", &session).await.text();
    assert!(page.contains("queue.timeout: not set -&gt; 7"), "{page}");
    assert!(page.contains("providers[a].api_key") && page.contains("queue.timeout"), "{page}");
    assert!(page.contains("failed") && page.contains("soon"), "{page}");
    let some = get(&proxy, "/admin/config.html?key=queue.t", &session).await.text();
    assert!(!some.contains("providers[a].api_key") && some.contains("queue.timeout"), "{some}");
}

#[tokio::test]
async fn questions_of_the_night_are_answered_by_a_page_each() {
    let bad = Mock::start("bad", Reply::error(500, "overloaded")).await;
    let good = Mock::start("good", Reply::chat("a")).await;
    let routing = json!({"strategy": "failover", "shadow": ["round_robin"], "health_check": {"cooldown": 0.01}});
    let clients =
        json!({"unknown": "allow", "keys": [{"name": "team", "key": "sk-team-zq7-s3cr3t", "limits": {"rpm": 4}}]});
    let mut proxy = Proxy::builder()
        .provider(&bad, json!({}))
        .provider(&good, json!({}))
        .set(json!({"server": {"admin": {"port": 0, "api_key": ADMIN}}, "routing": routing, "clients": clients}))
        .set(json!({"prices": {"models": {"gpt-4": {"input": 1, "output": 1}}}}))
        .start()
        .await;
    let session = cookie(&proxy).await;
    for _ in 0..5 {
        let call = proxy.chat_call(&chat_request()).header("authorization", "Bearer sk-team-zq7-s3cr3t");
        drop(call.answer().await);
    }
    proxy.reload(json!({"queue": {"timeout": 7}})).await.expect("sound");
    let page = async |path: &str| get(&proxy, path, &session).await.text();
    // Why did this one go there, and why was another one not asked: the latest request, as no id is given.
    let why = page("/admin/why.html").await;
    assert!(why.contains("rate_limit_exceeded"), "{why}");
    let stories = page("/admin/stories.html?outcome=failed_over").await;
    assert!(stories.contains("bad: failed 500"), "{stories}");
    let spend = page("/admin/report.html?by=client,model&since=24h").await;
    assert!(spend.contains("?since=24h&amp;client=team&amp;model=gpt-4\">team</a>"), "{spend}");
    let slow = page("/admin/report.html?by=hour,provider&since=24h").await;
    assert!(slow.contains("good") && slow.contains("First p50"), "{slow}");
    let fails = page("/admin/report.html?by=fault,outcome,provider&outcome=failed").await;
    assert!(fails.contains("a limit</a>") && fails.contains("rate limit exceeded"), "{fails}");
    assert!(fails.contains("pointsman simulate mine.yaml --strategy failover --strategy weighted"), "{fails}");
    // Events are kept by the log of the real program: tests/process/night.rs.
    let changed = page("/admin/config.html").await;
    assert!(changed.contains("queue.timeout: not set -&gt; 7"), "{changed}");
    let overview = page("/admin").await;
    assert!(overview.contains("data-key=\"client team rpm\"") && overview.contains("id=\"t-shadows\""), "{overview}");
    assert!(overview.contains("round_robin"), "the shadow: {overview}");
    let replicas = page("/admin/replicas.html").await;
    assert!(replicas.contains("This one alone.") && replicas.contains("No engine is shared"), "{replicas}");
    let all = get(&proxy, "/admin?replicas=all", &session).await;
    assert_eq!((all.status, all.header("location")), (303, "/admin/replicas.html"));
    let wrong = get(&proxy, "/admin/report.html?since=soon", &session).await;
    assert!(wrong.status == 400 && wrong.text().contains("role=\"alert\">since must be a time"), "{}", wrong.text());
    assert_eq!(get(&proxy, "/admin/events.html?level=loud", &session).await.status, 400);
}

#[tokio::test]
async fn a_drain_must_be_confirmed_and_then_ends_the_server() {
    let (_a, proxy) = with_key().await;
    let session = cookie(&proxy).await;
    let token = token(&get(&proxy, "/admin/config.html", &session).await);
    let drain = [("token", token.as_str()), ("act", "drain")];
    assert_eq!(post(&proxy, "/admin/act", &session, &drain).await.status, 400);
    assert_eq!(proxy.chat().await.status, 200);
    let mut listener = listen(&proxy).await;
    listener.read_until("\"figures\"").await;
    let sure = [drain[0], drain[1], ("confirm", "yes")];
    assert_eq!(post(&proxy, "/admin/act", &session, &sure).await.status, 200);
    eventually("the server ends", async || proxy.has_stopped()).await;
    within("the listener's end", listener.rest()).await;
}

#[tokio::test]
async fn listeners_are_bounded_and_hear_what_happens() {
    let (_a, proxy) = with_key().await;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        let listener = listen(&proxy).await;
        assert_eq!((listener.status, listener.header("content-type")), (200, "text/event-stream"));
        listeners.push(listener);
    }
    assert_eq!(listen(&proxy).await.status, 503);
    let refused = Call::to(proxy.operators(), Method::GET, "/admin/events").answer().await;
    assert_eq!(refused.status, 401);
    assert_eq!(proxy.chat().await.status, 200);
    let heard = listeners[0].read_until("\n\n").await;
    let data = heard.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
    let snapshot: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(snapshot["tables"]["providers"][0]["k"], "a");
    assert_eq!(snapshot["figures"]["generation"], "1");
    listeners.clear();
    eventually("there is room again", async || listen(&proxy).await.status == 200).await;
}
