//! A body that survives a broken connection, and notices everything else.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf as _, Bytes};
use ctforward_core::{Chunks, Error, ErrorKind, Result, Retry};

use super::bare_etag;
use super::reader::S3Object;
use crate::facts::innermost;

/// Waits between attempts grow from here…
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// … up to here.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// However much progress each makes, a body needs no more requests than this.
const MOST_REQUESTS: u32 = 1000;

pub(crate) struct Body {
    object: S3Object,
    /// As the head gave it, quotes included: what `If-Match` wants back.
    etag: Option<String>,
    size: u64,
    /// The byte that comes next.
    at: u64,
    /// Bytes to pass over first, where the server began at 0 although asked for more.
    skip: u64,
    stream: Option<ByteStream>,
    /// Breaks in a row without a byte of progress.
    breaks: u32,
    requests: u32,
    /// The wait the service asked for.
    pause: Duration,
    /// The last break, for the error that ends the attempts.
    why: Option<Error>,
    /// An error that ended the body: it is repeated, an end never follows it.
    failed: Option<Error>,
}

impl Body {
    pub(crate) fn new(
        object: S3Object,
        stream: ByteStream,
        etag: Option<String>,
        size: u64,
    ) -> Self {
        Self {
            object,
            etag,
            size,
            at: 0,
            skip: 0,
            stream: Some(stream),
            breaks: 0,
            requests: 1,
            pause: Duration::ZERO,
            why: None,
            failed: None,
        }
    }

    /// Takes a piece as it came; what is left of it is the reader's.
    fn take(&mut self, mut piece: Bytes) -> Result<Bytes> {
        let passed = self.skip.min(piece.len() as u64);
        self.skip -= passed;
        // `passed` is at most the piece's length, so it fits.
        piece.advance(usize::try_from(passed).unwrap_or(piece.len()));
        let len = piece.len() as u64;
        if len > self.size - self.at {
            let why = "the body is longer than its head said";
            return Err(self.object.broken(ErrorKind::Unavailable, why));
        }
        self.at += len;
        if len > 0 {
            self.breaks = 0;
        }
        Ok(piece)
    }

    /// Notes that the body broke off; the next turn of the loop goes on from there.
    fn broke(&mut self, kind: ErrorKind, why: &str) {
        let why = format!(
            "the body broke off at byte {} of {} ({why})",
            self.at, self.size
        );
        self.note(self.object.broken(kind, &why));
    }

    fn note(&mut self, error: Error) {
        self.stream = None;
        self.skip = 0;
        self.breaks += 1;
        self.why = Some(error);
    }

    fn give_up(&mut self) -> Error {
        let otherwise = || {
            self.object
                .broken(ErrorKind::Unavailable, "the body broke off")
        };
        self.why.take().unwrap_or_else(otherwise)
    }

    /// Asks for the rest. Cancel-safe: nothing changes before the answer is there.
    async fn resume(&mut self) -> Result<()> {
        let Some(etag) = self.etag.clone() else {
            // Nothing would tell whether the rest is of the same object.
            return Err(self.give_up());
        };
        if self.breaks > self.object.shared.patience.resumes || self.requests >= MOST_REQUESTS {
            return Err(self.give_up());
        }
        tokio::time::sleep(wait(self.breaks).max(self.pause)).await;
        let answer = self.object.get(Some((self.at, &etag))).await;
        self.requests += 1;
        self.pause = Duration::ZERO;
        match answer {
            Ok(output) => {
                self.skip = self.fits(&output, &etag)?;
                self.stream = Some(output.body);
                Ok(())
            }
            Err(error) => match error.retry() {
                Retry::Never => Err(error),
                // A pace asked for is never shortened: a long one is the caller's to keep.
                Retry::After(pause) if pause > LONGEST_WAIT => Err(error),
                Retry::After(pause) => {
                    self.note(error);
                    self.pause = pause;
                    Ok(())
                }
                Retry::Backoff => {
                    self.note(error);
                    Ok(())
                }
            },
        }
    }

    /// Whether an answer goes on with this body, and how many of its bytes are known already.
    fn fits(&self, output: &GetObjectOutput, etag: &str) -> Result<u64> {
        // A server may not know `If-Match` at all.
        match output.e_tag() {
            Some(now) if bare_etag(now) == bare_etag(etag) => {}
            Some(_) => return Err(self.object.changed("the object changed while it was read")),
            None => {
                let why = "the rest came without the object's ETag";
                return Err(self.object.broken(ErrorKind::Unavailable, why));
            }
        }
        let Some(range) = output.content_range() else {
            // The whole object again: the server does not know ranges.
            let length = output.content_length().and_then(|n| u64::try_from(n).ok());
            if length != Some(self.size) {
                return Err(self
                    .object
                    .changed("the object's length changed while it was read"));
            }
            return Ok(self.at);
        };
        match parse_range(range) {
            Some((first, last, total)) if total == self.size => {
                if first == self.at && last.checked_add(1) == Some(self.size) {
                    Ok(0)
                } else {
                    let why = "the rest that came is not the rest that was asked for";
                    Err(self.object.broken(ErrorKind::Unavailable, why))
                }
            }
            Some(_) => Err(self
                .object
                .changed("the object's length changed while it was read")),
            None => {
                let why = "the rest came with a range that cannot be read";
                Err(self.object.broken(ErrorKind::Unavailable, why))
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.resume().await?;
                continue;
            };
            // The clock runs only while somebody waits here: a reader that takes
            // its time between two pieces is not the server's silence.
            let idle = self.object.shared.patience.idle;
            match tokio::time::timeout(idle, stream.next()).await {
                Ok(Some(Ok(piece))) => return self.take(piece).map(Some),
                Ok(None) if self.at == self.size => return Ok(None),
                Ok(None) => self.broke(ErrorKind::Unavailable, "it ended early"),
                // Every byte came and yet the end is refused: the SDK's checksum of
                // the whole does not fit. There is no rest that could be asked for.
                Ok(Some(Err(e))) if self.at == self.size => {
                    let why = format!("the body's end was refused ({})", innermost(&e));
                    return Err(self.object.broken(ErrorKind::Unavailable, &why));
                }
                Ok(Some(Err(e))) => self.broke(ErrorKind::Unavailable, &innermost(&e)),
                // The same for the end of a body that is complete, but for its last word.
                Err(_) if self.at == self.size => {
                    let why = "the body's end did not come in time";
                    return Err(self.object.broken(ErrorKind::Timeout, why));
                }
                Err(_) => {
                    let why = format!("nothing came for {idle:?}");
                    self.broke(ErrorKind::Timeout, &why);
                }
            }
        }
    }
}

#[async_trait]
impl Chunks for Body {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(error) = &self.failed {
            return Err(error.duplicate());
        }
        let piece = self.piece().await;
        if let Err(error) = &piece {
            tracing::debug!(%error, at = self.at, "a body was given up");
            self.failed = Some(error.duplicate());
            self.stream = None;
        }
        piece
    }
}

/// Doubling, with a random half so that many bodies do not come back at once.
fn wait(breaks: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << breaks.saturating_sub(1).min(16));
    let longest = doubled.min(LONGEST_WAIT);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// `bytes first-last/total`.
fn parse_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    Some((number(first)?, number(last)?, number(total)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        assert_eq!(parse_range("bytes 5-9/10"), Some((5, 9, 10)));
        for bad in [
            "",
            "bytes */10",
            "bytes 5-9/*",
            "5-9/10",
            "bytes 5-9",
            "bytes a-9/10",
        ] {
            assert_eq!(parse_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn waits_grow_and_stay_below_the_cap() {
        for breaks in 0..40 {
            let wait = wait(breaks);
            assert!(wait >= FIRST_WAIT / 2 && wait <= LONGEST_WAIT, "{wait:?}");
        }
        assert!(wait(1) <= FIRST_WAIT);
        assert!(wait(10) > Duration::from_secs(2));
    }
}
