//! Cutting one record out of its object.

use std::io::{self, Write};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use sha2::{Digest, Sha256};

use super::open::{ORIGIN, changed, pieces, same};
use crate::error::{Error, ErrorKind, Result};
use crate::object::Object;
use crate::source::{Chunks, Open, Opened};

/// Stored bytes inflated between two chances for others to run: at most half a
/// mebibyte comes of them.
const STEP: usize = 512;

/// One record of an object, found by its place and recognised by its hash.
pub(super) struct Cut {
    pub(super) inner: Arc<dyn Open>,
    pub(super) object: Object,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) sha256: Option<[u8; 32]>,
    /// Bytes held at most.
    pub(super) most: u64,
}

#[async_trait]
impl Open for Cut {
    async fn open(&self) -> Result<Opened> {
        if self.length > self.most {
            let (length, most) = (self.length, self.most);
            let message = format!("a record of {length} bytes; at most {most} are read again");
            return Err(Error::new(ErrorKind::TooLarge, ORIGIN, message));
        }
        let mut opened = self.inner.open().await?;
        same(&self.object, &opened)?;
        if self.sha256.is_none() && (self.object.etag.is_none() || opened.etag.is_none()) {
            let how = "neither a hash nor an ETag tells whether it is still the same";
            return Err(changed(&self.object, how));
        }
        let window = Window {
            skip: self.offset,
            want: self.length,
            taken: Vec::new(),
        };
        let record = self.cut(&mut *opened.chunks, window).await?;
        if self
            .sha256
            .is_some_and(|hash| Sha256::digest(&record)[..] != hash)
        {
            return Err(changed(
                &self.object,
                "other bytes lie at the record's place",
            ));
        }
        Ok(Opened::new(Box::new(pieces(record.into()))))
    }
}

impl Cut {
    async fn cut(&self, chunks: &mut dyn Chunks, window: Window) -> Result<Vec<u8>> {
        let mut decoder = Decoder::Unknown(window, Vec::new());
        loop {
            let chunk = chunks.next().await?;
            let Some(chunk) = chunk else {
                let window = decoder.end().map_err(|error| self.broken(&error))?;
                return if window.want == 0 {
                    Ok(window.taken)
                } else {
                    Err(changed(&self.object, "it ends before the record does"))
                };
            };
            decoder = self.feed(decoder, chunk).await?;
            if decoder.window().want == 0 {
                return Ok(std::mem::take(&mut decoder.window().taken));
            }
        }
    }

    async fn feed(&self, mut decoder: Decoder, chunk: Bytes) -> Result<Decoder> {
        for step in chunk.chunks(STEP) {
            decoder = decoder.write(step).map_err(|error| self.broken(&error))?;
            if decoder.window().want == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        Ok(decoder)
    }

    fn broken(&self, error: &io::Error) -> Error {
        Error::new(
            ErrorKind::Malformed,
            ORIGIN,
            format!(
                "{} cannot be inflated up to the record: {error}",
                self.object.id
            ),
        )
    }
}

enum Decoder {
    /// Too few bytes were seen to tell.
    Unknown(Window, Vec<u8>),
    Plain(Window),
    Gzip(Box<MultiGzDecoder<Window>>),
}

impl Decoder {
    fn write(mut self, bytes: &[u8]) -> io::Result<Self> {
        match &mut self {
            Self::Plain(window) => window.write_all(bytes)?,
            Self::Gzip(gzip) => gzip.write_all(bytes)?,
            Self::Unknown(window, first) => {
                first.extend_from_slice(bytes);
                if first.len() < 2 {
                    return Ok(self);
                }
                let (window, first) = (std::mem::take(window), std::mem::take(first));
                let known = if first.starts_with(&[0x1f, 0x8b]) {
                    Self::Gzip(Box::new(MultiGzDecoder::new(window)))
                } else {
                    Self::Plain(window)
                };
                return known.write(&first);
            }
        }
        Ok(self)
    }

    fn end(self) -> io::Result<Window> {
        match self {
            Self::Unknown(mut window, first) => {
                window.write_all(&first)?;
                Ok(window)
            }
            Self::Plain(window) => Ok(window),
            Self::Gzip(gzip) => gzip.finish(),
        }
    }

    fn window(&mut self) -> &mut Window {
        match self {
            Self::Unknown(window, _) | Self::Plain(window) => window,
            Self::Gzip(gzip) => gzip.get_mut(),
        }
    }
}

/// Keeps the bytes of one range of what is written to it.
#[derive(Default)]
struct Window {
    /// Bytes still to come before the range.
    skip: u64,
    /// Bytes of the range still to come.
    want: u64,
    taken: Vec<u8>,
}

impl Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        let skipped = self.skip.min(length);
        self.skip -= skipped;
        let rest = &bytes[usize::try_from(skipped).unwrap_or(bytes.len())..];
        let taken = usize::try_from(self.want).map_or(rest.len(), |want| want.min(rest.len()));
        self.taken.extend_from_slice(&rest[..taken]);
        self.want -= taken as u64;
        // What follows is looked at no more.
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
