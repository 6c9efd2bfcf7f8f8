//! Bodies of answers, those too that never end or break off.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;

pub(in crate::standin) enum Body {
    Whole(Full<Bytes>),
    /// The same piece over and over until the stand-in stops.
    Endless {
        piece: Bytes,
        stop: Pin<Box<WaitForCancellationFutureOwned>>,
    },
    /// One piece of what the head announced, then the connection breaks.
    Cut(Cut),
}

/// How far a body that breaks off has come.
pub(in crate::standin) enum Cut {
    Piece(Bytes),
    /// What was written so far goes out, or the client would see no answer at all.
    Flush,
    Break,
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let broken = || Poll::Ready(Some(Err(io::Error::other("broken off on purpose"))));
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never: Infallible| match never {}),
            Self::Endless { piece, stop } => match stop.as_mut().poll(cx) {
                Poll::Ready(()) => broken(),
                Poll::Pending => Poll::Ready(Some(Ok(Frame::data(piece.clone())))),
            },
            Self::Cut(cut) => match std::mem::replace(cut, Cut::Break) {
                Cut::Piece(piece) => {
                    *cut = Cut::Flush;
                    Poll::Ready(Some(Ok(Frame::data(piece))))
                }
                Cut::Flush => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Cut::Break => broken(),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Endless { .. } | Self::Cut(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Endless { .. } | Self::Cut(_) => SizeHint::default(),
        }
    }
}
