//! The answers of the two listeners: for clients, and for operators.

use std::sync::Arc;

use axum::Router;
use http::header::ORIGIN;
use http::{Method, Request, Response};

use crate::admin;
use crate::listener::{Arriving, Closer, Peer, Site};
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

    async fn answer(&self, request: Request<Arriving>, peer: Peer, closer: &Closer) -> Response<Reply> {
        // For pages of other origins that are allowed; nearly no request comes from one.
        let origin = request.headers().get(ORIGIN).cloned();
        let of_operators = admin::path(request.uri().path()).filter(|_| request.method() != Method::OPTIONS);
        let mut response = match of_operators {
            Some(path) => {
                let keys = self.proxy.clients().refuse_unknown();
                let may = (keys, !path.is_open);
                operate(&self.proxy, &self.operations, &self.bound, may, request, peer, closer).await
            }
            None => proxy::handle(&self.proxy, request, (peer, &self.bound), closer).await,
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

    async fn answer(&self, request: Request<Arriving>, peer: Peer, closer: &Closer) -> Response<Reply> {
        let keys = self.proxy.generation().operators.have_key();
        operate(&self.proxy, &self.operations, &self.bound, (keys, true), request, peer, closer).await
    }
}

/// Answers operators, unless the request comes from a web page that is not allowed; `keys` and `own_pages` are as for
/// `Visitors::admit`.
async fn operate(
    proxy: &Proxy,
    operations: &Router,
    bound: &Bound,
    (keys, own_pages): (bool, bool),
    request: Request<Arriving>,
    peer: Peer,
    closer: &Closer,
) -> Response<Reply> {
    let asked = (request.version(), request.uri(), request.headers());
    match proxy.generation().visitors.admit(asked, bound, keys, own_pages) {
        Ok(()) => operations.answer(request, peer, closer).await,
        Err(error) => admin::named(admin::own(error), proxy.request_id(request.headers())),
    }
    .map(Reply::Operations)
}
