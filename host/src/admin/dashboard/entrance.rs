//! Signing in and out, and the buttons that do something: all that comes with a form.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{AUTHORIZATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::{Visitor, frame, guarded, html, page, reads, sessions, to, value};
use crate::admin::keys::{bytes, operator};
use crate::admin::{Operations, own};
use crate::listener::Peer;
use crate::proxy::generation::Operators;
use crate::proxy::respond::ProxyError;

/// A page with a sentence, and a way back.
fn notice(status: StatusCode, visitor: &Visitor, title: &str, text: &str) -> Response {
    let text = crate::html::escaped(text);
    let body = format!("<p class=\"lead\" role=\"status\">{text}</p><p><a href=\"/admin/config.html\">Back</a></p>");
    html(status, frame(title, "/admin/config.html", visitor).around(&body))
}

/// A request apart from its form; the form is empty for one that is not `POST`.
async fn form(request: Request) -> Result<(Request, Bytes), Response> {
    let (parts, body) = request.into_parts();
    let is_post = parts.method == Method::POST;
    let form = if is_post { bytes(body).await? } else { Bytes::new() };
    Ok((Request::from_parts(parts, Body::empty()), form))
}

/// `POST /admin/act`: reloads or drains.
pub(super) async fn act(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let answer = match form(request).await {
        Ok((request, form)) => match confirmed(&operations, &request, &form) {
            Ok((visitor, what, by)) => acted(&operations, visitor, &what, by).await,
            Err(answer) => *answer,
        },
        Err(answer) => answer,
    };
    guarded(&operations, &headers, answer)
}

/// The action that a form asks for, and who asks; or the answer to a form that asks for none.
fn confirmed(
    operations: &Operations,
    request: &Request,
    form: &[u8],
) -> Result<(Visitor, String, String), Box<Response>> {
    let visitor = match operations.visitor(request) {
        Err(ProxyError::WrongKey) => return Err(Box::new(to("/admin/login"))),
        Err(error) => return Err(Box::new(own(error))),
        Ok(_) if request.method() != Method::POST => return Err(Box::new(own(ProxyError::WrongMethod("POST")))),
        Ok(visitor) => visitor,
    };
    if !sessions::is_own_form(request.headers(), &value(form, "token"), &visitor.token) {
        return Err(Box::new(notice(StatusCode::FORBIDDEN, &visitor, "Nothing was done", FOREIGN)));
    }
    if value(form, "confirm") != "yes" {
        let text = "Tick the box that confirms it, and try again.";
        return Err(Box::new(notice(StatusCode::BAD_REQUEST, &visitor, "Nothing was done", text)));
    }
    Ok((visitor, value(form, "act"), operator(operations, request)))
}

async fn acted(operations: &Operations, visitor: Visitor, what: &str, by: String) -> Response {
    match what {
        "reload" => {
            tracing::info!(audit = true, operator = by, "a reload was asked for on the dashboard");
            match operations.reload_for("dashboard").await {
                None => notice(StatusCode::SERVICE_UNAVAILABLE, &visitor, "Nothing was done", "The server is ending."),
                Some(Ok(reloaded)) => {
                    let warnings = reloaded.warnings.join(" ");
                    let text = format!("Configuration {} is in force. {warnings}", reloaded.generation);
                    notice(StatusCode::OK, &visitor, "Reloaded", &text)
                }
                Some(Err(failure)) => {
                    let text = format!("What was in force stays in force. {}", failure.text.trim_end());
                    notice(StatusCode::UNPROCESSABLE_ENTITY, &visitor, "The reload failed", &text)
                }
            }
        }
        "drain" => {
            tracing::warn!(audit = true, operator = by, "the server was asked on the dashboard to drain and end");
            operations.ask_to_end();
            let text = "It drains: requests in flight may finish, then it ends, and with it these pages.";
            notice(StatusCode::OK, &visitor, "Draining", text)
        }
        _ => notice(StatusCode::BAD_REQUEST, &visitor, "Nothing was done", "There is no such button."),
    }
}

/// Said of a form that is not of an own page.
const FOREIGN: &str = "The form did not come from a page of this server, or the page was too old. Load it again.";

/// `/admin/login`: `GET` shows the form, `POST` signs in.
pub(super) async fn login(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let answer = match form(request).await {
        Ok((request, form)) => signed_in(&operations, &request, &form),
        Err(answer) => answer,
    };
    guarded(&operations, &headers, answer)
}

fn signed_in(operations: &Operations, request: &Request, form: &[u8]) -> Response {
    match operations.visitor(request) {
        Ok(_) => return to("/admin"),
        Err(ProxyError::WrongKey) => {}
        Err(error) => return own(error),
    }
    let sessions = &operations.dashboard.sessions;
    let Ok(token) = sessions.shared_token() else { return own(ProxyError::Draining) };
    let of_clients = matches!(operations.proxy.generation().operators, Operators::Clients);
    let show = |status, problem: Option<&str>| html(status, page::login(token.reveal(), problem, of_clients));
    if reads(request) {
        return show(StatusCode::OK, None);
    }
    if request.method() != Method::POST {
        return own(ProxyError::WrongMethod("GET, HEAD, POST"));
    }
    if !sessions::is_own_form(request.headers(), &value(form, "token"), &token) {
        return show(StatusCode::FORBIDDEN, Some(FOREIGN));
    }
    let (address, now) = (address(request), Instant::now());
    if let Some(wait) = sessions.wait(address, now) {
        let seconds = wait.as_secs() + 1;
        let text = format!("Too many wrong keys came from here. Wait {seconds} s.");
        let mut answer = show(StatusCode::TOO_MANY_REQUESTS, Some(&text));
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        return answer;
    }
    // Noted before the key is looked at, so that many at once are slowed down as well.
    sessions.failed(address, now);
    let by = operator(operations, request);
    let shown = HeaderValue::try_from(format!("Bearer {}", value(form, "key").trim()));
    let opened = shown.ok().and_then(|mut shown| {
        shown.set_sensitive(true);
        operations.admits_with(request, &HeaderMap::from_iter([(AUTHORIZATION, shown.clone())])).ok()?;
        sessions.open(shown, now).ok()
    });
    let Some(opened) = opened else {
        tracing::warn!(audit = true, operator = by, "a wrong key was tried on the dashboard");
        return show(StatusCode::FORBIDDEN, Some("This is not the key."));
    };
    sessions.succeeded(address);
    tracing::info!(audit = true, operator = by, "somebody has signed in to the dashboard");
    let secure = operations.is_secure(request);
    let cookie = sessions::set_cookie(request.headers(), opened.cookie.reveal(), sessions::LASTS, secure);
    with_cookie(to("/admin"), &cookie)
}

fn address(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<Peer>().and_then(|peer| peer.0).map(|address| address.ip())
}

fn with_cookie(mut answer: Response, cookie: &str) -> Response {
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    answer
}

/// `POST /admin/logout`.
pub(super) async fn logout(State(operations): State<Arc<Operations>>, request: Request) -> Response {
    let headers = request.headers().clone();
    let answer = match form(request).await {
        Err(answer) => answer,
        Ok((request, form)) => match operations.visitor(&request) {
            Err(ProxyError::WrongKey) => to("/admin/login"),
            Err(error) => own(error),
            Ok(_) if request.method() != Method::POST => own(ProxyError::WrongMethod("POST")),
            Ok(visitor) if !sessions::is_own_form(&headers, &value(&form, "token"), &visitor.token) => {
                notice(StatusCode::FORBIDDEN, &visitor, "Nothing was done", FOREIGN)
            }
            Ok(_) => {
                operations.dashboard.sessions.close(&headers);
                let gone = sessions::set_cookie(&headers, "", Duration::ZERO, operations.is_secure(&request));
                with_cookie(to("/admin/login"), &gone)
            }
        },
    };
    guarded(&operations, &headers, answer)
}
