//! The body of an answer, in each of its kinds: one type, so that none of them needs a box of its own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::approach::Running;
use super::stream::Relay;
use super::stream::early::Early;
use super::whole::Whole;
use crate::listener::{Answering, Written};

/// The body of an answer.
pub enum Reply {
    /// An answer of the proxy's own.
    Own(Full<Bytes>),
    /// A provider's whole answer.
    Whole(Whole),
    /// A provider's answer as it comes. Boxed, or every whole answer would take as much room.
    Relay(Box<Relay>),
    /// A stream whose provider is still being sought.
    Early(Box<Early>),
    /// A stream that approaches make.
    Run(Box<Running>),
    /// An answer to operators.
    Operations(axum::body::Body),
}

impl Answering for Reply {
    fn take_written(&mut self) -> Option<Written> {
        match self {
            Reply::Whole(body) => body.written.take(),
            Reply::Relay(body) => body.written.take(),
            Reply::Own(_) | Reply::Early(_) | Reply::Run(_) | Reply::Operations(_) => None,
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        fn poll<B>(body: &mut B, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>>
        where
            B: Body<Data = Bytes> + Unpin,
        {
            Pin::new(body).poll_frame(context)
        }
        match self.get_mut() {
            Reply::Own(body) => poll(body, context).map_err(Into::into),
            Reply::Whole(body) => poll(body, context).map_err(Into::into),
            Reply::Relay(body) => poll(&mut **body, context).map_err(Into::into),
            Reply::Early(body) => poll(&mut **body, context).map_err(Into::into),
            Reply::Run(body) => poll(&mut **body, context).map_err(Into::into),
            Reply::Operations(body) => poll(body, context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Reply::Own(body) => body.is_end_stream(),
            Reply::Whole(body) => body.is_end_stream(),
            Reply::Relay(body) => body.is_end_stream(),
            Reply::Early(body) => body.is_end_stream(),
            Reply::Run(body) => body.is_end_stream(),
            Reply::Operations(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Own(body) => body.size_hint(),
            Reply::Whole(body) => body.size_hint(),
            Reply::Relay(body) => body.size_hint(),
            Reply::Early(body) => body.size_hint(),
            Reply::Run(body) => body.size_hint(),
            Reply::Operations(body) => body.size_hint(),
        }
    }
}
