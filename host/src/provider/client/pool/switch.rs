//! A connection that changes to another protocol: it leaves the pool, and HTTP, for good.

use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::Parts;

use super::super::stream::Stream;
use super::super::wire::Turn;
use super::{Broken, Connection};

/// The answer to a request that asks for another protocol.
pub enum Exchanged {
    /// The other side goes on with that protocol, of which the bytes came already.
    Switched(Response<Incoming>, Stream, Bytes),
    /// It stays with HTTP.
    Answered(Response<Incoming>, Box<Connection>),
}

impl Connection {
    /// Sends a request that asks for another protocol, and waits for the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Broken`], which says how far it had come.
    pub async fn switch(mut self: Box<Self>, request: Request<Full<Bytes>>) -> Result<Exchanged, Broken> {
        let Self { sender, driver, together, talk, .. } = &mut *self;
        talk.give(Turn::Ours);
        let mut ended = false;
        let mut answer = pin!(sender.try_send_request(request));
        let answered = poll_fn(|context| {
            together.poll(context, |context| {
                if !ended && let Some(driver) = driver {
                    ended = Pin::new(driver).poll(context).is_ready();
                }
                answer.as_mut().poll(context)
            })
        });
        let response = answered.await.map_err(|failed| super::broken(failed, talk))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            if ended {
                *driver = None;
            }
            return Ok(Exchanged::Answered(response, self));
        }
        // HTTP ends with that answer, and gives the connection back.
        poll_fn(|context| {
            together.poll(context, |context| match driver {
                Some(driver) if !ended => {
                    ended = Pin::new(driver).poll(context).is_ready();
                    if ended { Poll::Ready(()) } else { Poll::Pending }
                }
                Some(_) | None => Poll::Ready(()),
            })
        })
        .await;
        match driver.take() {
            Some(driver) => {
                let Parts { io, read_buf, .. } = driver.into_parts();
                Ok(Exchanged::Switched(response, io.into_inner().into_stream(), read_buf))
            }
            // Only an exchange that has failed takes it.
            None => Ok(Exchanged::Answered(response, self)),
        }
    }
}
