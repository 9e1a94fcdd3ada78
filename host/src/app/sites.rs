//! The answers of the two listeners: for clients, and for operators.

use std::sync::Arc;

use axum::Router;
use http::header::ORIGIN;
use http::{HeaderValue, Method, Response};

use crate::admin;
use crate::listener::{Arriving, Closer, Head, Peer, Site};
use crate::proxy::{self, Proxy, reply::Reply, visitors::Bound};

/// The site that clients reach: the proxy, and beside it the routes for operators.
#[derive(Clone)]
pub(super) struct Front {
    pub proxy: Arc<Proxy>,
    pub operations: Router,
    pub bound: Bound,
}

impl Site for Front {
    type Body = Reply;

    async fn answer(&self, head: Head, body: Arriving, peer: Peer, closer: &Closer) -> Response<Reply> {
        // For pages of other origins that are allowed; nearly no request comes from one.
        let origin = head.headers.get(ORIGIN).and_then(|origin| HeaderValue::from_bytes(origin).ok());
        let of_operators = admin::path(head.uri.path()).filter(|_| head.method != Method::OPTIONS);
        let mut response = match of_operators {
            Some(path) => {
                let keys = self.proxy.clients().refuse_unknown();
                let may = (keys, !path.is_open);
                operate(&self.proxy, &self.operations, &self.bound, may, (head, body), peer, closer).await
            }
            None => proxy::handle(&self.proxy, (head, body), (peer, &self.bound), closer).await,
        };
        if let Some(origin) = origin {
            self.proxy.generation().visitors.mark(&origin, response.headers_mut());
        }
        response
    }
}

/// The routes that operators reach by a listener of their own.
#[derive(Clone)]
pub(super) struct Back {
    pub proxy: Arc<Proxy>,
    pub operations: Router,
    pub bound: Bound,
}

impl Site for Back {
    type Body = Reply;

    async fn answer(&self, head: Head, body: Arriving, peer: Peer, closer: &Closer) -> Response<Reply> {
        let keys = self.proxy.generation().operators.have_key();
        operate(&self.proxy, &self.operations, &self.bound, (keys, true), (head, body), peer, closer).await
    }
}

/// Answers operators, unless the request comes from a web page that is not allowed; `keys` and `own_pages` are as for
/// `Visitors::admit`.
async fn operate(
    proxy: &Proxy,
    operations: &Router,
    bound: &Bound,
    (keys, own_pages): (bool, bool),
    (head, body): (Head, Arriving),
    peer: Peer,
    closer: &Closer,
) -> Response<Reply> {
    let asked = (head.version, &head.uri, &head.headers);
    match proxy.generation().visitors.admit(asked, bound, keys, own_pages) {
        Ok(()) => operations.answer(head, body, peer, closer).await,
        Err(error) => admin::named(admin::own(error), proxy.request_id(&head.headers)),
    }
    .map(Reply::Operations)
}
